"""Drive, marketplace, settings and audit in a browser: with and without JavaScript, and with the keyboard alone."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.sandbox.plaintext import visible
from pytest_ibmodels.sandbox.portal.formats import NOTHING
from tests.portal.conftest import Portal, open_tab, sign_in
from tests.portal.pushed import FILES, FOLDER
from tests.sandbox.pushed import model_package
from tests.sandbox.running import TOKEN, zipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, FilePayload, Locator, Page

pytestmark = pytest.mark.browser

BOB = "other-made-up-token"
CONTENT = bytes(range(256)) * 40
MARKUP = "<script>document.title='taken over'<\u2215script>"
HOSTILE = (
    "\"'><img src=x onerror=alert(1)>",
    "\u202egnp.exe",
    "two  spaces a+b c&d=e#f?g%2e%2e;h and one at the end ",
    "שלום 🎉.json",
)
"""Names that a file system takes."""


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """A sandbox with two tokens, which runs one training at a time."""
    running = Portal(tmp_path_factory.mktemp("files") / "data", "--max-jobs", "1", tokens=f"ada {TOKEN}\nbob {BOB}\n")
    running.push(FOLDER, FILES)
    yield running
    running.close()


@pytest.fixture(params=[True, False], ids=["javascript", "plain"])
def ada(browser: Browser, portal: Portal, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A tab in which ada is signed in, with JavaScript and without."""
    with open_tab(browser, portal, java_script_enabled=request.param) as page:
        sign_in(page)
        yield page


def go(tab: Page, page: str) -> None:
    tab.get_by_role("navigation", name="Pages").get_by_role("link", name=page).click()
    tab.get_by_role("heading", name=page, level=1).wait_for()


def press(tab: Page | Locator, button: str) -> None:
    tab.get_by_role("button", name=button, exact=True).click()


def follow(tab: Page | Locator, link: str) -> None:
    tab.get_by_role("link", name=link, exact=True).click()


def see(tab: Page, sentence: str, role: str = "status") -> None:
    """Wait for a message of the page."""
    tab.locator(f"[role={role}]:visible").get_by_text(sentence).wait_for()


def row(tab: Page, text: str) -> Locator:
    return tab.get_by_role("row").filter(has_text=text)


def downloaded(tab: Page, name: str) -> bytes:
    with tab.expect_download() as waiting:
        follow(tab.get_by_role("rowheader"), name)
    return Path(waiting.value.path()).read_bytes()


def choose_files(tab: Page, *files: Path) -> None:
    with tab.expect_file_chooser() as chooser:
        tab.get_by_label("Files", exact=True).click()
    chooser.value.set_files(files)


def local(portal: Portal, path: str) -> Path:
    """The file of ada's drive on the disk."""
    return portal.data / "holders" / "ada" / "drive" / path


def publish(portal: Portal, name: str, *versions: str) -> None:
    for number in versions:
        path = f"{FOLDER}/{name}.ibsolution"
        content = {"package.json": json.dumps({"name": name, "version": number}), f"{name}/__init__.py": f"# {number}"}
        portal.write(path, zipped(content))
        assert portal.api("marketplace/publish", {"ibsolution_path": path}) == {"status": "OK"}


