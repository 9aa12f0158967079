from __future__ import annotations

import copy
import json
import unicodedata
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ibformers.documents.ocr import parse_document
from ibformers.errors import DocumentError
from tests.ibformers.trainable import ocr_document

if TYPE_CHECKING:
    from collections.abc import Callable

Records = list[dict[str, Any]]
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1, max_size=8)


@given(st.lists(st.lists(WORDS, max_size=5), max_size=5))
def test_a_word_is_the_slice_of_the_text_that_its_offsets_give(lines: list[list[str]]) -> None:
    document = parse_document(json.dumps(ocr_document([" ".join(line) for line in lines])), "d.ibocr")
    words = [word for line in lines for word in " ".join(line).split()]
    assert [document.text[word.start : word.end] for word in document.words] == words
    assert [word.text for word in document.words] == words


def test_a_word_repeated_in_its_line_is_found_in_turn() -> None:
    document = parse_document(json.dumps(ocr_document(["9.00 9 9.00"])), "d.ibocr")
    assert [(word.start, word.end) for word in document.words] == [(0, 4), (5, 6), (7, 11)]


FORMS: st.SearchStrategy[Literal["NFC", "NFD"]] = st.sampled_from(["NFC", "NFD"])
IN_TWO_FORMS = st.sampled_from(["Café", "über", "Zoë", "हिन्दी", "한글", "क\u093c", "e", "plain"])


@given(st.lists(st.tuples(IN_TWO_FORMS, FORMS), min_size=1, max_size=6), FORMS)
def test_a_word_is_found_in_whatever_unicode_form_its_line_is(
    line: list[tuple[str, Literal["NFC", "NFD"]]], form: Literal["NFC", "NFD"]
) -> None:
    words = [word for word, _ in line]
    written = [unicodedata.normalize(each, word) for word, each in line]
    records = ocr_document([" ".join(written)])
    for word, item in zip(words, records[0]["lines"][0], strict=True):
        item["word"] = unicodedata.normalize(form, word)
    document = parse_document(json.dumps(records), "d.ibocr")
    assert document.text == " ".join(written)
    assert [word.text for word in document.words] == written
    assert [document.text[word.start : word.end] for word in document.words] == written


def test_a_word_that_is_not_in_its_line_is_told_with_what_the_line_reads() -> None:
    records = ocr_document(["one two"])
    records[0]["lines"][0][1]["word"] = "tw\u043e"  # a Cyrillic letter
    with pytest.raises(DocumentError, match=r"'tw.' is not in .* after character 3, where it reads ' two'\.$"):
        parse_document(json.dumps(records), "d.ibocr")


def test_records_are_joined_by_a_line_break() -> None:
    first, second = ocr_document(["one two", "three"])[0], ocr_document(["four"], width=300)[0]
    document = parse_document(json.dumps([first, second]), "d.ibocr")
    assert document.text == "one two\nthree\nfour"
    last = document.words[-1]
    assert (last.text, last.start, last.page, last.line) == ("four", 14, 1, 2)
    assert [page.width for page in document.pages] == [600, 300]


def test_a_document_without_words_is_valid() -> None:
    empty = [{"text": "", "lines": [], "metadata_list": [{"layout": {"width": 10, "height": 10}}]}]
    assert parse_document(json.dumps(empty), "d.ibocr").words == ()


def _without_a_line(records: Records) -> None:
    records[0]["lines"].pop()


def _blank_word(records: Records) -> None:
    records[0]["lines"][0][1]["word"] = "  "


def _foreign_word(records: Records) -> None:
    records[0]["lines"][1][0]["word"] = "Forty"


def _words_out_of_order(records: Records) -> None:
    records[0]["lines"][0].reverse()


def _page_beyond(records: Records) -> None:
    records[0]["lines"][0][0]["page"] = 1


def _flat_page(records: Records) -> None:
    records[0]["metadata_list"][0]["layout"]["height"] = 0


def _no_layout(records: Records) -> None:
    del records[0]["metadata_list"][0]["layout"]


def _text_for_number(records: Records) -> None:
    records[0]["lines"][0][0]["start_x"] = "12"


def _no_text(records: Records) -> None:
    records[0]["text"] = None


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_without_a_line, "d.ibocr, record 0: the text has 2 lines, but 'lines' has 1."),
        (
            _blank_word,
            "d.ibocr, record 0, line 0, word 1: a word must be an object whose 'word' is text that is not blank.",
        ),
        (_foreign_word, "d.ibocr, record 0, line 1, word 0: 'Forty' is not in its line of the text"),
        (_words_out_of_order, "d.ibocr, record 0, line 0, word 1: '12' is not in its line of the text"),
        (_page_beyond, "d.ibocr, record 0, line 0, word 0: 'page' is 1, but the record has 1 page layouts"),
        (_flat_page, "d.ibocr, record 0: page 0 is 600 wide and 0 high; it must be larger."),
        (_no_layout, "d.ibocr, record 0: metadata_list[0] has no 'layout'."),
        (_text_for_number, "d.ibocr, record 0, line 0, word 0: 'start_x' must be a number, not '12'."),
        (_no_text, "d.ibocr, record 0: 'text' must be a string."),
    ],
)
def test_a_document_whose_words_are_not_those_of_its_text_is_refused(
    damage: Callable[[Records], None], sentence: str
) -> None:
    records = copy.deepcopy(ocr_document(["Total 12 EUR", "Thanks"]))
    damage(records)
    with pytest.raises(DocumentError) as caught:
        parse_document(json.dumps(records), "d.ibocr")
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize("data", [b"{", b"\xff\xfe", b"[]", b"{}", b'["text"]', b'"text"'])
def test_what_is_no_list_of_records_is_refused(data: bytes) -> None:
    with pytest.raises(DocumentError, match=r"^d\.ibocr is not an OCR document"):
        parse_document(data, "d.ibocr")
