"""Sources that are broken, odd or hostile: a sentence with file and line, and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_ibmodels import cli
from pytest_ibmodels.documents import Settings, convert, text_files
from pytest_ibmodels.documents.json_files import JsonFile
from tests.documents.sources import RECEIPTS, label_studio_task, read, values

PAGE = "<div class='ocr_page' title='bbox 0 0 600 800'>{}</div>"
WORD = "<span class='ocrx_word' title='bbox {}'>{}</span>"
ALTO = "<alto><Layout><Page WIDTH='600' HEIGHT='800'><TextLine>\n{}</TextLine></Page></Layout></alto>"
STRING = "<String CONTENT='{}' HPOS='{}' VPOS='10' WIDTH='{}' HEIGHT='20'/>"
TSV = "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext\n"
LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha">\n'
    + "".join(f'<!ENTITY a{n} "&a{n - 1 or ""};&a{n - 1 or ""};">\n' for n in range(1, 30))
    + "]><x>&a29;</x>"
)
EXTERNAL = '<!DOCTYPE x [<!ENTITY file SYSTEM "file:///etc/passwd">]><x>&file;</x>'
TASK: dict[str, Any] = label_studio_task(1, RECEIPTS[0])


def task(**changes: Any) -> str:
    return json.dumps([{**TASK, **changes}])


def region(**value: Any) -> str:
    result = {"id": "a", "original_width": 600, "original_height": 800, "value": value}
    return task(annotations=[{"result": [result]}])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("labels.csv").write_text("document,field,text\na,Total,12\nb,Total,13\n")
    return Path("in")


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The message of a conversion that fails, which leaves nothing behind."""
    assert cli.main(["documents", "convert", "in", "out/P.ibannotator", *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert not Path("out").exists()
    return err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.hocr", "<html><body>", "in/a.hocr:1: the file is not valid XML (column 13): no element found; write it"),
        ("a.hocr", "", "in/a.hocr:1: the file is not valid XML (column 1): no element found"),
        ("a.hocr", "<html>\n<p>\n</html>", "in/a.hocr:3: the file is not valid XML (column 3): mismatched tag"),
        ("a.hocr", "<html/>", "in/a.hocr:1: no element has the class `ocr_page`: is this hOCR?"),
        ("a.hocr", PAGE.format("\n<b class='ocrx_word'>x</b>"), "in/a.hocr:2: the text 'x' has no `bbox` of four"),
        ("a.hocr", PAGE.format(WORD.format("1 2 3", "x")), "in/a.hocr:1: the text 'x' has no `bbox` of four numbers"),
        ("a.hocr", "<div class='ocr_page' title='bbox 0 0 x'/>", "in/a.hocr:1: the page has no `bbox` of four"),
        ("a.hocr", LAUGHS, "in/a.hocr:1: the entity 'a' is declared, which is not allowed; remove"),
        ("a.hocr", EXTERNAL, "in/a.hocr:1: the entity 'file' is declared"),
        ("a.hocr", "<a>" * 300, "in/a.hocr:1: elements are nested more than 200 deep"),
        ("a.hocr", b"<?xml version='1.0' encoding='klingon'?><a/>", "in/a.hocr:1: the file's encoding is unknown ("),
        ("a.hocr", b"<a>\n\xff</a>", "in/a.hocr:2: the file is not valid XML (column 1): not well-formed"),
        ("a.xml", "<PcGts/>", "in/a.xml:1: the root is <PcGts> with 0 <Page>: is this ALTO?"),
        ("a.xml", ALTO.format("<String CONTENT='x'/>"), "in/a.xml:2: <String> with the content 'x' has no HPOS"),
        ("a.xml", ALTO.format(STRING.format("x", "nan", "5")), "in/a.xml:2: <String> with the content 'x' has HPOS"),
        ("a.xml", ALTO.format(STRING.format("x", "5", "-5")), "in/a.xml:2: <String> with the content 'x' has WIDTH"),
        ("a.tsv", "level\n", "in/a.tsv:1: the first line must be Tesseract's header, level page_num"),
        ("a.tsv", TSV + "5\t1\t1\t1\t1\t1\t5\t5\n", "in/a.tsv:2: a word has 8 cells instead of 12"),
        ("a.tsv", TSV + "5\t1\t1\t1\t1\t1\tx\t5\t9\t9\t9\tw\n", "in/a.tsv:2: left must be a number, not 'x'"),
        ("a.tsv", TSV + "5\t1.5\t1\t1\t1\t1\t5\t5\t9\t9\t9\tw\n", "in/a.tsv:2: page_num must be a whole number"),
        ("a.tsv", TSV + "\n5\t1\t1\t1\t1\t1\t5\t5\t-9\t9\t9\tw\n", "in/a.tsv:3: width and height must not be negative"),
        ("a.tsv", TSV.encode() + b"\n\n5\xe9", "in/a.tsv:4: byte 0xe9 is not valid in utf-8; name the file's encoding"),
        ("a.tsv", TSV.encode("utf-16-le"), "in/a.tsv:1: a NUL character is no text; name the file's encoding"),
        ("box/a.csv", "1,2,3,4,5,6,7,8,ok\n1,2,3,4\n", "in/box/a.csv:2: a line must be x1,y1,x2,y2,x3,y3,x4,y4,text"),
        ("box/a.csv", "1,2,3,4,5,6,7,inf,ok\n", "in/box/a.csv:1: a line must be x1,y1"),
        ("annotations/a.json", '{"form": [\n{"label": "x"}]}', "in/annotations/a.json:2: form[0].words is missing; it"),
        (
            "annotations/a.json",
            '{"form": [{"label": "x", "words": [\n{"text": "y",\n"box": [1, 2, 3]}]}]}',
            "in/annotations/a.json:3: form[0].words[0].box must be a list of four numbers, not of 3",
        ),
        ("a.tsv", b"\xef\xbb\xbf\xff", "in/a.tsv:1: byte 0xff is not valid in utf-8; the byte order mark names this"),
        ("annotations/a.json", "[]", "in/annotations/a.json:1: form is missing; it must be a list of entities"),
        (
            "json/a.json",
            '{"valid_line": [{"category": "x", "words": [{"text": "y",\n"quad": {"x1": "a"}}]}]}',
            'in/json/a.json:2: valid_line[0].words[0].quad.x1 must be a number, not "a"',
        ),
        ("json/a.json", "[" * 100_000, "in/json/a.json: the file is not JSON that can be read: it is nested too"),
        ("a.json", "{}", "in/a.json:1: must be a list of tasks, as Label Studio exports it, not {}"),
        ("a.json", '[{"id": 1, "image": "x.png"}]', "in/a.json:1: [0] is no task: export the project in the format"),
        ("a.json", '[{"data": {}}]', "in/a.json:1: [0] has no `annotations`: export the project in the format JSON"),
        (
            "a.json",
            region(x=1, y=1, width=5, height=5, labels=["Total"]),
            "in/a.json:1: [0].annotations[0].result[0] has the label 'Total' and no text: transcribe it",
        ),
        ("a.json", region(labels=["Total"], text="x"), "in/a.json:1: [0].annotations[0].result[0] has the label"),
        ("a.json", region(x="w", y=1), 'in/a.json:1: [0].annotations[0].result[0].value.x must be a number, not "w"'),
        ("a.json", region(points=[]), "in/a.json:1: [0].annotations[0].result[0].value.points must not be empty"),
        ("a.txt", "x", "in: the source looks like no known format; name it with --format: sroie (box/*.csv and"),
    ],
)  # fmt: skip
def test_a_broken_source_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, content: str | bytes, message: str
) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refusal(capsys, "--labels", "labels.csv").startswith(message)


