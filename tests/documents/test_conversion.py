"""`ibmodels documents convert`: every format becomes a project that training reads."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels import cli
from pytest_ibmodels.cli.documents import Format
from pytest_ibmodels.documents import FORMATS
from pytest_ibmodels.documents.project_files import file_names
from tests.documents.sources import (
    RECEIPTS,
    SIZE,
    WRITERS,
    Receipt,
    boxes,
    label_studio_task,
    read,
    values,
    write_hocr,
    write_labels,
    write_sroie,
    write_tsv,
)

if TYPE_CHECKING:
    from typing import Protocol

    class Convert(Protocol):
        def __call__(self, *arguments: str) -> tuple[int, str, str]: ...


@pytest.fixture
def convert(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Convert:
    """Convert the folder `in` to `out/P.ibannotator`: exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main(["documents", "convert", "in", "out/P.ibannotator", *arguments])
        return code, *capsys.readouterr()

    return run


PROJECT = Path("out/P.ibannotator")


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_becomes_the_same_project(convert: Convert, kind: str) -> None:
    WRITERS[kind](Path("in"))
    write_labels(Path("labels.csv"))
    needs_labels = () if FORMATS[kind].has_values else ("--labels", "labels.csv")
    code, out, err = convert(*needs_labels)
    assert (code, err) == (0, "")
    assert f"6 training documents, 2 test documents, 0 not annotated ({kind})" in out
    project = read(PROJECT)
    found = values(project)
    prefixes = {"funsd": "training_data_ testing_data_", "cord": "train_ dev_ test_"}.get(kind, "").split()
    for one in RECEIPTS:
        (name,) = [name for name in found if name.endswith(f"{one.name}.ibocr")]
        assert any(name == f"{prefix}{one.name}.ibocr" for prefix in prefixes or [""])
        assert {field: text for field, text in found[name].items() if text} == one.fields
    total = project.fields.index("Total") + 1
    for item in project.documents:
        (page,) = item.document.pages
        assert (page.width, page.height) == SIZE
        lines = boxes(RECEIPTS[int(item.document.name[-7])])
        assert [word.text for word in item.document.words] == [word for line in lines for word, *_ in line]
        assert [tuple(map(round, word.box)) for word in item.document.words] == [
            tuple(box) for line in lines for _, *box in line
        ]
        # Of three equal amounts the one in the line TOTAL.
        totals = [word for word, number in zip(item.document.words, item.classes, strict=True) if number == total]
        assert [round(word.box[1]) for word in totals] == [100]
    assert cli.main(["documents", "check", "out"]) == 0


def test_the_formats_of_the_command_are_those_of_the_reader() -> None:
    assert {one.value for one in Format} == {"auto", *FORMATS}


@pytest.mark.parametrize("step", [20, pytest.param(1, marks=pytest.mark.slow)])
def test_real_receipts_become_the_project_that_is_there(convert: Convert, receipts: Path, step: int) -> None:
    project: dict[str, Any] = json.loads((receipts / "Receipts.ibannotator").read_bytes())
    project["files"] = project["files"][::step]
    project["testFiles"] = [number for number in project["testFiles"] if int(number[1:]) % step == 0]
    Path("Receipts.ibannotator").write_text(json.dumps(project))
    Path("Receipts_input").symlink_to(receipts / "Receipts_input")
    names = {label["id"]: label["name"].lower() for label in project["labels"]}
    for folder in ("box", "key"):
        Path("in", folder).mkdir()
    for entry in project["files"]:
        (record,) = json.loads((receipts / entry["ocrPath"]).read_bytes())
        rows = []
        for words, text in zip(record["lines"], record["text"].split("\n"), strict=True):
            left, top, right, bottom = (
                words[at][key] for at, key in ((0, "start_x"), (0, "start_y"), (-1, "end_x"), (-1, "end_y"))
            )
            rows.append(f"{left:g},{top:g},{right:g},{top:g},{right:g},{bottom:g},{left:g},{bottom:g},{text}")
        stem = Path(entry["ocrPath"]).stem
        Path("in/box", f"{stem}.csv").write_text("\n".join(rows))
        keys = {name: entry["annotations"].get(number, {}).get("value", "") for number, name in names.items()}
        Path("in/key", f"{stem}.json").write_text(json.dumps(keys))
    Path("tests.txt").write_text("".join(f"{number[1:]}\n" for number in project["testFiles"]))
    code, _, err = convert("--test-files", "tests.txt")
    assert (code, err) == (0, "")
    ours, theirs = read(PROJECT), read(Path("Receipts.ibannotator").absolute())
    assert ours.fields == theirs.fields
    for one, other in zip(ours.documents, theirs.documents, strict=True):
        assert Path(one.document.name).name == Path(other.document.name).name
        assert (one.document.words, one.document.pages, one.document.text) == (
            other.document.words,
            other.document.pages,
            other.document.text,
        )
        assert (one.classes, one.is_test, one.annotated) == (other.classes, other.is_test, other.annotated)


