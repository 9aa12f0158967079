"""Every page of the portal, of one small sandbox that has something to show on each."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

import ibformers
from pytest_ibmodels.sandbox.portal.predictions import record_of_text
from tests.portal.conftest import CODE, Portal, sign_in
from tests.portal.pushed import FILES, FOLDER, HOSTILE, HOSTILE_NAMES
from tests.sandbox.pushed import model_package
from tests.sandbox.running import TOKEN, zipped

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

Who = Literal["ada", "newcomer", "nobody"]

TOKENS = {"ada": TOKEN, "newcomer": "other-token"}
DRIVE = "acme/receipts/fs/Files"
MODEL = "words"
SETTINGS = {"model_name": "reviews", "num_labels": 5}
REVIEW = "This was a really bad experience"


@dataclass(frozen=True)
class Shown:
    """A page, and how a person gets there.

    Attributes:
        name: Name of its pictures.
        path: Where the way begins.
        then: What the person does there.
        who: Whose token it is.
        is_moving: Whether its text changes while nobody does anything.
    """

    name: str
    path: str
    then: Callable[[Page], None] | None = None
    who: Who = "ada"
    is_moving: bool = False

    def open(self, tab: Page) -> None:
        tab.goto(f"/portal/{self.path}")
        if self.then:
            self.then(tab)


def fill(portal: Portal) -> None:
    """Put files in the drive, and publish packages."""
    for number, size in enumerate((48_213, 51_904, 47_388, 60_127), start=1):
        portal.write(f"{DRIVE}/scans/receipt-{number:03}.ibmsg", b"x" * size)
    portal.write(f"{DRIVE}/scans/labels/fields.json", "{}")
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        content = zipped({"package.json": json.dumps({"name": "receipts", "version": version}), "receipts/a.py": ""})
        portal.write(f"{DRIVE}/receipts.ibsolution", content)
        portal.api("marketplace/publish", {"ibsolution_path": f"{DRIVE}/receipts.ibsolution"})
    portal.api("marketplace/install", {"name": "receipts", "version": "1.1.0"})


class EveryPage(Portal):
    """A sandbox with jobs in every state, models in every state, files and packages; and a token that has nothing."""

    def __init__(self, data: Path, base_model: Path) -> None:
        mounts = (f"{CODE}={Path(ibformers.__file__).parent}", "acme/samples/fs/Files/licenses=sample:drivers-licenses")
        tokens = "".join(f"{name} {token}\n" for name, token in TOKENS.items())
        options = [option for mount in mounts for option in ("--mount", mount)]
        super().__init__(data, "--max-jobs", "1", *options, tokens=tokens, preload=True)
        self.folder = data / "holders" / "ada"
        try:
            self._add_files()
            self._add_models(base_model)
            self._add_jobs()
        except BaseException:
            self.close()
            raise

    def _add_files(self) -> None:
        fill(self)
        many, strange, empty = (self.folder / "drive" / DRIVE / name for name in ("many", "strange", "empty"))
        for folder, names in (
            (many, [f"page-{number:03}.json" for number in range(120)]),
            (strange, HOSTILE_NAMES),
            (empty, []),
        ):
            folder.mkdir()
            for name in names:
                (folder / name).touch()

    def _add_models(self, base_model: Path) -> None:
        """One with all versions, one that was never trained, and a registered one."""
        self.first = self._tune(base_model, limit=100, learning_rate=0.01)
        self.tuning("override")
        self.second = self._tune(base_model, limit=100, learning_rate=3.0)
        shutil.copytree(base_model, self.folder / "models" / "untrained")
        self.push(f"{DRIVE}/save/saved_model", model_package("Total"))
        self.write(f"{DRIVE}/documents/a.ibocr", json.dumps([record_of_text(f"total 12 EUR\nPaid to {HOSTILE[:60]}")]))
        exported = {
            "model_path": f"{DRIVE}/save/saved_model/",
            "dev_input_folder": f"{DRIVE}/documents/",
            "model_name": MODEL,
            "extracted_fields": ["Total"],
            "refiner_path": "words.ibrefiner/",
            "annotator_dir": f"/{DRIVE}/save/",
        }
        assert self.api("annotator/export_model", exported)["status"] == "OK"

    def _tune(self, base_model: Path, **request: object) -> str:
        """Train a candidate of the model ``reviews``; return its job."""
        rows = {"table": "Review", "columns": ["ReviewLabel", "ReviewText"], "num_train_epochs": 2}
        settings = {**SETTINGS, "base_model": str(base_model)}
        body = {"script_packages": [CODE], "database": "sample:reviews", "settings": settings}
        job_id: str = self.api("tuning/train", {**body, "request": {**rows, **request}})["job_id"]
        done = self.wait(job_id, 120)  # libraries may still be imported
        assert done["status"] == "OK", done
        return job_id

    def tuning(self, action: str) -> None:
        answer = self.api(f"tuning/{action}", {"script_packages": [CODE], "settings": SETTINGS, "request": {}})
        assert answer["status"] == "OK", answer

    def _add_jobs(self) -> None:
        self.push(FOLDER, FILES)
        for _ in range(50):  # more than a page
            self.drive("POST", f"{DRIVE}/unzip", {"zip_file": "receipts.ibsolution", "destination": f"{DRIVE}/out"})
        self.done = self.train_shown(pause=0, model_name="Receipts")
        self.failed = self.train_shown("hostile", model_name="<b>\u202e\"'")
        self.cancelled = self.train_shown(until="never")
        self.wait(self.failed)
        self.wait_for_report(self.cancelled, "evaluation_results")
        self.api("jobs/cancel", {"job_id": self.cancelled})
        self.running = self.train_shown("wait", model_name="Receipts", epochs=10)
        self.queued = self.train_shown(until="never", model_name="Receipts")
        self.wait_for_report(self.running, "progress")

    def pages(self) -> list[Shown]:
        """Every page; those that end a session come last."""
        return [
            *_of_a_newcomer(),
            *self._of_jobs(),
            *_of_models(),
            *_of_training(),
            *_of_predictions(),
            *_of_files(),
            Shown("marketplace", "marketplace"),
            Shown("marketplace-unpublish", "marketplace/receipts/1.1.0/unpublish"),
            Shown("settings", "settings", is_moving=True),
            Shown("audit", "audit"),
            Shown("audit-no-match", "audit?action=unpublish"),
            Shown("no-such-page", "nowhere"),
            Shown("refused-form", f"jobs/{self.running}/cancel", _send_a_forged_form),
            *self._of_signing_in(),
        ]

    def _of_jobs(self) -> list[Shown]:
        job = f"jobs/{self.failed}"
        return [
            Shown("jobs", "jobs", is_moving=True),
            Shown("jobs-no-match", "jobs?model=none"),
            Shown("jobs-older", "jobs", lambda tab: tab.get_by_role("link", name="Older").click(), is_moving=True),
            Shown("job-running", f"jobs/{self.running}", is_moving=True),
            Shown("job-queued", f"jobs/{self.queued}", is_moving=True),
            Shown("job-done", f"jobs/{self.done}"),
            Shown("job-failed", job, lambda tab: tab.get_by_text("Stack trace").click()),
            Shown("job-cancelled", f"jobs/{self.cancelled}"),
            Shown("job-of-a-model", f"jobs/{self.second}"),
            Shown("log", f"{job}/log"),
            Shown("log-first-error", f"jobs/{self.done}/log?at=error"),
            Shown("log-without-error", f"jobs/{self.second}/log?at=error"),
            Shown("log-of-nothing", f"jobs/{self.queued}/log"),
            Shown("cancel", f"jobs/{self.running}/cancel"),
            Shown("cancel-what-ended", f"jobs/{self.done}/cancel"),
            Shown("no-such-job", "jobs/none"),
        ]

    def _of_signing_in(self) -> list[Shown]:
        ask = f"jobs/{self.done}/cancel"

        def end_session(tab: Page) -> None:
            tab.goto(f"/portal/jobs/{self.running}/cancel")
            tab.context.clear_cookies()
            tab.get_by_role("button", name="Cancel the job").click()
            tab.get_by_text("What you typed is kept").wait_for()

        def sign_in_again(tab: Page) -> None:
            end_session(tab)
            tab.get_by_label("Token").fill(TOKEN)
            tab.get_by_role("button", name="Sign in").click()
            tab.get_by_role("button", name="Send it").wait_for()

        def mistype(tab: Page) -> None:
            tab.get_by_label("Token").fill("mistyped")
            tab.get_by_role("button", name="Sign in").click()
            tab.get_by_role("alert").get_by_text("neither a token").wait_for()

        return [
            Shown("send-again", ask, sign_in_again),
            Shown("ended-session", ask, end_session),
            Shown("sign-in", "sign-in", who="nobody"),
            Shown("sign-in-code", "sign-in?code=made-up-code", who="nobody"),
            Shown("sign-in-refused", "sign-in", mistype, who="nobody"),
        ]


def _of_a_newcomer() -> list[Shown]:
    pages = ("jobs", "models", "train", "try", "drive", "marketplace", "settings", "audit")
    with_code = Shown("first-models-of-code", f"models?code={CODE}", who="newcomer")
    return [*(Shown(f"first-{page}", page, who="newcomer", is_moving=page == "settings") for page in pages), with_code]


def _of_models() -> list[Shown]:
    stale = "in_use=another&candidate=another"
    return [
        Shown("models", "models"),
        Shown("model", "models/reviews"),
        Shown("model-untrained", "models/untrained"),
        Shown("model-override", "models/reviews/override"),
        Shown("model-override-stale", f"models/reviews/override?{stale}"),
        Shown("model-override-nothing", "models/untrained/override"),
        Shown("model-roll-back", "models/reviews/rollback"),
        Shown("model-roll-back-nothing", "models/untrained/rollback"),
        Shown("model-discard", "models/reviews/discard"),
        Shown("model-discard-nothing", "models/untrained/discard"),
        Shown("no-such-model", "models/none"),
    ]


def _of_training() -> list[Shown]:
    def show_tables(tab: Page) -> None:
        tab.get_by_role("button", name="Show its tables").click()
        tab.get_by_label("Column of the text").wait_for()

    def refuse(tab: Page) -> None:
        tab.get_by_label("Limit of rows").fill("many")
        tab.get_by_role("button", name="Train", exact=True).click()
        tab.get_by_role("alert").get_by_text("Type the name").wait_for()

    def fail(tab: Page) -> None:
        tab.get_by_label("Database", exact=True).fill("sample:cats")
        tab.get_by_role("button", name="Show its tables").click()
        tab.get_by_text("unknown sample").wait_for()

    return [
        Shown("train", "train?model=reviews"),
        Shown("train-tables", "train", show_tables),
        Shown("train-refused", "train", refuse),
        Shown("train-no-database", "train", fail),
        Shown("train-arguments", "train/arguments"),
    ]


def _of_predictions() -> list[Shown]:
    def ask(model: str, text: str) -> Callable[[Page], None]:
        def do(tab: Page) -> None:
            form = tab.locator("form[action^='/portal/try/text']")
            form.get_by_label("Model").select_option(model)
            form.get_by_label("Text").fill(text)
            form.get_by_role("button", name="Ask the model").click()
            tab.locator(".answer, main [role=alert]:not([hidden])").first.wait_for()

        return do

    def ask_about_a_document(tab: Page) -> None:
        tab.locator("form[action^='/portal/try/document']").get_by_role("button", name="Ask the model").click()
        tab.get_by_role("figure").wait_for()

    documents = f"{DRIVE}/documents"
    return [
        Shown("try", "try?model=tuned:reviews"),
        Shown("try-text", "try", ask("tuned:reviews", REVIEW)),
        Shown("try-text-of-fields", "try", ask(f"served:{MODEL}", f"Sum 12\n{HOSTILE[:100]}")),
        Shown("try-text-refused", "try", ask(f"served:{MODEL}", "")),
        Shown("try-choose", f"try?folder={documents}"),
        Shown("try-document", f"try?document={documents}/a.ibocr", ask_about_a_document),
    ]


def _of_files() -> list[Shown]:
    def make_folder(tab: Page) -> None:
        tab.get_by_label("Name", exact=True).fill("labels")
        tab.get_by_role("button", name="Make folder").click()
        tab.get_by_role("alert").first.wait_for()

    def path(name: str, page: str = "") -> str:
        return f"drive{page}?path={quote(f'{DRIVE}/{name}', safe='')}"

    return [
        Shown("drive", "drive"),
        Shown("drive-owner", "drive?path=acme"),
        Shown("drive-folder", path("scans")),
        Shown("drive-empty", path("empty")),
        Shown("drive-many", path("many")),
        Shown("drive-filtered", f"{path('many')}&find=none"),
        Shown("drive-strange", path("strange")),
        Shown("drive-read-only", "drive?path=acme/samples/fs/Files/licenses"),
        Shown("drive-refused", path("scans"), make_folder),
        Shown("drive-delete-folder", path("scans", "/delete")),
        Shown("drive-delete-file", path("scans/receipt-001.ibmsg", "/delete")),
        Shown("no-such-file", path("none")),
    ]


def _send_a_forged_form(tab: Page) -> None:
    tab.evaluate("for (const field of document.getElementsByName('csrf')) field.value = 'made up'")
    tab.get_by_role("button", name="Cancel the job").click()
    tab.get_by_role("heading", name="This was not done").wait_for()


def sign_in_as(tab: Page, who: Who) -> None:
    """Sign in, unless that is nobody."""
    if who in TOKENS:
        sign_in(tab, TOKENS[who])
