from __future__ import annotations

import copy
import json
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from ibformers.documents.annotator import read_project
from ibformers.documents.content import fingerprint
from ibformers.errors import TrainingInputError
from tests.ibformers.trainable import DOCUMENTS, FIELDS, PROJECT, FolderDrive, write_people

if TYPE_CHECKING:
    from collections.abc import Callable

    from ibformers.documents.document import AnnotatedDocument

Project = dict[str, Any]

PAGE = f"own/repo/fs/drive/{DOCUMENTS}/000.ibocr"
"""The first document of the project of `write_people`."""
BESIDE = (
    f"{PAGE} has no word 'Tony' at x=73.000001, y=55 on page 0, where the field 'Full Name' is annotated; "
    "the nearest 'Tony' of the page is at x=70, y=55."
)
ON_NO_PAGE = (
    f"{PAGE} has no word 'Tony' at x=70, y=55 on page 7, where the field 'Full Name' is annotated; "
    "the document has 1 pages, and no words on this one."
)


def _text(item: AnnotatedDocument, number: int) -> str:
    words = zip(item.document.words, item.classes, strict=True)
    return " ".join(word.text for word, class_number in words if class_number == number)


def test_documents_are_split_by_test_files_and_annotations(drive: FolderDrive) -> None:
    write_people(drive, training=6, test=2, unannotated=1)
    project = read_project(PROJECT, drive)
    names = {
        split: [Path(item.document.name).stem for item in getattr(project, split)]
        for split in ("training", "validation", "prediction")
    }
    assert names == {
        "training": ["000", "001", "002", "003", "004", "005"],
        "validation": ["006", "007"],
        "prediction": ["006", "007", "008"],
    }
    assert project.fields == FIELDS


def test_the_annotated_words_get_the_class_of_their_field(drive: FolderDrive) -> None:
    written = write_people(drive)
    for item, entry in zip(read_project(PROJECT, drive).documents, written["files"], strict=True):
        for number in (1, 2):
            value = entry["annotations"].get(f"L{number - 1}", {}).get("value", "")
            assert _text(item, number) == value


def test_documents_of_a_copied_project_are_found_beside_it(drive: FolderDrive) -> None:
    project = write_people(drive)
    for entry in project["files"]:
        entry["ocrPath"] = f"somebody/else/fs/drive/{entry['ocrPath'].partition('people/')[2]}"
    drive.write_json(PROJECT, project)
    names = [item.document.name for item in read_project(f"/{PROJECT}", drive).documents]
    assert names[0] == f"own/repo/fs/drive/{DOCUMENTS}/000.ibocr"


def test_a_path_that_can_be_read_as_it_is_written_wins(drive: FolderDrive) -> None:
    project = write_people(drive)
    elsewhere = "other/repo/fs/drive/People_input/out/s2_map_records/000.ibdoc"
    drive.write_file(elsewhere, drive.read_file(project["files"][0]["ocrPath"]))
    project["files"][0]["ocrPath"] = elsewhere
    drive.write_json(PROJECT, project)
    assert read_project(PROJECT, drive).documents[0].document.name == elsewhere


def test_a_word_of_two_fields_is_learned_as_the_later_and_said_so(
    drive: FolderDrive, caplog: pytest.LogCaptureFixture
) -> None:
    project = write_people(drive)
    annotations = project["files"][0]["annotations"]
    annotations["L1"]["metadata"].append(annotations["L0"]["metadata"][0])
    drive.write_json(PROJECT, project)
    first = read_project(PROJECT, drive).documents[0]
    assert len(_text(first, 2).split()) == 2
    assert "is annotated as Full Name and as Number; it can be learned as one, Number." in caplog.text


def _entry(project: Project, number: int, **changes: Any) -> Project:
    return {**copy.deepcopy(project["files"][number]), **changes}


def _again(project: Project, number: int, *, annotated: bool, test: bool, drive: FolderDrive) -> None:
    """Name a document once more, by the same path."""
    entry = _entry(project, number, id="again", **({} if annotated else {"annotations": {}}))
    project["files"].append(entry)
    project["testFiles"] += ["again"] * test