def test_receipts_in_folders_of_sides_keep_them(convert: Convert) -> None:
    for side in ("train", "test"):
        Path("in", side).mkdir()
        write_sroie(Path("in", side), RECEIPTS[:2] if side == "train" else RECEIPTS[2:3])
        # As other copies of the data set name them, and without images.
        Path("in", side, "key").rename(Path("in", side, "entities"))
        for file in Path("in", side).glob("*/*.json"):
            file.rename(file.with_suffix(".txt"))
        for file in Path("in", side, "img").iterdir():
            file.unlink()
    assert convert()[0] == 0
    project = read_raw()
    assert [entry["id"] for entry in project["files"]] == ["test/r2", "train/r0", "train/r1"]
    assert project["testFiles"] == ["test/r2"]
    assert project["files"][0]["pages"] == {"0": {"width": 420.0, "height": 620.0}}


# --- labels ---


def write_one(lines: tuple[str, ...]) -> None:
    write_hocr(Path("in"), (Receipt("a", lines, {}), Receipt("b", ("Other 1",), {})))


def found_text(convert: Convert, labels: str, *arguments: str, name: str = "labels.csv") -> tuple[str, str]:
    """Convert with labels of the document `a`; the text that is annotated in it, and stderr."""
    Path(name).write_text(labels, encoding="utf-8")
    code, _, err = convert("--labels", name, "--test", "0", *arguments)
    assert code == 0, err
    annotations = json.loads(PROJECT.read_bytes())["files"][0]["annotations"]
    return annotations.get("L1", {}).get("value", ""), err


HEADER = "document,field,text"


@pytest.mark.parametrize(
    ("line", "text", "found"),
    [
        ("Sum 12.50 EUR", "12.50", "12.50"),
        ("NO . 3 , MAIN ST .", "No. 3, Main St.", "NO . 3 , MAIN ST"),
        ("28-03-18 x", "28/03/18", "28-03-18"),
        ("Total:12.50 x", "12.50", "Total:12.50"),
        (f"{unicodedata.normalize('NFD', 'Café')} x", "CAFÉ", unicodedata.normalize("NFD", "Café")),
        ("accept ☑ x", "☑", "☑"),
        ("Sum 112.50", "12.50", ""),
        ("Sum 12.505 2.12.50", "12.50", ""),
        ("GERPANG ALAF SDN", "GERBANG ALAF SDN", ""),
    ],
)
def test_a_text_is_found_by_its_letters_and_digits(convert: Convert, line: str, text: str, found: str) -> None:
    write_one((line,))
    value, err = found_text(convert, f'{HEADER}\na,Total,"{text}"\nb,Total,1\n')
    assert value == found
    missing = f"labels.csv:2: the text {text!r} of the field 'Total' is not among the {len(line.split())} words of a\n"
    assert err == ("" if found else missing)


