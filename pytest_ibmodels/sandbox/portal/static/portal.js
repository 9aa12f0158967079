// What pages do beyond links and forms. Every page works without it, by reload.
"use strict";

// Log of a job: the end of a stream of events. The browser itself goes on at the last event's id after a break.
function followLog(log) {
  const most = Number(log.dataset.lines);
  const note = document.getElementById("log-note");
  const source = new EventSource(log.dataset.stream);
  const atEnd = () => log.scrollTop + log.clientHeight >= log.scrollHeight - 40;

  source.addEventListener("open", () => show("offline", false));
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) {
      show("signed-out", true);
      show("offline", false);
    } else {
      show("offline", true);
    }
  });
  source.addEventListener("lines", event => {
    const follows = atEnd();
    const added = document.createDocumentFragment();
    for (const [text, level] of JSON.parse(event.data)) {
      const line = document.createElement("span");
      line.className = `line ${level}`;
      line.textContent = `${text}\n`;
      added.append(line);
    }
    log.append(added);
    show("log-empty", false);
    while (log.childElementCount > most) {
      log.firstElementChild.remove();
      note.hidden = false;
    }
    if (follows) {
      log.scrollTop = log.scrollHeight;
    }
  });
  source.addEventListener("skipped", () => {
    log.replaceChildren();
    note.hidden = false;
  });
  source.addEventListener("end", () => source.close());
  source.addEventListener("signed-out", () => {
    source.close();
    show("signed-out", true);
  });
}

function show(id, isShown) {
  const element = document.getElementById(id);
  if (element && element.hidden === isShown) {
    element.hidden = !isShown;
  }
}

// A second press while the first is on its way is not sent. The server would answer it with the first one's outcome.
document.addEventListener("submit", event => {
  const form = event.target;
  if (form.method !== "post") {
    return;
  }
  if (form.dataset.sent) {
    event.preventDefault();
  }
  form.dataset.sent = "yes";
});
addEventListener("pageshow", event => {
  for (const form of document.forms) {
    delete form.dataset.sent;
  }
  if (event.persisted) {
    location.reload();
  }
});

// Files that are dropped anywhere on the page go into its form, which is sent as if they were chosen.
const drop = document.querySelector("form[data-drop]");
if (drop) {
  const input = drop.querySelector("input[type=file]");
  const tooLarge = drop.querySelector("[data-too-large]");
  const marked = isOver => document.body.classList.toggle("is-over", isOver);
  document.body.classList.add("has-script");
  const isFine = () => {
    const size = [...input.files].reduce((sum, file) => sum + file.size, 0);
    tooLarge.hidden = size <= Number(drop.dataset.maxBytes);
    return tooLarge.hidden;
  };
  input.addEventListener("change", isFine);
  drop.addEventListener("submit", event => {
    if (!isFine()) {
      event.preventDefault();
      event.stopImmediatePropagation();
      return;
    }
    drop.querySelector("[data-sending]").hidden = false;
  });
  document.addEventListener("dragover", event => {
    if (event.dataTransfer.types.includes("Files")) {
      event.preventDefault();
      marked(true);
    }
  });
  document.addEventListener("dragleave", event => {
    if (!event.relatedTarget) {
      marked(false);
    }
  });
  document.addEventListener("drop", event => {
    if (!event.dataTransfer.files.length) {
      return;
    }
    event.preventDefault();
    marked(false);
    input.files = event.dataTransfer.files;
    drop.requestSubmit();
  });
}

// Parts that renew themselves.
document.addEventListener("htmx:responseError", event => {
  if (event.detail.xhr.status === 401) {
    show("signed-out", true);
    // Stands still, but stays to be read.
    const still = event.detail.elt.cloneNode(true);
    still.removeAttribute("hx-trigger");
    event.detail.elt.replaceWith(still);
  }
});
document.addEventListener("htmx:sendError", () => show("offline", true));
document.addEventListener("htmx:afterRequest", event => {
  if (event.detail.successful) {
    show("offline", false);
  }
});

// A renewed part keeps the place to which it was scrolled. What is new in it is said once: reading out all of it every few
// seconds would help nobody.
const newsOf = () => document.querySelector("#live [data-news]")?.dataset.news ?? "";
const places = new Map();
let lastNews = newsOf();
document.addEventListener("htmx:beforeSwap", () => {
  for (const part of document.querySelectorAll("#live [id]")) {
    places.set(part.id, part.scrollLeft);
  }
});
document.addEventListener("htmx:afterSwap", () => {
  for (const part of document.querySelectorAll("#live [id]")) {
    part.scrollLeft = places.get(part.id) ?? 0;
  }
  if (newsOf() !== lastNews) {
    lastNews = newsOf();
    document.getElementById("news").textContent = lastNews;
  }
});

const log = document.getElementById("log");
if (log) {
  log.scrollTop = log.scrollHeight;
}
if (log?.dataset.stream) {
  followLog(log);
}
document.getElementById("first-error")?.scrollIntoView({block: "center"});