def test_values_without_boxes_and_repeated_names_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("box", "key"):
        (folder / name).mkdir()
    (folder / "box" / "a.csv").write_text("1,2,3,4,5,6,7,8,ok\n")
    (folder / "key" / "b.json").write_text("{}")
    assert refusal(capsys) == "in/key/b.json: in/box has no file b.csv or b.txt for these values\n"
    (folder / "key" / "b.json").rename(folder / "key" / "a.json")
    (folder / "key" / "a.json").write_text('{"o": "ok"}')
    assert refusal(capsys) == "in/key/a.json:1: 'O' cannot be the name of a field; rename it\n"
    (folder / "key" / "a.json").unlink()
    assert refusal(capsys) == "in: no document has a value of any field, so there is nothing to learn\n"
    for name in ("a.hocr", "a.html"):
        (folder / name).write_text(PAGE.format(WORD.format("1 2 3 4", "12")))
    assert (
        refusal(capsys, "--format", "hocr", "--labels", "labels.csv")
        == "in/a.html: has the name of the document in/a.hocr; rename one of them\n"
    )


def test_a_huge_file_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "LARGEST_FILE", 2**20)
    (folder / "a.tsv").write_bytes(bytes(2**20 + 1))
    assert refusal(capsys, "--labels", "labels.csv") == "in/a.tsv: the file is larger than 1 MiB; split it\n"


