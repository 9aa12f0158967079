"""Registered models in the portal: asked about a document, whose words are drawn, and about a text."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels.sandbox.portal.drawing import draw_page
from pytest_ibmodels.sandbox.portal.predictions import fields_of, pages_of, record_of_text, scores_of
from pytest_ibmodels.sandbox.services.records import record_problem
from tests.portal.client import text_of
from tests.sandbox.pushed import model_package

if TYPE_CHECKING:
    from tests.portal.client import Person
    from tests.portal.conftest import Portal

ROOT = "acme/try/fs/Drive"
HOSTILE = "<script>alert(1)</script>\"'"
LINES = ("total 12 EUR", f"Paid {HOSTILE} \u202eback")


def record(*lines: str) -> dict[str, Any]:
    """A record whose words stand on a page, a line below the other."""
    return record_of_text("\n".join(lines))


@pytest.fixture(scope="module")
def model(portal: Portal) -> str:
    """Name of a registered model, which calls each word that is not small a field."""
    name = f"words {HOSTILE}"
    portal.push(f"{ROOT}/save/saved_model", model_package(f"Total {HOSTILE}"))
    body = {
        "model_path": f"{ROOT}/save/saved_model/",
        "dev_input_folder": f"{ROOT}/docs/",
        "model_name": name,
        "extracted_fields": ["Total"],
        "refiner_path": "words.ibrefiner/",
        "annotator_dir": f"/{ROOT}/save/",
    }
    assert portal.api("annotator/export_model", body)["status"] == "OK"
    portal.write(f"{ROOT}/docs/a.ibocr", json.dumps([record("nothing"), record(*LINES)]))
    portal.write(f"{ROOT}/docs/broken.ibocr", "{")
    return name


def test_fields_of_a_document_are_drawn(person: Person, model: str) -> None:
    page = person.get("/portal/try")
    assert "Tuned models are not listed. No code that trains and answers for models is here yet" in text_of(page)
    for folder in ("", "acme", "acme/try/fs", f"{ROOT}/docs"):
        page = person.get(f"/portal/try?folder={folder}")
        assert page.status_code == 200
    assert f"document={ROOT.replace('/', '%2F')}%2Fdocs%2Fa.ibocr" in page.text
    chosen = person.get(f"/portal/try?document={ROOT}/docs/a.ibocr")
    assert f'value="{ROOT}/docs/a.ibocr"' in chosen.text

    fields = {"model": f"served:{model}", "document": f"{ROOT}/docs/a.ibocr", "record": "2"}
    found = person.send("/portal/try", "/portal/try/document", **fields)
    assert found.status_code == 200, text_of(found)
    assert found.text.count('<rect class="found line-1"') == 5
    assert found.text.count('<rect class="word"') == 1
    assert "Page 1: 6 words, 1 fields found" in found.text
    assert "12 EUR Paid" in text_of(found).partition("Confidence")[2]
    assert "0.5000" in text_of(found)
    assert "<script>" not in found.text.partition("<main")[2]
    assert "\u202e" not in found.text
    assert '<a href="/portal/jobs">Jobs</a>' in found.text

    for changed, problem in (
        ({"record": "3"}, "there is no record 2"),
        ({"record": "x"}, "The record is a number from 1, not 'x'"),
        ({"document": f"{ROOT}/docs/broken.ibocr"}, "is not JSON"),
        ({"document": "../x"}, "the parts '.' and '..' are not allowed"),
        ({"model": "served:none"}, "There is no model 'none': choose one"),
    ):
        refused = person.send("/portal/try", "/portal/try/document", **{**fields, **changed})
        assert refused.status_code == 409
        assert problem in text_of(refused)


def test_a_text_is_asked_about_as_a_document(person: Person, model: str) -> None:
    found = person.send("/portal/try", "/portal/try/text", model=f"served:{model}", text=f"Sum 12\r\n{HOSTILE}")
    assert found.status_code == 200
    assert '"label": "Total &lt;script&gt;' in found.text.replace("&#34;", '"')
    refused = person.send("/portal/try", "/portal/try/text", model=f"served:{model}", text=" ")
    assert "Type a text" in text_of(refused)
    failed = person.send("/portal/try", "/portal/try/text", model=f"served:{model}", text="raise")
    assert failed.status_code == 409
    assert "cannot read this" in text_of(failed)
    assert ">raise</textarea>" in failed.text.replace("\n", "")


@pytest.mark.parametrize(
    ("answer", "labels"),
    [
        ([{"label": "a", "score": 0.2}, {"label": "b", "score": 0.8}], ["b", "a"]),
        ([[{"label": "a", "score": math.nan}]], ["a"]),
        ({"raw_data": {"type": "str", "data": "Z29vZA=="}, "score": 0.9}, ["good"]),
        ({"raw_data": {"data": "no base64!"}}, ["no base64!"]),
        ([1, "x"], []),
        ({"ner_result": None}, []),
        (None, []),
    ],
)
def test_scores_of_any_answer(answer: Any, labels: list[str]) -> None:
    found = scores_of(answer)
    assert [one.label for one in found] == labels
    assert all(0 <= one.share <= 1 for one in found)


def test_a_typed_text_is_a_valid_record() -> None:
    assert record_problem(record("", " a  b a ", "\tx")) is None


def test_malformed_places_and_entities_are_left_out() -> None:
    found = record("a b c d", "e")
    first = found["lines"][0]
    first[0]["start_x"] = math.inf
    first[1]["end_x"] = "wide"
    del first[2]["start_y"]
    found["metadata_list"] = [{"layout": {"width": math.nan, "height": "x"}}]
    entities = [
        {"label": "L", "start_index": 6, "end_index": 7, "score": 0.5},
        {"label": "L", "start_index": 8, "end_index": 9, "score": 1.0},
        {"label": "M", "start_index": 6, "end_index": 7, "score": math.nan},
        {"label": "O", "start_index": 0, "end_index": 7, "score": 1.0},
        {"label": "N", "start_index": -1, "end_index": 7},
        {"label": "N"},
        "x",
    ]
    result = {"ner_result": {"entities": entities}}
    fields = fields_of(result, found["text"])
    assert [(field.name, field.text, field.score) for field in fields] == [("L", "d e", 0.75), ("M", "d", 0.0)]
    (page,) = pages_of(found, result, fields)
    assert [(word.text, word.field and word.field.name) for word in page.words] == [("d", "L"), ("e", "L")]
    drawn = draw_page(page)
    assert re.findall(r'class="tag"[^>]*>(\d)<', drawn) == ["1"]
    assert pages_of(record(" "), {}, []) == []
