"""How a person uses the pages of tuned models: what to press, and what is seen then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.portal.conftest import CODE, Portal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from playwright.sync_api import Page

TRAIN = f"/portal/train?code={CODE}"
TRAINING_SECONDS = 60_000
"""Longest wait for a training, in milliseconds: the machine may be busy."""


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
    """Return the first banner of the page."""
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