def test_a_person_keeps_files_in_the_drive(
    ada: Page, portal: Portal, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    drive = f"acme/kept/fs/{request.node.callspec.id}"
    first, second = tmp_path / "scan 1.bin", tmp_path / "scan 2.txt"
    first.write_bytes(CONTENT)
    second.write_text("second")
    go(ada, "Drive")
    for typed, reason in (("acme/kept/files", "its third part is not 'fs'"), (f"{FOLDER}/", "is there already")):
        ada.get_by_label("Path").fill(typed)
        press(ada, "Make drive")
        see(ada, reason, "alert")
        assert ada.get_by_label("Path").input_value() == typed.strip()
    ada.get_by_label("Path").fill(drive)
    press(ada, "Make drive")
    see(ada, "is made. It is empty.")
    ada.get_by_label("Name", exact=True).fill("../up")
    press(ada, "Make folder")
    see(ada, "the parts '.' and '..' are not allowed", "alert")
    assert ada.get_by_label("Name", exact=True).input_value() == "../up"
    ada.get_by_label("Name", exact=True).fill("scans/2026")
    press(ada, "Make folder")
    ada.get_by_role("heading", name="2026", exact=True).wait_for()

    choose_files(ada, first, second)
    press(ada, "Upload")
    see(ada, "2 files are stored.")
    assert "10.0 KiB" in row(ada, "scan 1.bin").inner_text()
    assert downloaded(ada, "scan 1.bin") == CONTENT
    first.write_bytes(b"new")
    choose_files(ada, first)
    press(ada, "Upload")
    see(ada, "“scan 1.bin” is in this folder already: nothing was stored.", "alert")
    choose_files(ada, first)
    ada.get_by_label("Replace files of the same names").check()
    press(ada, "Upload")
    see(ada, "“scan 1.bin” is stored.")
    assert downloaded(ada, "scan 1.bin") == b"new"

    follow(ada, "Delete scan 1.bin…")
    ada.get_by_role("heading", name="Delete scan 1.bin?").wait_for()
    assert "This cannot be undone." in ada.get_by_role("main").inner_text()
    follow(ada, "Keep it")
    follow(ada, "Delete scan 1.bin…")
    press(ada, "Delete")
    see(ada, "The file “scan 1.bin” is deleted.")
    assert row(ada, "scan 1.bin").count() == 0
    follow(ada.get_by_role("navigation", name="Folders above"), "scans")
    follow(ada, "Delete 2026…")
    ada.get_by_text("The folder holds one entry, which is deleted with all below it.").wait_for()
    press(ada, "Delete")
    see(ada, "The folder “2026” is deleted.")
    ada.get_by_role("heading", name="This folder is empty").wait_for()
    assert list(local(portal, f"{drive}/scans").iterdir()) == []


def test_files_are_dropped_on_the_page(signed_in: Page, portal: Portal) -> None:
    local(portal, "acme/kept/fs/Dropped").mkdir(parents=True)
    signed_in.goto("/portal/drive?path=acme/kept/fs/Dropped")
    dragged = signed_in.evaluate_handle(
        """contents => {
            const data = new DataTransfer();
            for (const [name, bytes] of Object.entries(contents)) {
                data.items.add(new File([new Uint8Array(bytes)], name));
            }
            return data;
        }""",
        {"one.bin": list(CONTENT), "two.bin": [1, 2, 3]},
    )
    form = signed_in.locator("form", has=signed_in.get_by_label("Files", exact=True))
    assert form.evaluate("form => getComputedStyle(form).outlineStyle") == "none"
    for step in ("dragenter", "dragover"):
        signed_in.dispatch_event("main", step, {"dataTransfer": dragged})
    assert form.evaluate("form => getComputedStyle(form).outlineStyle") == "dashed"
    said = signed_in.evaluate(
        """dataTransfer => {
            document.querySelector("main").dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true}));
            const notes = [...document.querySelectorAll("[role=status]")];
            return notes.filter(note => note.checkVisibility()).map(note => note.innerText);
        }""",
        dragged,
    )
    assert "The files are on their way. Stay on this page until they are stored." in said
    see(signed_in, "2 files are stored.")
    assert downloaded(signed_in, "one.bin") == CONTENT
    assert downloaded(signed_in, "two.bin") == b"\x01\x02\x03"


def test_hostile_names_are_texts(signed_in: Page, portal: Portal) -> None:
    folder = "acme/kept/fs/Hostile"
    local(portal, folder).mkdir(parents=True)
    signed_in.goto(f"/portal/drive?path={folder}")
    signed_in.get_by_label("Name", exact=True).fill(MARKUP)
    press(signed_in, "Make folder")
    signed_in.get_by_role("heading", name=MARKUP).wait_for()
    files: list[FilePayload] = [
        {"name": name, "mimeType": "text/html", "buffer": name.encode() + CONTENT} for name in HOSTILE
    ]
    signed_in.get_by_label("Files", exact=True).set_input_files(files)
    press(signed_in, "Upload")
    see(signed_in, f"{len(HOSTILE)} files are stored.")
    assert sorted(file.name for file in local(portal, f"{folder}/{MARKUP}").iterdir()) == sorted(HOSTILE)
    for name in HOSTILE:
        link = signed_in.get_by_role("rowheader").get_by_role("link").get_by_text(visible(name), exact=True)
        assert link.inner_text() == visible(name), "spaces are seen as they are"
        with signed_in.expect_download() as waiting:
            link.click()
        assert Path(waiting.value.path()).read_bytes() == name.encode() + CONTENT
        row(signed_in, visible(name)).get_by_role("link", name="Delete").click()
        assert signed_in.get_by_role("heading", level=1).inner_text() == f"Delete {visible(name)}?"
        press(signed_in, "Delete")
        see(signed_in, "is deleted.")
    signed_in.get_by_role("heading", name="This folder is empty").wait_for()
    assert signed_in.title().endswith("· sandbox")  # no script of a name ran


def test_a_package_is_installed_and_unpublished(plain: Page, portal: Portal) -> None:
    name = "shop"
    publish(portal, name, "1.0.0", "1.1.0")
    go(plain, "Marketplace")
    assert [each.inner_text().split()[:2] for each in row(plain, name).all()] == [[name, "1.1.0"], [name, "1.0.0"]]
    press(plain, f"Install {name} 1.0.0")
    see(plain, f"{name} 1.0.0 is installed.")
    press(plain, f"Install {name} 1.1.0")
    see(plain, f"{name} 1.1.0 is installed.")
    assert "not installed" not in row(plain, name).first.inner_text()

    follow(plain, f"installed: files of {name} 1.1.0")
    plain.get_by_role("heading", name="1.1.0").wait_for()
    assert plain.get_by_text("Read-only: this folder is mounted.").is_visible()
    assert plain.get_by_role("link", name="Delete").count() == 0
    follow(plain, f"{name}/")
    assert downloaded(plain, "__init__.py") == b"# 1.1.0"

    go(plain, "Marketplace")
    follow(plain, f"Unpublish {name} 1.1.0…")
    plain.get_by_role("heading", name=f"Unpublish {name} 1.1.0?").wait_for()
    follow(plain, "Keep it")
    follow(plain, f"Unpublish {name} 1.1.0…")
    press(plain, "Unpublish")
    see(plain, f"{name} 1.1.0 is unpublished.")
    assert row(plain, name).count() == 1

    go(plain, "Audit")
    shown = [each.all_inner_texts()[:5] for each in (each.locator("th, td") for each in row(plain, name).all())]
    package = f"package {name}"
    assert shown == [
        ["unpublish", package, "1.1.0", "1.0.0", "ada (portal)"],
        ["install", package, "1.0.0", "1.1.0", "ada (portal)"],
        ["install", package, NOTHING, "1.0.0", "ada (portal)"],
        ["publish", package, "1.0.0", "1.1.0", "ada (API)"],
        ["publish", package, NOTHING, "1.0.0", "ada (API)"],
    ]
    plain.get_by_label("Action").select_option("unpublish")
    press(plain, "Filter")
    plain.get_by_role("link", name="Show all").wait_for()
    assert set(plain.get_by_role("rowheader").all_inner_texts()) == {"unpublish"}
    assert row(plain, name).count() == 1


def test_the_settings_show_limits_and_names_of_tokens(plain: Page, portal: Portal) -> None:
    running = portal.train_shown(until="never", pause=0)
    portal.wait_for_report(running, "evaluations")
    waiting = portal.train_shown(until="never", pause=0)
    go(plain, "Settings")
    facts = {
        fact.locator("dt").inner_text(): fact.locator("dd").inner_text() for fact in plain.locator("dl > div").all()
    }
    assert (facts["Running now"], facts["In the queue"], facts["At once"]) == ("1", "1", "at most 1")
    assert (facts["pytest-ibmodels"], facts["Database"]) == (version("pytest-ibmodels"), "SQLite")
    assert facts["Memory of each"].startswith("at most ")
    assert facts["Your token's name"] == "ada"
    assert re.fullmatch(r"(more than )?[\d.]+ (bytes|[KMGT]iB)", facts["Drive"])
    assert plain.get_by_role("meter", name="Used part of the disk").is_visible()
    for job_id in (waiting, running):
        plain.goto(f"/portal/jobs/{job_id}/cancel")
        press(plain, "Cancel the job")
        see(plain, "The job is cancelled.")
    go(plain, "Audit")
    plain.get_by_label("Action").select_option("cancel")
    press(plain, "Filter")
    cells = [row(plain, job_id[:8]).locator("th, td").all_inner_texts()[:5] for job_id in (waiting, running)]
    assert [each[2:] for each in cells] == [
        ["queued", "cancelled", "ada (portal)"],
        ["running", "cancelled", "ada (portal)"],
    ]
    follow(plain, f"job {running[:8]}")
    assert plain.url.endswith(f"/portal/jobs/{running}")
    for page in ("Jobs", "Models", "Train", "Try it", "Drive", "Marketplace", "Settings", "Audit"):
        go(plain, page)
        assert not re.search(f"{TOKEN}|{BOB}|\\bbob\\b", plain.content()), page


def test_the_drive_and_the_marketplace_need_no_mouse(signed_in: Page, portal: Portal, tmp_path: Path) -> None:
    file = tmp_path / "typed.txt"
    file.write_bytes(CONTENT)
    local(portal, "acme/kept/fs/Typed").mkdir(parents=True)
    publish(portal, "typed", "1.0.0")
    tab, keys = signed_in, signed_in.keyboard

    def reach(wanted: Locator) -> None:
        """Go to an element from the page's beginning, by Tab alone."""
        tab.get_by_role("link", name="Skip to the content").focus()
        keys.press("Enter")
        for _ in range(60):
            keys.press("Tab")
            if wanted.evaluate("element => element === document.activeElement"):
                assert wanted.evaluate("element => getComputedStyle(element).outlineStyle") != "none", "focus is seen"
                return
        message = f"{wanted} is not reached"
        raise AssertionError(message)

    def press_on(wanted: Locator, key: str = "Enter") -> None:
        reach(wanted)
        keys.press(key)

    tab.goto("/portal/drive?path=acme/kept/fs/Typed")
    reach(tab.get_by_label("Name", exact=True))
    keys.type("inner")
    keys.press("Enter")
    see(tab, "The folder “inner” is made.")
    # Expected before the field is reached: a busy page could get the key before it is told to open no dialog.
    with tab.expect_file_chooser() as chooser:
        press_on(tab.get_by_label("Files", exact=True))
    chooser.value.set_files(file)
    press_on(tab.get_by_role("button", name="Upload", exact=True))
    see(tab, "“typed.txt” is stored.")
    reach(tab.get_by_role("link", name="typed.txt", exact=True))
    with tab.expect_download() as waiting:
        keys.press("Enter")
    assert Path(waiting.value.path()).read_bytes() == CONTENT
    press_on(tab.get_by_role("link", name="Delete typed.txt…"))
    tab.get_by_role("heading", name="Delete typed.txt?").wait_for()
    press_on(tab.get_by_role("button", name="Delete", exact=True), "Space")
    see(tab, "The file “typed.txt” is deleted.")

    tab.goto("/portal/marketplace")
    press_on(tab.get_by_role("button", name="Install typed 1.0.0"))
    see(tab, "typed 1.0.0 is installed.")
    press_on(tab.get_by_role("link", name="Unpublish typed 1.0.0…"))
    tab.get_by_role("heading", name="Unpublish typed 1.0.0?").wait_for()
    press_on(tab.get_by_role("button", name="Unpublish", exact=True))
    see(tab, "typed 1.0.0 is unpublished.")


def test_a_person_sees_nothing_of_another(browser: Browser, portal: Portal) -> None:
    folder = "acme/hers/fs/Files"
    portal.write(f"{folder}/hers.txt", "ada's")
    portal.push(f"{folder}/save/saved_model", model_package("Total"))
    body = {
        "model_path": f"{folder}/save/saved_model/",
        "dev_input_folder": f"{folder}/",
        "model_name": "hers",
        "extracted_fields": ["Total"],
        "refiner_path": "hers.ibrefiner/",
        "annotator_dir": f"/{folder}/save/",
    }
    assert portal.api("annotator/export_model", body)["status"] == "OK"
    publish(portal, "hers", "1.0.0")
    job_id = portal.train_shown(steps=1, pause=0, model_name="hers")
    portal.wait(job_id)
    with open_tab(browser, portal) as tab:
        sign_in(tab, BOB)
        nothing = {
            "Jobs": "No jobs yet",
            "Models": "No training code is here yet",
            "Try it": "No extraction model is registered yet",
            "Drive": "fs/DRIVE",
            "Marketplace": "No packages yet",
            "Audit": "Nothing has been changed yet",
        }
        for page, said in nothing.items():
            go(tab, page)
            shown = tab.get_by_role("main").inner_text()
            assert said in shown
            assert not re.search(rf"\bhers\b|\bada\b|acme/(?!reviews)|{job_id[:8]}", shown), page
        made_up = "0" * 32
        for path in (
            f"jobs/{job_id}",
            f"jobs/{job_id}/log",
            f"jobs/{job_id}/cancel",
            f"jobs/{job_id}/log.txt",
            f"drive?path={folder}/hers.txt",
            f"drive/download?path={folder}/hers.txt",
            f"drive/delete?path={folder}/hers.txt",
            "marketplace/hers/1.0.0/unpublish",
            "models/hers",
        ):
            seen = []
            for asked in (path, path.replace(job_id, made_up).replace("hers", "none")):
                answer = tab.request.get(f"/portal/{asked}")
                assert answer.status in {400, 404}, asked
                shown = answer.text().partition("<main")[2]
                seen.append(shown.replace(job_id, made_up).replace("hers", "none"))
            assert seen[0] == seen[1]
    assert local(portal, f"{folder}/hers.txt").exists()
