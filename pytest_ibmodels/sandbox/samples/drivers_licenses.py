"""A generated Annotator project: 80 driver's licences in the layouts of 8 states.

Instabase protocol, "Annotator projects" and "OCR documents". Faker generates the people. The layouts differ in markers,
number format, order of names and blocks, columns, date separators, and extra fields.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faker import Faker

VERSION = "v1"
PROJECT = "NYDriversLicenses"
TRAIN_DOCUMENTS = 60
TEST_DOCUMENTS = 20
FIELDS = ("DL Number", "Name", "Address")
_SEED = 20_211_130
_DOCUMENTS = f"{PROJECT}_input/out/s2_map_records"

_WIDTH, _HEIGHT = 1000, 640
_CHAR_WIDTH, _LINE_HEIGHT, _LINE_PITCH = 11, 22, 44
_COLUMN_X = 520

_STATES = ("NY", "CA", "TX", "FL", "IL", "PA", "OH", "WA", "NJ", "VA", "MA", "GA", "CO", "OR", "AZ", "MN")

Word = tuple[str, str | None]
"""A word and its field; None if it belongs to no field."""
Row = list[Word]


@dataclass(frozen=True)
class Person:
    first: str
    middle: str
    last: str
    street: str
    town: str
    number: str
    rng: random.Random = field(repr=False)

    def date(self, form: str, first_year: int, last_year: int) -> str:
        values = {
            "MM": f"{self.rng.randint(1, 12):02}",
            "DD": f"{self.rng.randint(1, 28):02}",
            "YYYY": str(self.rng.randint(first_year, last_year)),
        }
        for key, value in values.items():
            form = form.replace(key, value)
        return form


@dataclass(frozen=True)
class Layout:
    """Layout of one state; in ``number``, ``#`` is a digit and ``@`` a letter."""

    title: str
    number_marker: str
    number: str
    name: Callable[[Person], list[Row]]
    address_marker: str
    date: str
    blocks: tuple[str, ...]
    extras: tuple[str, ...]
    right_column: tuple[str, ...] = ()


def write(folder: Path) -> None:
    """Write the project into ``folder``."""
    rng = random.Random(_SEED)  # noqa: S311 - reproducible, not secret
    faker = Faker("en_US")
    faker.seed_instance(_SEED)
    documents = folder / _DOCUMENTS
    documents.mkdir(parents=True)
    files = []
    for index in range(TRAIN_DOCUMENTS + TEST_DOCUMENTS):
        layout = _LAYOUTS[index % len(_LAYOUTS)]
        person = _person(faker, layout, rng)
        record, annotations = _record(_lines(layout, person), rng)
        name = f"{index:03}.ibocr"
        (documents / name).write_text(json.dumps([record], ensure_ascii=False), encoding="utf-8")
        files.append({
            "id": f"F{index:03}",
            "inputPath": f"{PROJECT}_input/{index:03}.jpg",
            "ocrPath": f"{_DOCUMENTS}/{name}",
            "isInputOcr": False,
            "pages": {"0": {"width": _WIDTH, "height": _HEIGHT}},
            "annotations": annotations,
        })  # fmt: skip
    project = {
        "labels": [{"id": _label_id(name), "name": name, "type": "TEXT"} for name in FIELDS],
        "files": files,
        "testFiles": [file["id"] for file in files[TRAIN_DOCUMENTS:]],
    }
    (folder / f"{PROJECT}.ibannotator").write_text(json.dumps(project, indent=1, ensure_ascii=False), encoding="utf-8")


def _label_id(name: str) -> str:
    return f"L{FIELDS.index(name) + 1}"


def _person(faker: Faker, layout: Layout, rng: random.Random) -> Person:
    number = "".join(
        str(rng.randint(0, 9)) if sign == "#" else rng.choice("ABCDEFGHJKLMNPRSTUVWXYZ") if sign == "@" else sign
        for sign in layout.number
    )
    return Person(
        first=faker.first_name().upper(),
        middle=faker.first_name().upper() if rng.random() < 0.7 else "",
        last=faker.last_name().upper(),
        street=faker.street_address().upper(),
        town=f"{faker.city()}, {rng.choice(_STATES)} {faker.postcode()}".upper(),
        number=number,
        rng=rng,
    )


# --- printed text ---


def _words(text: str, field_name: str | None = None) -> Row:
    return [(word, field_name) for word in text.split()]