def _copied(project: Project, number: int, *, annotated: bool, test: bool, drive: FolderDrive) -> None:
    """Add a copy of a document: other bytes and another path, the same words and boxes."""
    path = f"own/repo/fs/drive/{DOCUMENTS}/copy.ibocr"
    records = json.loads(drive.read_file(project["files"][number]["ocrPath"]))
    for record in records:
        record["extra"] = 1
        for word in (word for line in record["lines"] for word in line):
            word["start_x"] = int(word["start_x"])
    drive.write_file(path, json.dumps(records, indent=1).encode())
    entry = _entry(project, number, id="again", ocrPath=path, **({} if annotated else {"annotations": {}}))
    project["files"].insert(0, entry)
    project["testFiles"] += ["again"] * test


def _falls_back(project: Project, number: int, *, annotated: bool, test: bool, drive: FolderDrive) -> None:
    """Name a document by a path elsewhere, which is not there, so that the same file beside the project is read."""
    _again(project, number, annotated=annotated, test=test, drive=drive)
    project["files"][-1]["ocrPath"] = f"somebody/else/{DOCUMENTS.partition('/')[2]}/{number:03d}.ibocr"


TRAINING, TEST, UNANNOTATED = 0, 12, 16
"""A file of each kind in the project of `write_people`."""


@pytest.mark.parametrize("repeat", [_again, _copied, _falls_back])
@pytest.mark.parametrize(
    ("number", "annotated", "test", "sides"),
    [
        (TRAINING, True, True, ("training", "test")),
        (TRAINING, True, False, ("training", "training")),
        (TRAINING, False, False, ("training", "not annotated")),
        (TEST, True, True, ("test", "test")),
        (TEST, True, False, ("test", "training")),
        (TEST, False, True, ("test", "test, not annotated")),
        (TEST, False, False, ("test", "not annotated")),
    ],
)
def test_a_document_that_is_there_twice_is_refused_with_both_names(
    drive: FolderDrive, repeat: Callable[..., None], number: int, annotated: bool, test: bool, sides: tuple[str, str]
) -> None:
    project = write_people(drive)
    repeat(project, number, annotated=annotated, test=test, drive=drive)
    drive.write_json(PROJECT, project)
    with pytest.raises(TrainingInputError) as caught:
        read_project(PROJECT, drive)
    message = caught.value.user_message
    assert f"'F{number}' ({sides[0]}" in message
    assert f"'again' ({sides[1]}" in message
    assert f"{DOCUMENTS}/{number:03d}.ibocr" in message
    assert repeat is not _copied or f"{DOCUMENTS}/copy.ibocr" in message


def test_many_equal_documents_are_named_in_part(drive: FolderDrive) -> None:
    project = write_people(drive)
    project["files"] += [_entry(project, number, id=f"again {number}") for number in range(8)]
    drive.write_json(PROJECT, project)
    with pytest.raises(TrainingInputError, match=r"'again 4' .*; and 3 more such pairs\. Keep"):
        read_project(PROJECT, drive)


def test_two_files_with_one_id_are_refused(drive: FolderDrive) -> None:
    project = write_people(drive)
    project["files"][3]["id"] = "F0"
    drive.write_json(PROJECT, project)
    with pytest.raises(TrainingInputError, match=r"files\[3\], .*003\.ibocr, repeats the id 'F0' of .*000\.ibocr\.$"):
        read_project(PROJECT, drive)


def test_equal_documents_that_no_metric_comes_from_are_kept(
    drive: FolderDrive, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "ibformers")
    project = write_people(drive)
    _copied(project, UNANNOTATED, annotated=False, test=False, drive=drive)
    drive.write_json(PROJECT, project)
    assert len(read_project(PROJECT, drive).prediction) == 6
    assert "equal documents, neither of them annotated: 'again' (not annotated, " in caplog.text


def test_blank_documents_are_not_taken_for_copies(drive: FolderDrive) -> None:
    project = write_people(drive)
    blank = [{"text": "", "lines": [], "metadata_list": [{"layout": {"width": 10, "height": 10}}]}]
    for number in range(3):
        path = f"own/repo/fs/drive/{DOCUMENTS}/blank{number}.ibocr"
        drive.write_json(path, blank)
        project["files"].append({"id": f"B{number}", "ocrPath": path, "annotations": {}})
    project["testFiles"] += ["B0", "B1"]
    drive.write_json(PROJECT, project)
    assert len(read_project(PROJECT, drive).prediction) == 8


