from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ibformers.documents.annotator import AnnotatedDocument, read_project
from ibformers.errors import TrainingInputError
from tests.ibformers.trainable import DOCUMENTS, FIELDS, PROJECT, FolderDrive, write_people

if TYPE_CHECKING:
    from collections.abc import Callable

Project = dict[str, Any]


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


def _first_word(project: Project) -> dict[str, Any]:
    word: dict[str, Any] = project["files"][0]["annotations"]["L0"]["metadata"][0]
    return word


def _missing_document(project: Project) -> None:
    project["files"][3]["ocrPath"] = "own/repo/fs/drive/a/b/c/none.ibocr"


def _word_not_there(project: Project) -> None:
    _first_word(project)["rawWord"] = "Nobody"


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
