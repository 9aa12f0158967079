"""`ibmodels documents check`: counts, problems with their lines, exit codes; it refuses what training refuses."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ibformers.errors import TrainingInputError
from pytest_ibmodels import cli
from tests.conftest import ROOT
from tests.documents.sources import read
from tests.ibformers.trainable import FolderDrive, ocr_document, write_people

if TYPE_CHECKING:
    from collections.abc import Callable

Project = dict[str, Any]

FOLDER = Path("own/repo/fs/drive/people")
FILE = FOLDER / "People.ibannotator"


class People:
    """A project whose parts a test damages."""

    def __init__(self, root: Path) -> None:
        self._drive = FolderDrive(root)
        self.project = write_people(self._drive)

    def first_word(self) -> dict[str, Any]:
        word: dict[str, Any] = self.project["files"][0]["annotations"]["L0"]["metadata"][0]
        return word

    def records(self, number: int) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = self._drive.read_json(self.project["files"][number]["ocrPath"])
        return records

    def write_records(self, number: int, records: Any) -> None:
        self._drive.write_json(self.project["files"][number]["ocrPath"], records)

    def save(self) -> None:
        FILE.write_text(json.dumps(self.project, indent=1))


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> People:
    monkeypatch.chdir(tmp_path)
    return People(tmp_path)


def check(capsys: pytest.CaptureFixture[str], *paths: str) -> tuple[int, list[str]]:
    """Exit code and lines; the first four are the counts."""
    code = cli.main(["documents", "check", *paths])
    out, err = capsys.readouterr()
    assert err == ""
    return code, out.splitlines()


def test_a_good_project_is_counted(people: People, capsys: pytest.CaptureFixture[str]) -> None:
    people.save()
    counts = [
        f"{FILE}: 12 training documents, 4 test documents, 1 not annotated",
        "  field      training  test  training words  test words",
        "  Full Name        12     4              24           8",
        "  Number           12     4              12           4",
        f"{FILE}: 0 errors to mend, 0 warnings",
    ]
    assert check(capsys) == (0, counts)
    assert check(capsys, str(FILE)) == (0, counts)


def _unknown_label(people: People) -> None:
    people.project["files"][0]["annotations"]["L9"] = {"value": "", "metadata": []}


def _not_a_word(people: People) -> None:
    people.first_word()["dataType"] = "Region"


def _no_place(people: People) -> None:
    del people.first_word()["position"]["rect"]["x"]


def _word_beside(people: People) -> None:
    people.first_word()["position"]["rect"]["x"] += 3


def _no_annotations(people: People) -> None:
    del people.project["files"][0]["annotations"]


def _id_is_a_list(people: People) -> None:
    people.project["files"][0]["id"] = []


def _no_word_list(people: People) -> None:
    people.project["files"][0]["annotations"]["L0"] = {"metadata": "x"}


def _image(people: People) -> None:
    people.project["files"][0]["ocrPath"] = "own/a.png"


def _missing(people: People) -> None:
    people.project["files"][0]["ocrPath"] = "a/b/c/d/none.ibocr"


def _binary(people: People) -> None:
    (Path() / people.project["files"][0]["ocrPath"]).write_bytes(b"\x0a\xff\x00")


def _bad_record(key: str, value: Any, sentence: str) -> tuple[Callable[[People], None], str]:
    def damage(people: People) -> None:
        records = people.records(0)
        records[0][key] = value
        people.write_records(0, records)

    return damage, sentence


def _bad_word(key: str, value: Any, sentence: str) -> tuple[Callable[[People], None], str]:
    def damage(people: People) -> None:
        records = people.records(0)
        records[0]["lines"][1][1][key] = value
        people.write_records(0, records)

    return damage, f"{FOLDER}/People_input/out/s2_map_records/000.ibocr is no valid OCR document: {sentence}"


def _repeated_id(people: People) -> None:
    people.project["files"][3]["id"] = "F0"


def _copied(people: People) -> None:
    people.write_records(13, people.records(0))
    people.project["files"][13]["annotations"] = copy.deepcopy(people.project["files"][0]["annotations"])


def _same_path(people: People) -> None:
    people.project["files"].append({**people.project["files"][0], "id": "again"})


def _no_example(people: People) -> None:
    people.project["labels"].append({"id": "L7", "name": "Expiry"})


def _label_twice(people: People) -> None:
    people.project["labels"].append({"id": "L0", "name": "Other"})


def _label_without_name(people: People) -> None:
    people.project["labels"].append({"id": "L8"})


def _no_labels(people: People) -> None:
    people.project["labels"] = []


def _outside_name(people: People) -> None:
    people.project["labels"].append({"id": "L8", "name": "O"})


def _unknown_test(people: People) -> None:
    people.project["testFiles"].append("F99")


def _no_tests(people: People) -> None:
    people.project["testFiles"] = []


def _only_tests(people: People) -> None:
    people.project["testFiles"] = [entry["id"] for entry in people.project["files"]]


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_unknown_label, "files[0].annotations.L9 'L9' is the id of no label"),
        (_not_a_word, "metadata[0] has the data type 'Region'; it must be 'WordPoly'"),
        (_no_place, "metadata[0] must have dataType, rawWord, position.page, and position.rect.x and y"),
        (_word_beside, "000.ibocr has no word 'Tony' at x=73, y=55 on page 0, where 'Full Name' is annotated"),
        (_no_annotations, "files[0] must have `id` and `ocrPath`, both text, and the object `annotations`"),
        (_id_is_a_list, "files[0] must have `id` and `ocrPath`, both text, and the object `annotations`"),
        (_no_word_list, "files[0].annotations.L0 must be an object with the list `metadata`"),
        (_image, "files[0].ocrPath own/a.png must end in .ibocr or .ibdoc"),
        (_missing, f"a/b/c/d/none.ibocr is not beside the project, at {FOLDER}/b/c/d/none.ibocr"),
        (_binary, "000.ibocr is no valid OCR document: it is not JSON ("),
        _bad_record("text", None, "record 0: `text` must be text, and `lines` a list of lists of words"),
        _bad_record("text", "one line", "record 0: `text` has 1 lines, and `lines` has 4"),
        _bad_record("metadata_list", {}, "record 0: `metadata_list` must be a list with one object per page"),
        _bad_record("metadata_list", [{}], "record 0: metadata_list[0] has no `layout`"),
        _bad_record("metadata_list", [{"layout": {"width": 5, "height": 0}}], "page 0: width and height must be above"),
        _bad_word("page", 1, "record 0, line 1, word 1: `page` is 1, and the record has 1 pages"),
        _bad_word("word", " ", "record 0, line 1, word 1: `word` must be text that is not blank"),
        _bad_word("word", "Nobody", "record 0, line 1, word 1: 'Nobody' is not in its line of `text`, after the words"),
        _bad_word("start_x", "12", "record 0, line 1, word 1: `start_x` must be a number, not '12'"),
        (_repeated_id, "files[3].id repeats the id 'F0' of files[0]"),
        (_copied, "files[13] 'F13' (test) has the words and boxes of 'F0' (training); keep one"),
        (_same_path, "files[17] 'again' (training) and 'F0' (training) are the same file; keep one"),
        (_no_example, "labels[2] 'Expiry' has no word in a training document"),
        (_label_twice, "labels[2] repeats the id 'L0' or the name 'Other'; remove one"),
        (_label_without_name, "labels[2] must have `id` and `name`, both text"),
        (_no_labels, "labels names no field, so there is nothing to learn"),
        (_outside_name, "labels[2] has the name 'O', which cannot be the name of a field"),
        (_unknown_test, "testFiles[4] 'F99' is the id of no file; remove it"),
        (_no_tests, "testFiles has no annotated document, so no metric can be computed"),
        (_only_tests, "files has no annotated document that is no test file"),
    ],
)
def test_what_training_refuses_must_be_mended(
    people: People, capsys: pytest.CaptureFixture[str], damage: Callable[[People], None], sentence: str
) -> None:
    damage(people)
    people.save()
    with pytest.raises(TrainingInputError):
        read(FILE.absolute())
    code, lines = check(capsys)
    assert code == 1
    (told,) = [line for line in lines if sentence in line]
    line = int(told.split(":")[1])
    assert told.startswith(f"{FILE}:{line}: error: ")
    # The line is the one where the part of the project begins.
    part = told.split(": error: ")[1].split(" ")[0]
    last = part.rpartition(".")[2]
    assert f'"{last}"' in FILE.read_text().splitlines()[line - 1] or "]" in last


def _leak(people: People) -> None:
    records = people.records(0)
    annotations = copy.deepcopy(people.project["files"][0]["annotations"])
    for word in (word for line in records[0]["lines"] for word in line):
        word["start_x"] += 5
        word["end_x"] += 5
    for item in (item for one in annotations.values() for item in one["metadata"]):
        item["position"]["rect"]["x"] += 5
    people.write_records(13, records)
    people.project["files"][13]["annotations"] = annotations


def _word_off_the_page(people: People) -> None:
    records = people.records(1)
    records[0]["lines"][0][0].update(start_x=700, end_x=750)
    people.write_records(1, records)


def _word_across_the_edge(people: People) -> None:
    records = people.records(1)
    records[0]["lines"][0][0].update(end_x=650)
    people.write_records(1, records)


def _two_fields(people: People) -> None:
    people.project["files"][0]["annotations"]["L1"]["metadata"].append(people.first_word())


def _other_value(people: People) -> None:
    people.project["files"][0]["annotations"]["L0"]["value"] = "Somebody else"


def _test_without_annotation(people: People) -> None:
    people.project["files"][12]["annotations"] = {}


def _blank_copies(people: People) -> None:
    people.project["files"] += [dict(people.project["files"][16], id=f"B{number}") for number in (1, 2)]
    for number in (1, 2):
        path = f"{FOLDER}/People_input/out/s2_map_records/blank{number}.ibocr"
        people.project["files"][-number]["ocrPath"] = path
        Path(path).write_text(json.dumps(ocr_document([])))


@pytest.mark.parametrize(
    ("damage", "sentence", "code"),
    [
        (_leak, "error: files[13] 'F13' (test) has the very text of 'F0' (training): a test document must be", 1),
        (
            _word_off_the_page,
            "error: files[1] 'F1': 1 word outside the page, the first is 'CLUB' on page 0 (600 x 800): its",
            1,
        ),
        (
            _word_across_the_edge,
            "warning: files[1] 'F1': 1 word partly outside the page, the first is 'CLUB' on page",
            0,
        ),
        (_two_fields, "warning: files[0].annotations.L1 the word 'Tony' belongs to 'Full Name' and 'Number'", 0),
        (_other_value, "warning: files[0].annotations.L0 has the value 'Somebody else', but its words are 'Tony", 0),
        (_test_without_annotation, "warning: files[12] 'F12' is a test file that is not annotated", 0),
        (_blank_copies, "0 errors to mend, 0 warnings", 0),
    ],
)
def test_what_training_takes_is_told(
    people: People, capsys: pytest.CaptureFixture[str], damage: Callable[[People], None], sentence: str, code: int
) -> None:
    damage(people)
    people.save()
    read(FILE.absolute())
    found, lines = check(capsys)
    assert found == code
    assert len([line for line in lines if sentence in line]) == 1


def test_many_problems_are_shown_in_part(people: People, capsys: pytest.CaptureFixture[str]) -> None:
    people.project["testFiles"] += [f"X{number}" for number in range(30)]
    people.save()
    code, lines = check(capsys)
    assert code == 1
    assert len(lines) == 4 + 20 + 2
    assert lines[-2:] == [
        f"{FILE}: 10 more errors of this kind: unknown test file",
        f"{FILE}: 30 errors to mend, 0 warnings",
    ]


def test_what_is_no_project_is_told(people: People, capsys: pytest.CaptureFixture[str]) -> None:
    for content, message in (
        ("[]", f"{FILE}:1: labels is missing; it must be a list\n"),
        ('{"labels": [],\n"files": 5}', f"{FILE}:2: files must be a list, not 5\n"),
        ("{", f"{FILE}:1: the file is not JSON: Expecting property name enclosed in double quotes\n"),
    ):
        FILE.write_text(content)
        assert cli.main(["documents", "check", "own"]) == 1
        assert capsys.readouterr() == ("", message)
    FILE.unlink()
    assert cli.main(["documents", "check"]) == 4
    assert capsys.readouterr().err == "ERROR: .: the folder holds no project (*.ibannotator)\n"


def test_the_hook_of_pre_commit_runs_the_command(people: People) -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    (hook,) = [hook for hook in hooks if hook["id"] == "ibmodels-documents-check"]
    command, *arguments = hook["entry"].split()
    assert (command, hook["pass_filenames"]) == ("ibmodels", False)
    people.save()
    assert cli.main(arguments) == 0
