"""Reader of Annotator projects (`.ibannotator`): fields, documents, and the words that hold each field."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from ibformers.documents.content import check_distinct
from ibformers.documents.document import AnnotatedDocument
from ibformers.documents.ocr import parse_document
from ibformers.documents.places import WordPlace, WordPlaces
from ibformers.errors import DocumentError, TrainingInputError

if TYPE_CHECKING:
    from ibformers.documents.document import Document
    from ibformers.platform import FileClient

OUTSIDE = "O"
"""Class of the words that belong to no field; a project cannot have a field of this name."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AnnotatorProject:
    """Fields in the project's order, and its documents in the project's order."""

    fields: tuple[str, ...]
    documents: tuple[AnnotatedDocument, ...]

    @property
    def training(self) -> list[AnnotatedDocument]:
        """Training documents: annotated, and not test files."""
        return [item for item in self.documents if item.annotated and not item.is_test]

    @property
    def validation(self) -> list[AnnotatedDocument]:
        """Documents that the metrics are computed on: annotated test files."""
        return [item for item in self.documents if item.annotated and item.is_test]

    @property
    def prediction(self) -> list[AnnotatedDocument]:
        """Documents that are predicted: test files and unannotated files, never a training document."""
        return [item for item in self.documents if item.is_test or not item.annotated]


def read_project(path: str, files: FileClient) -> AnnotatorProject:
    """Read an `.ibannotator` file and every document that it names.

    Each document is read from its `ocrPath`. If that cannot be read (for example in a copied project), the last four
    parts of the path are looked up under the folder of the `.ibannotator`.

    Raises:
        TrainingInputError: The project or one of its documents is missing, malformed, or unusable for training. The
            message names the document.
    """
    path = path.strip("/")
    project = _read_json(path, files)
    fields = _read_fields(project, path)
    test_ids = _read_test_ids(project, path)
    documents: dict[str, AnnotatedDocument] = {}
    for number, entry in enumerate(project["files"]):
        if not isinstance(entry, dict):
            raise TrainingInputError(f"{path}: files[{number}] must be an object.")
        item = _read_entry(entry, f"{path}: files[{number}]", path, fields, test_ids, files)
        if item.file_id in documents:
            raise TrainingInputError(
                f"{path}: files[{number}], {item.document.name}, repeats the id {item.file_id!r} of "
                f"{documents[item.file_id].document.name}."
            )
        documents[item.file_id] = item
    found = tuple(documents.values())
    check_distinct(found, path)
    result = AnnotatorProject(tuple(fields.values()), found)
    _check_trainable(result, path)
    return result


def _read_json(path: str, files: FileClient) -> dict[str, Any]:
    try:
        data = files.read_file(path)
    except OSError:
        raise TrainingInputError(f"The dataset {path} is not there or cannot be read.") from None
    try:
        project = json.loads(data)
    except (UnicodeDecodeError, ValueError) as error:
        raise TrainingInputError(f"The dataset {path} is not JSON: {error}.") from None
    if not isinstance(project, dict):
        raise TrainingInputError(f"The dataset {path} must be a JSON object with labels, files and testFiles.")
    for key in ("labels", "files", "testFiles"):
        if not isinstance(project.get(key), list):
            raise TrainingInputError(f"The dataset {path} is not an Annotator project: {key!r} must be a list.")
    return project