@pytest.mark.parametrize(
    ("line", "text", "found"),
    [
        ("x GERPANG ALAF SDN y", "GERBANG ALAF SDN", "GERPANG ALAF SDN"),
        ("NO4,JALAN PERJIRANAN 10, JOHOR.", "NO 4,JALAN PERJIRANAN 1O, JOHORE", "NO4,JALAN PERJIRANAN 10, JOHOR."),
        ("25/12/2018 25/11/2018", "26/12/2018", ""),  # another date
    ],
)
def test_a_similar_text_is_found_on_demand(convert: Convert, line: str, text: str, found: str) -> None:
    write_one((line,))
    value, _ = found_text(convert, f'{HEADER}\na,Total,"{text}"\nb,Total,1\n', "--similarity", "0.8")
    assert value == found


@pytest.mark.parametrize(
    ("columns", "cells", "line"),
    [
        ("", "", 4),  # beside the field's name, which is in the line above
        (",occurrence", ",1", 0),
        (",occurrence", ",2", 1),
        (",occurrence", ",last", 5),
        (",page,occurrence", ",1,", 4),
    ],
)
def test_one_of_several_places_is_taken(convert: Convert, columns: str, cells: str, line: int) -> None:
    write_one(("Tea 9.00", "Subtotal 9.00", "x", "TOTAL", "9.00", "9.00"))
    found_text(convert, f"{HEADER}{columns}\na,Total,9.00{cells}\nb,Total,1{',' * cells.count(',')}\n")
    item = read_lenient()["a"]
    assert item == [line]


