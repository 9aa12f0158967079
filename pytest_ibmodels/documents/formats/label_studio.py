"""Label Studio's export in the format JSON, of tasks whose regions have a text (the OCR template).

A region with a text holds the words of the document. If it has a label as well, its words are the value of that field.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pytest_ibmodels.documents.formats.placing import MarkedWord, marked_values
from pytest_ibmodels.documents.json_files import JsonFile, Key
from pytest_ibmodels.documents.pages import (
    Page,
    SourceDocument,
    Value,
    bounding_box,
    make_page,
    rows_of,
    split_words,
)
from pytest_ibmodels.documents.text_files import files_below

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_ibmodels.documents.pages import Box

_LAST_PAGE = 9999
_UNKNOWN_SIZE = (1000.0, 1000.0)
_LABELS = ("labels", "rectanglelabels", "polygonlabels")
_UPLOAD_PREFIX = re.compile(r"[0-9a-f]{8}-")
_ALLOWED = re.compile(r"[\w./ ()+@=,-]+")


@dataclass(slots=True)
class _Region:
    """Box, text and labels of a region, which the export spreads over results with the same id."""

    path: tuple[Key, ...]
    page: int = 0
    box: Box | None = None
    size: tuple[float, float] = (0.0, 0.0)
    text: str = ""
    labels: list[str] = field(default_factory=list)


def read(source: Path, encoding: str) -> Iterator[SourceDocument]:
    """Read an export, or all exports of a folder."""
    names: set[str] = set()
    for path in [source] if source.is_file() else files_below(source, (".json",)):
        file = JsonFile(path, encoding)
        for number, task in enumerate(file.get((), list, "a list of tasks, as Label Studio exports it")):
            if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
                raise file.error((number,), "is no task: export the project in the format JSON, not JSON-MIN")
            name = _name(task["data"], f"task-{task.get('id', number)}")
            if name in names:
                name = f"{name}-{task.get('id', number)}"
            names.add(name)
            yield _document(name, file, number, task)


def _name(data: dict[str, Any], default: str) -> str:
    """Return the file name of the task's image, without the prefix of an upload."""
    for value in data.values():
        texts = value if isinstance(value, list) else [value]
        for text in texts:
            if isinstance(text, str) and "." in text and _ALLOWED.fullmatch(unquote(urlsplit(text).path)):
                stem = PurePosixPath(unquote(urlsplit(text).path)).stem
                return _UPLOAD_PREFIX.sub("", stem, count=1) or default
    return default


def _document(name: str, file: JsonFile, number: int, task: dict[str, Any]) -> SourceDocument:
    if "annotations" not in task:
        raise file.error((number,), "has no `annotations`: export the project in the format JSON, not JSON-MIN")
    annotations = file.get((number, "annotations"), list, "a list")
    usable = [
        (bool(one.get("ground_truth")), index)
        for index, one in enumerate(annotations)
        if isinstance(one, dict) and not one.get("was_cancelled")
    ]
    remarks: tuple[str, ...] = ()
    regions: list[_Region] = []
    if usable:
        # The first one that is marked as ground truth, or else the first one.
        chosen = min(usable, key=lambda one: (not one[0], one[1]))[1]
        regions = _regions(file, (number, "annotations", chosen, "result"))
        if len(usable) > 1:
            remarks = (f"{len(usable)} annotations, of which number {chosen + 1} was taken",)
    if not any(region.text for region in regions):
        regions += _predicted(file, number, task)
    pages, values = _place(file, regions, f"{file.file}, task {task.get('id', number)}")
    return SourceDocument(name, file.file, pages, values, None, remarks)


def _predicted(file: JsonFile, number: int, task: dict[str, Any]) -> list[_Region]:
    """Return the regions of the OCR that was imported with the task, without their labels."""
    if not isinstance(task.get("predictions"), list) or not task["predictions"]:
        return []
    if not isinstance(task["predictions"][0], dict):  # an export may hold only the ids of predictions
        return []
    regions = _regions(file, (number, "predictions", 0, "result"))
    for region in regions:
        region.labels = []
    return [region for region in regions if region.text]