def test_a_test_document_with_the_words_of_a_training_document_in_other_places_is_named_in_the_log(
    drive: FolderDrive, caplog: pytest.LogCaptureFixture
) -> None:
    project = write_people(drive)
    records = drive.read_json(project["files"][TRAINING]["ocrPath"])
    for word in (word for line in records[0]["lines"] for word in line):
        word["start_x"] += 5
        word["end_x"] += 5
    path = project["files"][TEST]["ocrPath"]
    drive.write_json(path, records)
    annotations = copy.deepcopy(project["files"][TRAINING]["annotations"])
    for item in (item for one in annotations.values() for item in one["metadata"]):
        item["position"]["rect"]["x"] += 5
    project["files"][TEST]["annotations"] = annotations
    drive.write_json(PROJECT, project)
    read_project(PROJECT, drive)
    assert "a test document has the very words of a training document, in other places: 'F0' (training" in caplog.text


def test_a_fingerprint_is_of_what_is_in_the_documents(drive: FolderDrive) -> None:
    project = write_people(drive)
    before = read_project(PROJECT, drive)
    first, *others = [item.document for item in before.validation]
    project["files"][TEST]["ocrPath"] = f"own/repo/fs/drive/{DOCUMENTS}/renamed.ibocr"
    drive.write_file(project["files"][TEST]["ocrPath"], drive.read_file(first.name))
    drive.write_json(PROJECT, project)
    after = [item.document for item in read_project(PROJECT, drive).validation]
    assert after[0].name != first.name
    assert fingerprint(after) == fingerprint([*others, first])
    assert fingerprint(after) != fingerprint(others)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_an_annotation_finds_its_word_in_either_unicode_form_and_within_a_hair(
    drive: FolderDrive, form: Literal["NFC", "NFD"]
) -> None:
    project = write_people(drive)
    path, entry = project["files"][0]["ocrPath"], project["files"][0]
    records = drive.read_json(path)
    word = records[0]["lines"][1][1]
    name = unicodedata.normalize(form, "Zoë")
    records[0]["text"] = records[0]["text"].replace(word["word"], name)
    word["word"] = word["raw_word"] = name
    drive.write_json(path, records)
    item = entry["annotations"]["L0"]["metadata"][0]
    item["rawWord"] = "Zoë"
    item["position"]["rect"]["x"] += 1e-6
    item["position"]["rect"]["y"] -= 0.3
    drive.write_json(PROJECT, project)
    assert _text(read_project(PROJECT, drive).documents[0], 1).split()[0] == name


def _first_word(project: Project) -> dict[str, Any]:
    word: dict[str, Any] = project["files"][0]["annotations"]["L0"]["metadata"][0]
    return word


def _missing_document(project: Project) -> None:
    project["files"][3]["ocrPath"] = "own/repo/fs/drive/a/b/c/none.ibocr"


def _word_not_there(project: Project) -> None:
    _first_word(project)["rawWord"] = "Nobody"


def _word_beside(project: Project) -> None:
    _first_word(project)["position"]["rect"]["x"] += 3.000001


def _word_on_no_page(project: Project) -> None:
    _first_word(project)["position"]["page"] = 7


def _word_at_infinity(project: Project) -> None:
    _first_word(project)["position"]["page"] = float("inf")


def _not_a_word(project: Project) -> None:
    _first_word(project)["dataType"] = "Region"


def _word_without_place(project: Project) -> None:
    del _first_word(project)["position"]["rect"]["x"]


def _unknown_label(project: Project) -> None:
    project["files"][0]["annotations"]["L9"] = project["files"][0]["annotations"]["L0"]


def _no_tests(project: Project) -> None:
    project["testFiles"] = []


def _unknown_test(project: Project) -> None:
    project["testFiles"].append("F99")


def _tests_without_annotation(project: Project) -> None:
    for entry in project["files"]:
        if entry["id"] in project["testFiles"]:
            entry["annotations"] = {}


def _only_tests(project: Project) -> None:
    project["testFiles"] = [entry["id"] for entry in project["files"]]


def _label_without_example(project: Project) -> None:
    project["labels"].append({"id": "L7", "name": "Expiry"})


def _label_named_outside(project: Project) -> None:
    project["labels"][0]["name"] = "O"


def _label_twice(project: Project) -> None:
    project["labels"].append(dict(project["labels"][0], id="L5"))


def _no_labels(project: Project) -> None:
    project["labels"] = []


def _no_files(project: Project) -> None:
    del project["files"]