def read_lenient() -> dict[str, list[int]]:
    """Lines of the annotated words of each document."""
    found = {}
    for entry in json.loads(PROJECT.read_bytes())["files"]:
        words = entry["annotations"]["L1"]["metadata"]
        found[entry["id"]] = [round(word["position"]["rect"]["y"]) // 30 for word in words]
    return found


def test_labels_may_be_json_name_files_and_say_that_a_field_is_missing(convert: Convert) -> None:
    write_one(("Item Tea", "Item Cake", "x"))
    labels = json.dumps({"a.hocr": {"Item": ["Tea", "Cake"]}, "b": {"Item": ""}})
    assert found_text(convert, f"\ufeff{labels}", name="labels.json") == ("Tea Cake", "")
    annotations = json.loads(PROJECT.read_bytes())["files"][1]["annotations"]
    assert annotations == {"L1": {"value": "", "metadata": []}}
    rows = json.dumps([{"document": "a", "field": "Item", "text": "Tea", "occurrence": 1, "page": 1}])
    assert found_text(convert, rows, "--replace", name="labels.json") == ("Tea", "")


@pytest.mark.parametrize(
    ("name", "labels", "message"),
    [
        ("l.csv", "doc,field,text\na,T,1\n", "l.csv:1: the first line must be the header document,field,text, with"),
        ("l.csv", "", "l.csv:1: the first line must be the header"),
        ("l.csv", f"{HEADER}\n", "l.csv: the file has no labels"),
        ("l.csv", f"{HEADER}\na,T,1,000\n", "l.csv:2: 4 values where the header names 3; a text with a comma needs"),
        ("l.csv", f'{HEADER}\na,T,"1\n', "l.csv:2: the file is not valid CSV: unexpected end of data"),
        (
            "l.csv",
            f"{HEADER}\na,T,x\naa.hocr,T,1\n",
            "l.csv:3: the source has no document 'aa.hocr': did you mean 'a.h",
        ),
        ("l.csv", f"{HEADER}\na, ,1\n", "l.csv:2: '' cannot be the name of a field; rename it"),
        ("l.csv", f"{HEADER},page\na,T,1,0\n", "l.csv:2: page must be a whole number from 1, not '0'"),
        (
            "l.csv",
            f"{HEADER},occurrence\na,T,1,x\n",
            "l.csv:2: occurrence must be a whole number from 1 or `last`, not",
        ),
        ("l.json", '{"a": {"T": 5}}', "l.json:1: a.T must be a text or a list of texts"),
        ("l.json", '[\n{"document": "a",\n"field": "T"}]', "l.json:2: [0].text is missing; it must be text"),
        (
            "l.json",
            '[{"document": "a", "field": "T", "text": "1",\n"pgae": 1}]',
            "l.json:2: [0].pgae is unknown; known",
        ),
        ("l.json", "{\n", "l.json:2: the file is not JSON: "),
        ("none.csv", None, "none.csv: the file cannot be read (No such file or directory)"),
    ],
)
def test_wrong_labels_are_told_with_their_line(convert: Convert, name: str, labels: str | None, message: str) -> None:
    write_one(("x", "1"))
    if labels is not None:
        Path(name).write_text(labels)
    code, out, err = convert("--labels", name)
    assert (code, out) == (1, "")
    assert err.startswith(message)
    assert err.count("\n") == 1
    assert not Path("out").exists()


def test_strict_writes_nothing_if_a_text_is_missing(convert: Convert) -> None:
    write_one(("x",))
    Path("l.csv").write_text(f"{HEADER}\na,T,y\nb,T,1\n")
    code, out, err = convert("--labels", "l.csv", "--strict")
    assert (code, out) == (1, "")
    assert err.endswith("nothing is written, because of 1 text that was not found (--strict)\n")
    assert not Path("out").exists()


# --- sides and names ---


def test_equal_texts_are_on_one_side_and_others_do_not_move_them(convert: Convert) -> None:
    receipts = tuple(Receipt(f"{number:02}", (f"No {number // 2}",), {"No": f"{number // 2}"}) for number in range(40))
    sides = []
    for some in (receipts[:30], receipts):
        write_hocr(Path("in"), some)
        write_labels(Path("labels.csv"), some)
        assert convert("--labels", "labels.csv", "--replace")[0] == 0
        project = read_raw()
        sides.append(set(project["testFiles"]))
        assert {f"{int(name) ^ 1:02}" for name in project["testFiles"]} == set(project["testFiles"])
    assert len(sides[0]) == 8
    assert len(sides[1]) == 10
    assert len(sides[0] - sides[1]) <= 4


def read_raw() -> dict[str, Any]:
    project: dict[str, Any] = json.loads(PROJECT.read_bytes())
    return project


def test_a_list_of_test_files_is_checked(convert: Convert) -> None:
    write_tsv(Path("in"))
    write_labels(Path("labels.csv"))
    Path("tests.txt").write_text("r1\r\n\r\nr9\r\n")
    code, _, err = convert("--labels", "labels.csv", "--test-files", "tests.txt")
    assert (code, err) == (1, "tests.txt:3: the source has no document 'r9'\n")


def test_odd_names_are_kept_apart(convert: Convert) -> None:
    names = ("a/b", "a_b", "A_B", "..x", "Über #1?", "x" * 300, "x" * 301, "...")
    made = file_names(names)
    assert made == [
        "a_b.ibocr", "a_b_2.ibocr", "A_B_3.ibocr", "x.ibocr", "Über _1_.ibocr", f"{'x' * 150}.ibocr",
        f"{'x' * 150}_2.ibocr", "document.ibocr",
    ]  # fmt: skip
    for name in ("in/a", "in/.hidden", "in/ä b"):
        Path(name).mkdir()
        write_hocr(Path(name), RECEIPTS[:1] if name != "in/ä b" else RECEIPTS[1:2])
    Path("labels.csv").write_text(f"{HEADER}\na/r0,Total,10.50\nä b/r1.hocr,Total,11.50\n", encoding="utf-8")
    assert convert("--labels", "labels.csv", "--test", "0.5")[0] == 0
    assert [entry["id"] for entry in read_raw()["files"]] == ["a/r0", "ä b/r1"]
    assert {text for fields in values(read(PROJECT)).values() for text in fields.values()} == {"10.50", "11.50"}


def test_a_project_is_replaced_only_on_demand_and_all_at_once(
    convert: Convert, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_one(("x 1",))
    Path("l.csv").write_text(f"{HEADER}\na,T,x\nb,T,1\n")
    assert convert("--labels", "l.csv")[0] == 0
    before = {file: file.read_bytes() for file in Path("out").rglob("*") if file.is_file()}
    code, _, err = convert("--labels", "l.csv")
    assert (code, err) == (
        1, "out/P.ibannotator: is there already; choose another name, or replace it with --replace\n",
    )  # fmt: skip
    write_one(("x 2",))

    def fails(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fails)
        code, _, err = convert("--labels", "l.csv", "--replace")
    assert (code, err) == (1, "out/P.ibannotator: the project cannot be written (No space left on device)\n")
    assert {file: file.read_bytes() for file in Path("out").rglob("*") if file.is_file()} == before
    assert sorted(path.name for path in Path("out").iterdir()) == ["P.ibannotator", "P_input"]
    assert convert("--labels", "l.csv", "--replace")[0] == 0
    assert sorted(path.name for path in Path("out").iterdir()) == ["P.ibannotator", "P_input"]


def test_wrong_usage_is_told(convert: Convert, capsys: pytest.CaptureFixture[str]) -> None:
    write_tsv(Path("in"))
    assert convert() == (
        1, "", "in: a source in the format tsv says nothing of fields; name a label file: --labels\n",
    )  # fmt: skip
    assert convert("--encoding", "utf-9")[0] == 4
    assert cli.main(["documents", "convert", "in", "P.json"]) == 1
    assert "P.json: the name of a project must end in .ibannotator" in capsys.readouterr().err
    Path("in/more.html").write_text("")
    assert convert()[2].startswith("in: the source looks like hocr and tsv; name it with --format: hocr (")
    assert cli.main(["documents", "convert", "nowhere", "P.ibannotator"]) == 1
    assert capsys.readouterr().err == "nowhere: the source is not there\n"


# --- Label Studio ---


def test_label_studio_takes_ground_truth_rotation_polygons_and_pages(convert: Convert) -> None:
    tasks = [label_studio_task(number, one) for number, one in enumerate(RECEIPTS[:2])]
    results = tasks[0]["annotations"][0]["result"]
    size = {"original_width": 600, "original_height": 800, "item_index": 1}
    turned = {"x": 50.0, "y": 50.0, "width": 10.0, "height": 5.0, "rotation": 90, "text": ["UP"], "labels": ["Up"]}
    results.append({"id": "turned", "type": "labels", "value": turned, **size})
    corners = {"points": [[0, 0], [10, 0], [5, 10]], "text": "Tri angle", "polygonlabels": ["Shape"]}
    results.append({"id": "polygon", "type": "polygonlabels", "value": corners, **size})
    results.append({"id": "choice", "type": "choices", "value": {"choices": ["ok"]}})
    cancelled = {"was_cancelled": True, "result": None}
    tasks[0]["annotations"] = [cancelled, {"result": []}, {"ground_truth": True, "result": results}]
    # A task that nobody has annotated keeps the words of its imported OCR.
    tasks[1]["predictions"] = [{"result": tasks[1]["annotations"][0]["result"]}]
    tasks[1]["annotations"] = []
    Path("in/export.json").write_text(json.dumps(tasks))
    code, out, err = convert("--test", "0")
    assert (code, err) == (0, "r0: 2 annotations, of which number 3 was taken\n")
    assert "1 training document, 0 test documents, 1 not annotated" in out
    entry, other = read_raw()["files"]
    assert entry["pages"]["1"] == {"width": 600.0, "height": 800.0}
    found = {annotation["value"]: annotation["metadata"] for annotation in entry["annotations"].values()}
    box = found["UP"][0]["position"]["rect"]
    assert {key: round(number) for key, number in box.items()} == {"x": 260, "y": 400, "w": 40, "h": 60}
    assert [word["rawWord"] for word in found["Tri angle"]] == ["Tri", "angle"]
    assert other["annotations"] == {}
    (record,) = json.loads(Path("out", other["ocrPath"]).read_bytes())
    assert record["text"].split("\n") == list(RECEIPTS[1].lines)