def _regions(file: JsonFile, path: tuple[Key, ...]) -> list[_Region]:
    regions: dict[str, _Region] = {}
    for index, result in enumerate(file.get(path, list, "a list of results")):
        here = (*path, index)
        value = result.get("value") if isinstance(result, dict) else None
        if not isinstance(value, dict) or result.get("type") in ("choices", "rating", "relation"):
            continue
        region = regions.setdefault(str(result.get("id", index)), _Region(here))
        if "x" in value or "points" in value:
            region.path = here
            region.page = int(file.number((*here, "item_index"))) if "item_index" in result else 0
            region.size = _image_size(file, here, result)
            region.box = _box(file, here, value, region.size)
        text = value.get("text")
        if isinstance(text, list) and all(isinstance(one, str) for one in text):
            region.text = " ".join(text)
        elif isinstance(text, str):
            region.text = text
        labels = [label for key in _LABELS if isinstance(value.get(key), list) for label in value[key]]
        region.labels += [label for label in labels if isinstance(label, str)]
    return list(regions.values())


def _image_size(file: JsonFile, here: tuple[Key, ...], result: dict[str, Any]) -> tuple[float, float]:
    """Return the size of the image; that of an imported prediction may lack, and its page is in thousandths then."""
    if "original_width" not in result:
        return _UNKNOWN_SIZE
    size = file.number((*here, "original_width")), file.number((*here, "original_height"))
    if min(size) <= 0:
        raise file.error((*here, "original_width"), "must be above 0, as original_height")
    return size


def _box(file: JsonFile, here: tuple[Key, ...], value: dict[str, Any], size: tuple[float, float]) -> Box:
    """Return the box in pixels; the export has percent of the image, and turns a rectangle about its corner."""
    path = (*here, "value")
    if "points" in value:
        points = file.get((*path, "points"), list, "a list of points")
        if not points:
            raise file.error((*path, "points"), "must not be empty")
        corners = [
            (file.number((*path, "points", index, 0)), file.number((*path, "points", index, 1)))
            for index in range(len(points))
        ]
        return bounding_box((x * size[0] / 100, y * size[1] / 100) for x, y in corners)
    x, y, width, height = (file.number((*path, key)) for key in ("x", "y", "width", "height"))
    left, top, across, down = x * size[0] / 100, y * size[1] / 100, width * size[0] / 100, height * size[1] / 100
    angle = math.radians(file.number((*path, "rotation"))) if value.get("rotation") else 0.0
    if not angle:
        return left, top, left + across, top + down
    return bounding_box(
        (left + dx * math.cos(angle) - dy * math.sin(angle), top + dx * math.sin(angle) + dy * math.cos(angle))
        for dx, dy in ((0.0, 0.0), (across, 0.0), (across, down), (0.0, down))
    )


def _place(file: JsonFile, regions: list[_Region], where: str) -> tuple[tuple[Page, ...], tuple[Value, ...]]:
    """Put the words of regions into pages and lines, and find the words of each label there."""
    marked: dict[int, list[MarkedWord]] = {}
    sizes: dict[int, tuple[float, float]] = {}
    for region in regions:
        if region.labels and (region.box is None or not region.text.strip()):
            missing = "text: transcribe it" if region.box is not None else "box: draw it on the image"
            raise file.error(region.path, f"has the label {region.labels[0]!r} and no {missing}")
        if region.box is None:
            continue
        if not 0 <= region.page <= _LAST_PAGE:
            raise file.error((*region.path, "item_index"), f"must be the number of a page, 0 to {_LAST_PAGE}")
        if sizes.setdefault(region.page, region.size) != region.size:
            raise file.error(region.path, f"has another image size than the regions before it on page {region.page}")
        words = split_words(region.text, region.box)
        marked.setdefault(region.page, []).extend(MarkedWord(word, tuple(region.labels), where) for word in words)
    lines = [rows_of(one.word for one in marked.get(page, ())) for page in range(max(sizes, default=0) + 1)]
    pages = tuple(make_page(of_page, sizes.get(page)) for page, of_page in enumerate(lines))
    return pages, marked_values(lines, (one for of_page in marked.values() for one in of_page))