def _name(text: str) -> Row:
    return _words(text, "Name")


def _first_last(person: Person) -> list[Row]:
    return [_words("NAME") + _name(f"{person.first} {person.middle} {person.last}")]


def _last_comma_first(person: Person) -> list[Row]:
    return [_name(f"{person.last}, {person.first} {person.middle}")]


def _numbered(person: Person) -> list[Row]:
    return [_words("1") + _name(person.last), _words("2") + _name(f"{person.first} {person.middle}")]


def _marked(person: Person) -> list[Row]:
    return [_words("LN") + _name(person.last), _words("FN") + _name(f"{person.first} {person.middle}")]


def _unmarked(person: Person) -> list[Row]:
    return [_name(person.last), _name(f"{person.first} {person.middle}")]


def _holder(person: Person) -> list[Row]:
    return [_words("LICENSE HOLDER"), _name(f"{person.first} {person.middle} {person.last}")]


_TITLES_FIRST = ("title", "number", "extras", "name", "address")

_LAYOUTS = (
    Layout(
        "NEW YORK STATE USA DRIVER LICENSE", "ID:", "### ### ###", _unmarked, "", "MM/DD/YYYY",
        blocks=("title", "number", "class", "name", "address", "extras"),
        extras=("DOB", "SEX", "EYES", "HT", "E NONE", "ISSUED", "EXPIRES"),
    ),
    Layout(
        "CALIFORNIA USA DRIVER LICENSE", "DL", "@#######", _marked, "", "MM/DD/YYYY",
        blocks=_TITLES_FIRST,
        extras=("EXP", "CLASS C", "END NONE", "DOB", "RSTR NONE", "SEX", "HAIR", "EYES", "HGT"),
    ),
    Layout(
        "TEXAS DRIVER LICENSE USA", "4d. DL:", "########", _numbered, "8.", "MM/DD/YYYY",
        blocks=("title", "class", "number", "dates", "name", "address", "extras"),
        extras=("DOB", "12. REST A", "16. HGT", "15. SEX", "18. EYES"),
    ),
    Layout(
        "FLORIDA THE SUNSHINE STATE DRIVER LICENSE", "4d DLN", "@###-###-##-###-#", _numbered, "8", "MM-DD-YYYY",
        blocks=("title", "number", "name", "address", "extras"),
        extras=("3 DOB", "15 SEX", "16 HGT", "4a ISS", "4b EXP", "9 CLASS E", "SAFE DRIVER"),
    ),
    Layout(
        "ILLINOIS DRIVER'S LICENSE", "LIC. NO.", "@###-####-####", _last_comma_first, "ADDRESS", "MM-DD-YYYY",
        blocks=("title", "name", "address", "number"),
        extras=("BIRTHDATE", "ISSUED", "EXPIRES", "SEX", "HT", "WT 170 LBS", "EYES", "TYPE ORG"),
        right_column=("extras",),
    ),
    Layout(
        "PENNSYLVANIA visitPA.com DRIVER'S LICENSE", "4d DLN:", "## ### ###", _numbered, "8", "MM/DD/YYYY",
        blocks=_TITLES_FIRST,
        extras=("3 DOB:", "4b EXP:", "4a ISS:", "15 SEX:", "18 EYES:", "16 HGT:", "DUPS: 00"),
    ),
    Layout(
        "OHIO DRIVER LICENSE USA", "LICENSE NO", "@@######", _first_last, "RESIDENCE", "MM.DD.YYYY",
        blocks=("title", "extras", "name", "address"),
        extras=("BIRTH", "EXPIRES", "CLASS D", "SEX", "EYES", "HGT", "DONOR YES"),
        right_column=("number", "dates"),
    ),
    Layout(
        "WASHINGTON USA DRIVER LICENSE FEDERAL LIMITS APPLY", "LIC#", "WDL@@@@##@#@@", _holder, "ADDR", "MM/DD/YYYY",
        blocks=("title", "name", "number", "address", "extras"),
        extras=("DOB", "EXP", "SEX", "HGT", "WGT 165 LB", "EYES", "END NONE"),
    ),
)  # fmt: skip


