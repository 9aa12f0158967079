"""Try it in a real browser: a document of the drive, read by an extraction model that ibformers has trained."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.ibformers.trainable import DOCUMENTS, FIELDS, FolderDrive, JobRecorder
from tests.portal.conftest import Portal, open_tab, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

pytestmark = pytest.mark.browser

MODEL = "membership cards"
TRAINED = "own/repo/fs/drive"
DOCUMENT = f"{TRAINED}/{DOCUMENTS}/012.ibocr"
Training = tuple[FolderDrive, JobRecorder]


@pytest.fixture(scope="module")
def predicted(portal: Portal, extraction_training: Training) -> dict[str, str]:
    """Text of each field that training has predicted in the document, once the model is registered."""
    drive, _recorder = extraction_training
    saved = drive.root / TRAINED / "out" / "T" / "saved_model"
    files = {str(path.relative_to(saved)): path.read_bytes() for path in saved.rglob("*") if path.is_file()}
    portal.push(f"{TRAINED}/out/T/saved_model", files)
    portal.write(DOCUMENT, drive.read_file(DOCUMENT))
    body = {
        "model_path": f"{TRAINED}/out/T/saved_model/",
        "dev_input_folder": f"{TRAINED}/{DOCUMENTS}/",
        "model_name": MODEL,
        "extracted_fields": list(FIELDS),
        "refiner_path": "cards.ibrefiner/",
        "annotator_dir": f"/{TRAINED}/out/T/",
    }
    assert portal.api("annotator/export_model", body)["status"] == "OK"
    prediction = drive.read_json(f"{TRAINED}/out/T/predictions.json")[DOCUMENT]
    return {name: prediction[name]["text"] for name in FIELDS if prediction[name]["text"]}


def colour(element: Locator) -> str:
    found: str = element.evaluate("element => getComputedStyle(element).color")
    return found


@pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "plain"])
def test_a_person_chooses_a_document_and_sees_its_fields(
    browser: Browser, portal: Portal, predicted: dict[str, str], *, javascript: bool
) -> None:
    assert predicted, "the training found no field in this document: take another one"
    with open_tab(browser, portal, javascript=javascript) as tab:
        sign_in(tab)
        tab.get_by_role("link", name="Try it").click()
        part = tab.get_by_role("region", name="A document")
        part.get_by_text("Choose a document").click()
        for folder in f"{TRAINED}/{DOCUMENTS}".split("/"):
            part.get_by_role("listitem").get_by_role("link", name=f"{folder}/", exact=True).click()
        part.get_by_role("link", name="012.ibocr").click()
        assert part.get_by_label("Document in the drive").input_value() == DOCUMENT
        part.get_by_label("Model").select_option(MODEL)
        part.get_by_role("button", name="Ask the model").click(timeout=60_000)  # the model is loaded

        page = part.get_by_role("img", name=re.compile(r"Page 1: \d+ words, \d fields found"))
        page.wait_for(timeout=60_000)
        assert page.get_attribute("aria-label") == f"Page 1: 8 words, {len(predicted)} fields found"
        assert part.get_by_label("Model").locator("option:checked").inner_text() == MODEL
        rows = part.get_by_role("table").get_by_role("row").filter(has=tab.get_by_role("rowheader"))
        shown = {row.get_by_role("rowheader").inner_text(): row for row in rows.all()}
        assert {name: row.get_by_role("cell").nth(1).inner_text() for name, row in shown.items()} == predicted
        for name, row in shown.items():
            confidence = row.get_by_role("cell").last.inner_text()
            assert re.fullmatch(r"[01]\.\d{4}", confidence), confidence
            assert float(confidence) > 0.2
            # Words of the field are marked in its colour, and say which field it is.
            words = page.locator("g", has=tab.locator("title", has_text=f"{name}: "))
            assert words.count() == len(predicted[name].split())
            mark = row.locator(".mark")
            assert {colour(word.locator("rect")) for word in words.all()} == {colour(mark)}
            assert words.first.locator(".tag").text_content() == mark.inner_text()
        assert len({colour(row.locator(".mark")) for row in shown.values()}) == len(shown)
        assert page.locator("rect").count() == 8
