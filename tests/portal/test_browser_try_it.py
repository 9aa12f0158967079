"""Try it in a real browser: a document of the drive, read by an extraction model that ibformers has trained."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.ibformers.trainable import DOCUMENTS, FIELDS, FolderDrive, JobRecorder

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from tests.portal.conftest import Portal

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


def test_a_person_chooses_a_document_and_sees_its_fields(
    portal: Portal, signed_in: Page, predicted: dict[str, str]
) -> None:
    assert predicted, "the training found no field in this document: take another one"
    tab = signed_in
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
    answer = part.get_by_role("heading", name="Fields").bounding_box()
    assert answer is not None
    assert 0 < answer["y"] < 720, "the answer is in sight, without scrolling"
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
    tab.set_viewport_size({"width": 360, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") == 360
    for row in shown.values():
        place = row.get_by_role("cell").last.bounding_box()
        assert place is not None
        assert place["x"] + place["width"] < 360, "a phone shows the confidence, too"