def _read_fields(project: dict[str, Any], path: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for number, label in enumerate(project["labels"]):
        where = f"{path}: labels[{number}]"
        if (
            not isinstance(label, dict)
            or not isinstance(label.get("id"), str)
            or not isinstance(label.get("name"), str)
        ):
            raise TrainingInputError(f"{where} must have 'id' and 'name', both text.")
        name = label["name"]
        if not name.strip() or name == OUTSIDE:
            raise TrainingInputError(f"{where} has the name {name!r}, which cannot be the name of a field.")
        if label["id"] in fields or name in fields.values():
            raise TrainingInputError(f"{where} repeats the id {label['id']!r} or the name {name!r}.")
        fields[label["id"]] = name
    if not fields:
        raise TrainingInputError(f"{path} has no labels, so there is nothing to learn.")
    return fields


def _read_test_ids(project: dict[str, Any], path: str) -> set[str]:
    test_ids = project["testFiles"]
    if not test_ids:
        raise TrainingInputError(f"{path} has no test files, so no metric can be computed: mark some in the project.")
    known = {entry["id"] for entry in project["files"] if isinstance(entry, dict) and isinstance(entry.get("id"), str)}
    for test_id in test_ids:
        if not isinstance(test_id, str) or test_id not in known:
            raise TrainingInputError(f"{path}: testFiles names {test_id!r}, but no file of the project has this id.")
    return set(test_ids)


def _read_entry(
    entry: dict[str, Any], where: str, path: str, fields: dict[str, str], test_ids: set[str], files: FileClient
) -> AnnotatedDocument:
    file_id, ocr_path, annotations = entry.get("id"), entry.get("ocrPath"), entry.get("annotations")
    if not isinstance(file_id, str) or not isinstance(ocr_path, str) or not isinstance(annotations, dict):
        raise TrainingInputError(f"{where} must have 'id' and 'ocrPath', both text, and the object 'annotations'.")
    if not ocr_path.endswith((".ibdoc", ".ibocr")):
        raise TrainingInputError(f"{where}: {ocr_path} is no OCR document: its name must end in .ibdoc or .ibocr.")
    document = _read_document(ocr_path.strip("/"), path, files)
    return AnnotatedDocument(
        document,
        _word_classes(annotations, document, fields),
        annotated=bool(annotations),
        is_test=file_id in test_ids,
        file_id=file_id,
    )


def _read_document(ocr_path: str, path: str, files: FileClient) -> Document:
    beside = str(PurePosixPath(path).parent.joinpath(*PurePosixPath(ocr_path).parts[-4:]))
    for candidate in (ocr_path, beside):
        try:
            data = files.read_file(candidate)
        except OSError:
            continue
        try:
            return parse_document(data, candidate)
        except DocumentError as error:
            raise TrainingInputError(str(error)) from None
    raise TrainingInputError(f"{path} names the document {ocr_path}, which is neither there nor at {beside}.")


def _word_classes(annotations: dict[str, Any], document: Document, fields: dict[str, str]) -> tuple[int, ...]:
    places = WordPlaces(document)
    classes = [0] * len(document.words)
    names = (OUTSIDE, *fields.values())
    for label_id, annotation in annotations.items():
        if label_id not in fields:
            raise TrainingInputError(
                f"{document.name} is annotated with the label id {label_id!r}, which the project lacks."
            )
        number = names.index(fields[label_id])
        for place in _word_places(annotation, document.name, fields[label_id]):
            index = places.find(place)
            if index is None:
                raise TrainingInputError(
                    f"{document.name} has no word {place.raw!r} at {place} on page {place.page}, "
                    f"where the field {fields[label_id]!r} is annotated; {places.nearest(place)}."
                )
            if classes[index] not in (0, number):
                logger.warning(
                    "%s: the word %r is annotated as %s and as %s; it can be learned as one, %s.",
                    document.name, place.raw, names[classes[index]], names[number], names[number],
                )  # fmt: skip
            classes[index] = number
    return tuple(classes)


def _word_places(annotation: Any, document: str, field: str) -> list[WordPlace]:
    """Return the text and location of every word of an annotation."""
    metadata = annotation.get("metadata", []) if isinstance(annotation, dict) else None
    if not isinstance(metadata, list):
        raise TrainingInputError(f"{document}: the annotation of {field!r} must be an object with a list 'metadata'.")
    found = []
    for number, item in enumerate(metadata):
        try:
            if item["dataType"] != "WordPoly":
                raise TrainingInputError(
                    f"{document}: the annotation of {field!r} has the data type {item['dataType']!r}; "
                    "only words (WordPoly) can be learned."
                )
            rect = item["position"]["rect"]
            left, top, page = float(rect["x"]), float(rect["y"]), int(item["position"]["page"])
            found.append(WordPlace(str(item["rawWord"]), page, left, top))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, TrainingInputError):
                raise
            raise TrainingInputError(
                f"{document}: word {number} of the annotation of {field!r} lacks its data type, word, page or position."
            ) from None
    return found


def _check_trainable(project: AnnotatorProject, path: str) -> None:
    if not project.training:
        raise TrainingInputError(f"{path} has no training documents: annotate documents that are not test files.")
    if not project.validation:
        raise TrainingInputError(f"{path}: none of the test files is annotated, so no metric can be computed.")
    seen = {number for item in project.training for number in item.classes}
    for number, field in enumerate(project.fields, start=1):
        if number not in seen:
            raise TrainingInputError(
                f"{path}: the label {field!r} has no example in the {len(project.training)} training documents."
            )