def test_odd_sources_become_documents_that_training_reads(folder: Path) -> None:
    words = [
        WORD.format("500 20 480 10", "12"),  # corners exchanged
        WORD.format("580 10 650 30", "be yond"),  # beyond the page, and two words in one
        WORD.format("0 40 10 50", " "),
        WORD.format("0 40 10 50", "&amp;\u200b"),
        "<p class='ocr_par'>" + WORD.format("-5 60 5.5 70", "<em>Zo\u0308e\u0301</em>") + "</p>",
    ]
    empty = "<div class='ocr_page'/>"  # a page without words and without a size
    pages = f"<x>{empty}{PAGE.format(''.join(words))}{empty}</x>"
    (folder / "a.hocr").write_bytes(b"\xef\xbb\xbf" + pages.replace("><", ">\r\n<").encode())
    (folder / "b.html").write_bytes(f"<?xml version='1.0' encoding='UTF-16'?>{PAGE.format(words[0])}".encode("utf-16"))
    (folder / "._b.html").write_bytes(b"\0\1\2")  # what macOS leaves beside files
    (folder / "c.html").write_text(empty)
    labels = {"a": {"Total": "12", "Name": "zöé", "Rest": ["&", "be yond"]}, "b": {"Total": "12"}}
    Path("labels.json").write_text(json.dumps(labels))
    Path("tests.txt").write_text("b\n")
    result = convert(folder, Path("P.ibannotator"), Settings(labels=Path("labels.json"), test_list=Path("tests.txt")))
    assert (result.missing, result.unannotated) == ((), 1)
    project = read(Path("P.ibannotator").absolute())
    assert values(project)["a.ibocr"] == {"Total": "12", "Name": "Zo\u0308e\u0301", "Rest": "be yond &\u200b"}
    first = project.documents[0].document
    assert [(page.width, page.height) for page in first.pages] == [(420, 620), (600, 800), (420, 620)]
    assert {word.page for word in first.words} == {1}
    assert first.words[0].box == (480, 10, 500, 20)


def test_lines_without_words_are_divided(folder: Path) -> None:
    line = "<span class='ocr_line' title='bbox 0 0 50 20'>To 12</span>"
    (folder / "a.hocr").write_text(PAGE.format(f"{line}<p class='ocr_line'>{WORD.format('0 40 20 60', '13')}</p>"))
    Path("labels.csv").write_text("document,field,text\na,Total,12\n")
    result = convert(folder, Path("P.ibannotator"), Settings(labels=Path("labels.csv"), format="hocr"))
    assert result.found == 1
    (record,) = json.loads(Path("P_input/out/s2_map_records/a.ibocr").read_bytes())
    assert [[(word["word"], word["start_x"]) for word in words] for words in record["lines"]] == [
        [("To", 0), ("12", 30)],
        [("13", 0)],
    ]


def test_a_hyphenated_word_is_found_in_its_halves(folder: Path) -> None:
    first = STRING.format("Rech", "5", "40") + "<HYP CONTENT='-'/></TextLine><TextLine>"
    (folder / "a.xml").write_text(ALTO.format(first + STRING.format("nung-", "5", "40") + "<HYP CONTENT='-'/>"))
    Path("labels.csv").write_text("document,field,text\na,Title,Rechnung\n")
    assert convert(folder, Path("P.ibannotator"), Settings(labels=Path("labels.csv"))).found == 1
    (entry,) = json.loads(Path("P.ibannotator").read_bytes())["files"]
    assert entry["annotations"]["L1"]["value"] == "Rech- nung-"


def test_other_encodings_are_read_on_demand(folder: Path) -> None:
    rows = TSV + "1\t1\t0\t0\t0\t0\t0\t0\t600\t800\t-1\t\n5\t1\t1\t1\t1\t1\t5\t5\t9\t9\t9\t12€\n"
    (folder / "a.tsv").write_bytes(rows.encode("cp1252"))
    (folder / "b.tsv").write_bytes(rows.replace("12€", '13"\t"').encode("utf-16"))
    result = convert(folder, Path("P.ibannotator"), Settings(labels=Path("labels.csv"), encoding="cp1252"))
    assert result.missing == ()
    project = read(Path("P.ibannotator").absolute())
    assert {text for fields in values(project).values() for text in fields.values()} == {"12€", '13"'}


def test_the_line_of_a_value_is_found_behind_anything(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"a": [1,\n"]}", {"b\\n": [\n\n{}], "c": 1,\n"c": 2}]}')
    made = JsonFile(file, "utf-8")
    assert [made.line(path) for path in [(), ("a", 1), ("a", 2, "b\n", 0), ("a", 2, "c"), ("a", 2, "d")]] == [
        1, 2, 4, 5, 2,
    ]  # fmt: skip
