"""The same receipts in every format that can be converted, each as its own tool writes it."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from ibformers.documents.annotator import read_project
from tests.ibformers.trainable import FolderDrive

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ibformers.documents.annotator import AnnotatorProject

SIZE = (600, 800)
COUNT = 8


@dataclass(frozen=True)
class Receipt:
    """A receipt: lines of words, and the words of its fields."""

    name: str
    lines: tuple[str, ...]
    fields: dict[str, str]


def receipt(number: int) -> Receipt:
    company, total = f"Zoë's Café No. {number}", f"1{number}.50"
    lines = (company, f"Date 2024-01-0{number + 1}", f"Tea {total}", f"TOTAL EUR {total}", "Thank you", f"Cash {total}")
    return Receipt(f"r{number}", lines, {"Company": company, "Total": total})


RECEIPTS = tuple(receipt(number) for number in range(COUNT))


def boxes(one: Receipt) -> list[list[tuple[str, int, int, int, int]]]:
    """Words of each line with left, top, right and bottom: ten pixels for a character, 20 for a line."""
    lines = []
    for row, line in enumerate(one.lines):
        words, left = [], 20
        for word in line.split():
            words.append((word, left, 30 * row + 10, left + 10 * len(word), 30 * row + 30))
            left += 10 * (len(word) + 1)
        lines.append(words)
    return lines


def field_of(one: Receipt, row: int, index: int) -> str | None:
    """Field of a word; the total is the amount in the line TOTAL."""
    return "Company" if row == 0 else "Total" if (row, index) == (3, 2) else None


def write_hocr(folder: Path, receipts: tuple[Receipt, ...] = RECEIPTS) -> None:
    for one in receipts:
        lines = "\n".join(
            f"<span class='ocr_line' id='line_1_{row}' title='bbox 0 {30 * row} 600 {30 * row + 30}; baseline 0 -5'>"
            + " ".join(
                f"<span class='ocrx_word' id='word_1_{left}' title='bbox {left} {top} {right} {bottom}; x_wconf 95'>"
                f"<strong>{escape(word)}</strong></span>"
                for word, left, top, right, bottom in words
            )
            + "</span>"
            for row, words in enumerate(boxes(one))
        )
        (folder / f"{one.name}.hocr").write_text(
            "<?xml version='1.0' encoding='UTF-8'?>\n<!DOCTYPE html PUBLIC '-//W3C//DTD XHTML 1.0 Transitional//EN' "
            "'http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd'>\n"
            "<html xmlns='http://www.w3.org/1999/xhtml' xml:lang='en'><head><title>&nbsp;</title></head><body>\n"
            f"<div class='ocr_page' id='page_1' title='image \"r.png\"; bbox 0 0 {SIZE[0]} {SIZE[1]}; ppageno 0'>\n"
            f"<div class='ocr_carea'><p class='ocr_par' lang='eng'>\n{lines}</p></div></div></body></html>\n",
            encoding="utf-8",
        )


def write_alto(folder: Path) -> None:
    for one in RECEIPTS:
        lines = "\n".join(
            "<TextLine>"
            + "<SP/>".join(
                f'<String HPOS="{left}" VPOS="{top}" WIDTH="{right - left}" HEIGHT="20" CONTENT="{escape(word)}"/>'
                for word, left, top, right, _ in words
            )
            + "</TextLine>"
            for words in boxes(one)
        )
        (folder / f"{one.name}.xml").write_text(
            '<?xml version="1.0" encoding="ISO-8859-1"?>\n<alto xmlns="http://www.loc.gov/standards/alto/ns-v3#">'
            f'<Layout><Page WIDTH="{SIZE[0]}" HEIGHT="{SIZE[1]}" PHYSICAL_IMG_NR="0" ID="page_0"><PrintSpace>'
            f"<TextBlock>\n{lines}\n</TextBlock></PrintSpace></Page></Layout></alto>\n",
            encoding="latin-1",
        )


def write_tsv(folder: Path) -> None:
    header = "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext"
    for one in RECEIPTS:
        rows = [header, f"1\t1\t0\t0\t0\t0\t0\t0\t{SIZE[0]}\t{SIZE[1]}\t-1\t"]
        for row, words in enumerate(boxes(one), start=1):
            rows.append(f"4\t1\t1\t1\t{row}\t0\t0\t0\t600\t30\t-1\t")
            rows += [
                f"5\t1\t1\t1\t{row}\t{index}\t{left}\t{top}\t{right - left}\t20\t96.5\t{word}"
                for index, (word, left, top, right, _) in enumerate(words, start=1)
            ]
        # As Windows writes it.
        (folder / f"{one.name}.tsv").write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*rows, ""]).encode())


def write_sroie(folder: Path, receipts: tuple[Receipt, ...] = RECEIPTS) -> None:
    for name in ("box", "key", "img"):
        (folder / name).mkdir()
    for one in receipts:
        rows = []
        for line, words in zip(one.lines, boxes(one), strict=True):
            left, top, right, bottom = words[0][1], words[0][2], words[-1][3], words[0][4]
            rows.append(f"{left},{top},{right},{top},{right},{bottom},{left},{bottom},{line}")
        (folder / "box" / f"{one.name}.csv").write_text("\n".join(rows), encoding="utf-8")
        values = {key.lower(): text for key, text in one.fields.items()} | {"date": ""}
        (folder / "key" / f"{one.name}.json").write_text(json.dumps(values))
        (folder / "img" / f"{one.name}.jpg").write_bytes(jpeg(*SIZE))


def jpeg(width: int, height: int) -> bytes:
    """The header of a JPEG file."""
    return b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03" + bytes(9)


def png(width: int, height: int) -> bytes:
    """The header of a PNG file."""
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", width, height) + bytes(5)


def write_funsd(folder: Path) -> None:
    for number, one in enumerate(RECEIPTS):
        side = folder / ("testing_data" if number >= 6 else "training_data")
        for name in ("annotations", "images"):
            (side / name).mkdir(parents=True, exist_ok=True)
        entities: dict[tuple[str, int], list[Any]] = {}
        for row, words in enumerate(boxes(one)):
            for index, (word, *box) in enumerate(words):
                label = (field_of(one, row, index) or "other").lower()
                entities.setdefault((label, row), []).append({"text": word, "box": box})
        form = [
            {"id": at, "text": " ".join(word["text"] for word in words), "label": label, "words": words, "linking": []}
            for at, ((label, _), words) in enumerate(entities.items())
        ]
        form.append({"id": 99, "text": "", "label": "other", "words": [{"text": "", "box": [0, 0, 1, 1]}]})
        (side / "annotations" / f"{one.name}.json").write_text(json.dumps({"form": form}))
        (side / "images" / f"{one.name}.png").write_bytes(png(*SIZE))


def write_cord(folder: Path) -> None:
    for number, one in enumerate(RECEIPTS):
        target = folder / ("test" if number >= 6 else "dev" if number == 5 else "train") / "json"
        target.mkdir(parents=True, exist_ok=True)
        lines = []
        for row, words in enumerate(boxes(one)):
            for index, (word, left, top, right, bottom) in enumerate(words):
                field = field_of(one, row, index)
                quad = {"x1": left, "y1": top, "x2": right, "y2": top, "x3": right, "y3": bottom, "x4": left}
                lines.append(
                    {
                        "words": [
                            {"quad": quad | {"y4": bottom}, "is_key": int(field is None), "row_id": row, "text": word}
                        ],
                        "category": field or "Company",
                        "group_id": row,
                    }
                )
        meta = {"version": "0.0.1", "image_size": {"width": SIZE[0], "height": SIZE[1]}}
        (target / f"{one.name}.json").write_text(json.dumps({"valid_line": lines, "meta": meta}))


def label_studio_task(number: int, one: Receipt) -> dict[str, Any]:
    results: list[dict[str, Any]] = []
    for row, words in enumerate(boxes(one)):
        for index, (word, left, top, right, bottom) in enumerate(words):
            size = {"original_width": SIZE[0], "original_height": SIZE[1], "image_rotation": 0}
            value = {
                "x": 100 * left / SIZE[0],
                "y": 100 * top / SIZE[1],
                "width": 100 * (right - left) / SIZE[0],
                "height": 100 * (bottom - top) / SIZE[1],
                "rotation": 0,
            }
            base = {"id": f"w{row}-{index}", "to_name": "image", **size}
            results.append({**base, "from_name": "bbox", "type": "rectangle", "value": value})
            results.append(
                {**base, "from_name": "transcription", "type": "textarea", "value": {**value, "text": [word]}}
            )
            if (field := field_of(one, row, index)) is not None:
                results.append({**base, "from_name": "label", "type": "labels", "value": {**value, "labels": [field]}})
    annotation = {"id": number, "was_cancelled": False, "ground_truth": False, "result": results}
    return {"id": number, "data": {"ocr": f"/data/upload/1/0a1b2c3d-{one.name}.png"}, "annotations": [annotation]}


def write_label_studio(folder: Path) -> None:
    tasks = [label_studio_task(number, one) for number, one in enumerate(RECEIPTS)]
    (folder / "export.json").write_text(json.dumps(tasks, indent=1))


def write_labels(file: Path, receipts: tuple[Receipt, ...] = RECEIPTS) -> None:
    rows = [f"{one.name},{field},{text}" for one in receipts for field, text in one.fields.items()]
    file.write_text("\n".join(["document,field,text", *rows, ""]), encoding="utf-8")


WRITERS: dict[str, Callable[[Path], None]] = {
    "hocr": write_hocr,
    "alto": write_alto,
    "tsv": write_tsv,
    "sroie": write_sroie,
    "funsd": write_funsd,
    "cord": write_cord,
    "label-studio": write_label_studio,
}


def read(project: Path) -> AnnotatorProject:
    """Read a project as a training does."""
    return read_project(project.name, FolderDrive(project.parent))


def values(project: AnnotatorProject) -> dict[str, dict[str, str]]:
    """The annotated text of each field of each document, by the document's file name."""
    found = {}
    for item in project.documents:
        words = list(zip(item.document.words, item.classes, strict=True))
        found[item.document.name.rpartition("/")[2]] = {
            field: " ".join(word.text for word, number in words if number == index)
            for index, field in enumerate(project.fields, start=1)
        }
    return found