def _lines(layout: Layout, person: Person) -> list[list[tuple[int, Row]]]:
    """Lines from top to bottom; each is a list of (x of the first word, words)."""
    left = [row for block in layout.blocks for row in _block(block, layout, person)]
    right = [row for block in layout.right_column for row in _block(block, layout, person)]
    lines = []
    for number, row in enumerate(left):
        cells = [(40, row)]
        if 0 < number <= len(right):
            cells.append((_COLUMN_X, right[number - 1]))
        lines.append(cells)
    lines.extend([(_COLUMN_X, row)] for row in right[max(0, len(left) - 1) :])
    return lines


def _block(block: str, layout: Layout, person: Person) -> list[Row]:
    rows: dict[str, Callable[[], list[Row]]] = {
        "title": lambda: [_words(layout.title)],
        "number": lambda: [_words(layout.number_marker) + _words(person.number, "DL Number")],
        "name": lambda: layout.name(person),
        "address": lambda: [
            _words(layout.address_marker) + _words(person.street, "Address"),
            _words(person.town, "Address"),
        ],
        "class": lambda: [_words(f"CLASS {person.rng.choice('ABCDM')}")],
        "dates": lambda: [
            _words(f"ISS {person.date(layout.date, 2015, 2020)} EXP {person.date(layout.date, 2022, 2027)}")
        ],
        "extras": lambda: list(_extras(layout, person)),
    }
    return rows[block]()


def _extras(layout: Layout, person: Person) -> Iterator[Row]:
    pairs = [_words(f"{marker} {_value_of(marker, layout, person)}") for marker in layout.extras]
    per_row = 1 if "extras" in layout.right_column else 2
    for start in range(0, len(pairs), per_row):
        yield [word for pair in pairs[start : start + per_row] for word in pair]


def _value_of(marker: str, layout: Layout, person: Person) -> str:
    years = {"DOB": (1940, 2003), "BIRTH": (1940, 2003), "ISS": (2015, 2020), "EXP": (2022, 2027)}
    plain = marker.rstrip(":").split()[-1]
    for start, (first, last) in years.items():
        if plain.startswith(start):
            return person.date(layout.date, first, last)
    rng = person.rng
    choices = {
        "SEX": rng.choice("MF"),
        "EYES": rng.choice(["BRO", "BLU", "GRN", "HAZ"]),
        "HAIR": rng.choice(["BRN", "BLK", "BLN", "GRY"]),
        "HGT": f"{rng.randint(5, 6)}'-{rng.randint(0, 11):02}\"",
        "HT": f"{rng.randint(5, 6)}-{rng.randint(0, 11):02}",
    }
    return choices.get(plain, "")


# --- OCR records ---


def _record(lines: list[list[tuple[int, Row]]], rng: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """OCR record of a document, and its annotations by label id."""
    shift_x, shift_y = rng.randint(-15, 15), rng.randint(-10, 10)
    words: list[list[dict[str, Any]]] = []
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in FIELDS}
    for number, cells in enumerate(lines):
        line = []
        y = 30 + shift_y + number * _LINE_PITCH
        for start, row in cells:
            x = start + shift_x
            for text, field_name in row:
                line.append(_word(text, x, y + rng.randint(-2, 2)))
                x = line[-1]["end_x"] + _CHAR_WIDTH
                if field_name is not None:
                    found[field_name].append(line[-1])
        words.append(line)
    record = {
        "text": "\n".join(" ".join(word["word"] for word in line) for line in words),
        "lines": words,
        "metadata_list": [{"layout": {"width": _WIDTH, "height": _HEIGHT}}],
    }
    return record, {_label_id(name): _annotation(found[name]) for name in FIELDS}


def _word(text: str, x: int, y: int) -> dict[str, Any]:
    width = len(text) * _CHAR_WIDTH
    return {
        "word": text, "raw_word": text, "page": 0,
        "start_x": x, "end_x": x + width, "start_y": y, "end_y": y + _LINE_HEIGHT,
        "line_height": _LINE_HEIGHT, "word_width": width, "char_width": _CHAR_WIDTH,
    }  # fmt: skip


def _annotation(words: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "value": " ".join(word["raw_word"] for word in words),
        "metadata": [
            {
                "dataType": "WordPoly",
                "type": "rect",
                "rawWord": word["raw_word"],
                "position": {
                    "page": word["page"],
                    "rect": {
                        "x": word["start_x"],
                        "y": word["start_y"],
                        "w": word["word_width"],
                        "h": word["line_height"],
                    },
                },
            }
            for word in words
        ],
    }