def _image(project: Project) -> None:
    project["files"][0]["ocrPath"] = "own/a.png"


def _entry_without_id(project: Project) -> None:
    del project["files"][0]["id"]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (
            _missing_document,
            f"{PROJECT} names the document own/repo/fs/drive/a/b/c/none.ibocr, which is neither there nor ",
        ),
        (
            _word_not_there,
            f"own/repo/fs/drive/{DOCUMENTS}/000.ibocr has no word 'Nobody' at x=70, y=55 on page 0, where ",
        ),
        (_word_beside, BESIDE),
        (_word_on_no_page, ON_NO_PAGE),
        (
            _word_at_infinity,
            f"own/repo/fs/drive/{DOCUMENTS}/000.ibocr: word 0 of the annotation of 'Full Name' lacks",
        ),
        (
            _not_a_word,
            f"own/repo/fs/drive/{DOCUMENTS}/000.ibocr: the annotation of 'Full Name' has the data type 'Region'",
        ),
        (
            _word_without_place,
            f"own/repo/fs/drive/{DOCUMENTS}/000.ibocr: word 0 of the annotation of 'Full Name' lacks",
        ),
        (_unknown_label, f"own/repo/fs/drive/{DOCUMENTS}/000.ibocr is annotated with the label id 'L9'"),
        (_no_tests, f"{PROJECT} has no test files"),
        (_unknown_test, f"{PROJECT}: testFiles names 'F99', but no file of the project has this id."),
        (_tests_without_annotation, f"{PROJECT}: none of the test files is annotated"),
        (_only_tests, f"{PROJECT} has no training documents"),
        (_label_without_example, f"{PROJECT}: the label 'Expiry' has no example in the 12 training documents."),
        (_label_named_outside, f"{PROJECT}: labels[0] has the name 'O', which cannot be the name of a field."),
        (_label_twice, f"{PROJECT}: labels[2] repeats the id 'L5' or the name 'Full Name'."),
        (_no_labels, f"{PROJECT} has no labels"),
        (_no_files, f"The dataset {PROJECT} is not an Annotator project: 'files' must be a list."),
        (_image, f"{PROJECT}: files[0]: own/a.png is no OCR document: its name must end in .ibdoc or .ibocr."),
        (_entry_without_id, f"{PROJECT}: files[0] must have 'id' and 'ocrPath'"),
    ],
)
def test_a_project_that_cannot_be_trained_on_says_why_in_a_sentence(
    drive: FolderDrive, damage: Callable[[Project], None], sentence: str
) -> None:
    project = write_people(drive)
    damage(project)
    drive.write_json(PROJECT, project)
    with pytest.raises(TrainingInputError) as caught:
        read_project(PROJECT, drive)
    message = caught.value.user_message
    assert message.startswith(sentence)
    assert message.endswith(".")
    assert "\n" not in message


def test_a_missing_project_is_named(drive: FolderDrive) -> None:
    with pytest.raises(TrainingInputError, match=r"^The dataset own/X\.ibannotator is not there or cannot be read\.$"):
        read_project("own/X.ibannotator", drive)


@pytest.mark.parametrize(("data", "what"), [(b"not json", "is not JSON"), (b"[1]", "must be a JSON object")])
def test_a_project_that_is_something_else_is_named(drive: FolderDrive, data: bytes, what: str) -> None:
    drive.write_file("own/X.ibannotator", data)
    with pytest.raises(TrainingInputError, match=rf"^The dataset own/X\.ibannotator {what}"):
        read_project("own/X.ibannotator", drive)


def test_an_invalid_document_is_named(drive: FolderDrive) -> None:
    project = write_people(drive)
    drive.write_file(project["files"][5]["ocrPath"], b"PNG")
    with pytest.raises(TrainingInputError, match=r"005\.ibocr is not an OCR document in JSON form"):
        read_project(PROJECT, drive)


def test_the_receipts_are_read_whole(receipts: Path) -> None:
    project = read_project("Receipts.ibannotator", FolderDrive(receipts))
    assert project.fields == ("Company", "Date", "Address", "Total")
    assert (len(project.training), len(project.validation), len(project.prediction)) == (300, 100, 100)
    assert sum(len(item.document.words) for item in project.documents) == 47150
    assert sum(bool(number) for item in project.documents for number in item.classes) == 7059
    for item in project.documents:
        assert all(item.document.text[word.start : word.end] == word.text for word in item.document.words)
