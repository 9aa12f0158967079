"""A generated Annotator project whose fields do not fill lines: invoices with several fields in each line."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from faker import Faker

from tests.ibformers.trainable import FolderDrive, annotation, ocr_document

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = "Forms.ibannotator"
FIELDS = ("Number", "Date", "Customer", "Total")
TRAIN_DOCUMENTS, TEST_DOCUMENTS = 100, 100

Cell = tuple[str, str | None]
"""A text of one or more words, and its field; None if it belongs to no field."""

MARKERS = {
    "Number": ("Invoice no:", "Inv. #", "Document", "Number:", "Bill no.", "Ref", "Invoice", "No"),
    "Date": ("Date:", "Dated", "Issued on", "Invoice date", "of", "Day:", "Printed", "Issue date:"),
    "Customer": ("Customer:", "Bill to", "Sold to:", "Name", "For", "Client:", "Attn", "Buyer"),
    "Total": ("Total:", "Amount due", "To pay", "Grand total", "Sum", "Balance:", "Payable", "Total amount"),
}
"""Words before each field; a layout has one for each. Training documents have the first five of each only."""


def write(folder: Path) -> None:
    """Write the project and its documents into `folder`; the same ones every time."""
    chance = random.Random(7)  # noqa: S311 - reproducible, no secret
    faker = Faker("en_US")
    faker.seed_instance(7)
    drive = FolderDrive(folder)
    files = []
    for number in range(TRAIN_DOCUMENTS + TEST_DOCUMENTS):
        lines = _lines(chance, faker, 5 if number < TRAIN_DOCUMENTS else 8)
        places: dict[str, list[tuple[int, int]]] = {field: [] for field in FIELDS}
        for row, line in enumerate(lines):
            fields = [field for text, field in line for _ in text.split()]
            for index, field in enumerate(fields):
                if field is not None:
                    places[field].append((row, index))
        records = ocr_document([" ".join(text for text, _ in line) for line in lines])
        path = f"Forms_input/out/s2_map_records/{number:03}.ibocr"
        drive.write_json(path, records)
        annotations = {f"L{FIELDS.index(field)}": annotation(records[0], found) for field, found in places.items()}
        files.append({"id": f"F{number:03}", "ocrPath": path, "annotations": annotations})
    project: dict[str, Any] = {
        "labels": [{"id": f"L{index}", "name": name, "type": "Text"} for index, name in enumerate(FIELDS)],
        "files": files,
        "testFiles": [file["id"] for file in files[TRAIN_DOCUMENTS:]],
    }
    drive.write_json(PROJECT, project)


def _lines(chance: random.Random, faker: Faker, markers: int) -> list[list[Cell]]:
    """Lines of a document: its fields beside others that look like them, in an order of its own."""

    def date() -> str:
        return f"{chance.randint(1, 28)}/{chance.randint(1, 12)}/{chance.randint(2019, 2026)}"

    def amount() -> str:
        return f"{chance.randint(1, 999)}.{chance.randint(0, 99):02}"

    values = {
        "Number": f"{chance.choice(['', 'A-', 'R', '20/'])}{chance.randint(100, 99999)}",
        "Date": date(),
        "Customer": chance.choice([faker.name, faker.company])(),
        "Total": chance.choice([amount(), f"RM {amount()}", f"$ {amount()}"]),
    }
    fields = [
        [(chance.choice(MARKERS[field][:markers]), None), (value, field), *_after(field, chance, faker)]
        for field, value in values.items()
    ]
    others: list[list[Cell]] = [
        [(text, None)]
        for text in (
            f"Order no: {chance.randint(100, 9999)}",
            f"Due: {date()}",
            f"Tax: {amount()} Cash: {amount()}",
            f"Served by {faker.first_name()}",
            f"Page {chance.randint(1, 3)}",
            f"Tel {faker.numerify('##-#######')}",
        )
    ]
    cells = fields + chance.sample(others, 4)
    chance.shuffle(cells)
    lines: list[list[Cell]] = [[(faker.company().upper(), None)]]
    while cells:
        count = min(chance.randint(1, 3), len(cells))
        lines.append([part for cell in cells[:count] for part in cell])
        cells = cells[count:]
    return [*lines, [("Thank you", None)]]


def _after(field: str, chance: random.Random, faker: Faker) -> list[Cell]:
    """Words after a value that do not belong to it."""
    if field == "Customer" and chance.random() < 0.5:
        return [(f"{faker.city()} office", None)]
    if field == "Total" and chance.random() < 0.5:
        return [(chance.choice(["incl. tax", "only", "paid"]), None)]
    return []
