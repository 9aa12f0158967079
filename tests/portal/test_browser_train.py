"""The form of a training in a browser: mistakes, passwords, without JavaScript, by keyboard alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.portal.conftest import Portal, violations, wait_for_value
from tests.portal.tuning_pages import (
    TRAIN,
    TRAINING_SECONDS,
    audit_of,
    cells,
    choose_table,
    fill_form,
    follow,
    press_train,
    said,
    versions,
)

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

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
def portal(tuning_portal: Portal) -> Portal:
    return tuning_portal


def go_to(tab: Page, name: str) -> None:
    """Press Tab until the element with this label or text has the focus, which must be seen."""
    for _ in range(60):
        tab.keyboard.press("Tab")
        # An element may move into view while it gets the focus.
        if wait_for_value(tab, FOCUSED) == [name]:
            return
    message = f"Tab does not lead to {name!r}"
    raise AssertionError(message)


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


def test_the_form_trains_without_javascript(portal: Portal, plain: Page, tiny_bert: Path) -> None:
    tab = plain
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
