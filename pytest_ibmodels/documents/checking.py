"""Check of an Annotator project: what is annotated how often, and what would harm a training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pytest_ibmodels.documents.check_result import FieldCount, Problem, ProjectCheck
from pytest_ibmodels.documents.errors import DocumentsError
from pytest_ibmodels.documents.json_files import JsonFile, Key
from pytest_ibmodels.documents.matching import letters_of
from pytest_ibmodels.documents.ocr_json import NEAR, OcrDocument, OcrError, OcrWord, parse_ocr
from pytest_ibmodels.documents.text_files import files_below, read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence
    from pathlib import Path

    from pytest_ibmodels.documents.pages import Box

SUFFIX = ".ibannotator"
_OUTSIDE = "O"
_PARTS_BESIDE = 4
"""Number of last parts of a path that are looked up beside the project."""


@dataclass(slots=True)
class _Entry:
    """A document of the project that could be read."""

    number: int
    id: str
    file: Path
    is_test: bool
    is_annotated: bool
    document: OcrDocument

    @property
    def side(self) -> str:
        part = "test" if self.is_test else "training"
        return part if self.is_annotated else f"{part}, not annotated" if self.is_test else "not annotated"

    def __str__(self) -> str:
        return f"{self.id!r} ({self.side})"


def find_projects(path: Path) -> list[Path]:
    """Return the projects at a path: the file itself, or those in the folder and its subfolders.

    Raises:
        DocumentsError: There is none.
    """
    found = files_below(path, (SUFFIX,)) if path.is_dir() else [path]
    if not found:
        raise DocumentsError(f"the folder holds no project (*{SUFFIX})", path)
    return found


def check_project(path: Path) -> ProjectCheck:
    """Check a project and every document that it names.

    Raises:
        DocumentsError: The file cannot be read, or is no project at all.
    """
    file = JsonFile(path, "utf-8")
    for key in ("labels", "files", "testFiles"):
        file.get((key,), list, "a list")
    return _Checker(file).check()


class _Checker:
    def __init__(self, file: JsonFile) -> None:
        self._file = file
        self._result = ProjectCheck(file)
        self._names: dict[str, str] = {}
        self._entries: list[_Entry] = []

    def check(self) -> ProjectCheck:
        self._read_labels()
        tests = self._read_tests()
        seen: dict[str, int] = {}
        for number, entry in enumerate(self._file.value["files"]):
            path: tuple[Key, ...] = ("files", number)
            if self._is_entry(entry, path):
                if entry["id"] in seen:
                    first = f"files[{seen[entry['id']]}]"
                    self._error("repeated id", (*path, "id"), f"repeats the id {entry['id']!r} of {first}")
                seen.setdefault(entry["id"], number)
                self._read_entry(entry, path, is_test=entry["id"] in tests)
        self._check_repeated()
        self._check_counts()
        return self._result

    def _error(self, kind: str, path: tuple[Key, ...], message: str) -> None:
        self._result.problems.append(Problem(kind, path, message, is_error=True))

    def _warn(self, kind: str, path: tuple[Key, ...], message: str) -> None:
        self._result.problems.append(Problem(kind, path, message, is_error=False))

    def _read_labels(self) -> None:
        for number, label in enumerate(self._file.value["labels"]):
            path: tuple[Key, ...] = ("labels", number)
            texts = [label.get(key) for key in ("id", "name")] if isinstance(label, dict) else [None]
            if not all(isinstance(text, str) for text in texts):
                self._error("label", path, "must have `id` and `name`, both text")
                continue
            number_id, name = label["id"], label["name"]
            if not name.strip() or name == _OUTSIDE:
                self._error("label", path, f"has the name {name!r}, which cannot be the name of a field")
            elif number_id in self._names or name in self._names.values():
                self._error("label", path, f"repeats the id {number_id!r} or the name {name!r}; remove one")
            else:
                self._names[number_id] = name
                self._result.fields[name] = FieldCount()
        if not self._names:
            self._error("label", ("labels",), "names no field, so there is nothing to learn")

    def _read_tests(self) -> set[str]:
        entries = [entry for entry in self._file.value["files"] if isinstance(entry, dict)]
        known = {entry["id"] for entry in entries if isinstance(entry.get("id"), str)}
        tests = set()
        for number, test in enumerate(self._file.value["testFiles"]):
            if not isinstance(test, str) or test not in known:
                self._error("unknown test file", ("testFiles", number), f"{test!r} is the id of no file; remove it")
            else:
                tests.add(test)
        return tests

    def _is_entry(self, entry: Any, path: tuple[Key, ...]) -> bool:
        texts = [entry.get(key) for key in ("id", "ocrPath")] if isinstance(entry, dict) else [None]
        if not all(isinstance(text, str) for text in texts) or not isinstance(entry.get("annotations"), dict):
            self._error("file", path, "must have `id` and `ocrPath`, both text, and the object `annotations`")
            return False
        return True

    def _read_entry(self, entry: dict[str, Any], path: tuple[Key, ...], *, is_test: bool) -> None:
        annotations = entry["annotations"]
        document = self._read_document(entry["ocrPath"], (*path, "ocrPath"))
        if document is None:
            return
        here, ocr = document
        made = _Entry(int(path[1]), entry["id"], here, is_test, bool(annotations), ocr)
        self._entries.append(made)
        if not made.is_annotated:
            self._result.unannotated += 1
            if is_test:
                self._warn("test file without annotation", path, f"{made.id!r} is a test file that is not annotated")
        elif is_test:
            self._result.test += 1
        else:
            self._result.training += 1
        self._check_boxes(ocr, path, made.id)
        self._check_annotations(made, annotations, (*path, "annotations"))

    def _read_document(self, ocr_path: str, path: tuple[Key, ...]) -> tuple[Path, OcrDocument] | None:
        if not ocr_path.endswith((".ibocr", ".ibdoc")):
            self._error("document", path, f"{ocr_path} must end in .ibocr or .ibdoc")
            return None
        folder = self._file.file.parent
        parts = [part for part in PurePosixPath(ocr_path.strip("/")).parts if part != ".."]
        candidates = [folder.joinpath(*parts[-_PARTS_BESIDE:]), folder.joinpath(*parts)]
        file = next((candidate for candidate in candidates if candidate.is_file()), None)
        if file is None:
            self._error("document", path, f"{ocr_path} is not beside the project, at {candidates[0]}")
            return None
        try:
            return file, parse_ocr(read_bytes(file))
        except (OcrError, DocumentsError) as error:
            self._error("document", path, f"{file} is no valid OCR document: {error}")
            return None

    def _check_boxes(self, document: OcrDocument, path: tuple[Key, ...], name: str) -> None:
        beyond: list[OcrWord] = []
        across: list[OcrWord] = []
        for word in document.words:
            overlap = _outside(word.box, document.pages[word.page])
            if overlap is not None:
                (beyond if overlap else across).append(word)
        for words, problem in ((beyond, self._error), (across, self._warn)):
            if words:
                word = words[0]
                width, height = document.pages[word.page]
                where = "outside" if words is beyond else "partly outside"
                counted = f"{len(words)} word{'s' * (len(words) > 1)}"
                problem(
                    "box outside the page",
                    path,
                    f"{name!r}: {counted} {where} the page, the first is {word.raw!r} on page {word.page} "
                    f"({width:g} x {height:g}): its box is {_shown(word.box)}",
                )

    def _check_annotations(self, entry: _Entry, annotations: dict[str, Any], path: tuple[Key, ...]) -> None:
        owners: dict[int, str] = {}
        for label, annotation in annotations.items():
            name = self._names.get(label)
            if name is None:
                self._error("unknown label", (*path, label), f"{label!r} is the id of no label")
                continue
            found = self._annotated_words(entry, annotation, (*path, label), name)
            for index in found:
                if owners.setdefault(index, name) != name:
                    word = entry.document.words[index].raw
                    self._warn(
                        "word of two fields",
                        (*path, label),
                        f"the word {word!r} belongs to {owners[index]!r} and {name!r}; it is learned as the later one",
                    )
            self._count(name, len(set(found)), is_test=entry.is_test)
            text = " ".join(entry.document.words[index].raw for index in found)
            value = annotation.get("value") if isinstance(annotation, dict) else None
            if found and isinstance(value, str) and letters_of(value) != letters_of(text):
                self._warn("value", (*path, label), f"has the value {value[:60]!r}, but its words are {text[:60]!r}")

    def _annotated_words(self, entry: _Entry, annotation: Any, path: tuple[Key, ...], name: str) -> list[int]:
        words = annotation.get("metadata", []) if isinstance(annotation, dict) else None
        if not isinstance(words, list):
            self._error("annotation", path, "must be an object with the list `metadata`")
            return []
        found = []
        for number, word in enumerate(words):
            here = (*path, "metadata", number)
            try:
                if word["dataType"] != "WordPoly":
                    self._error("annotation", here, f"has the data type {word['dataType']!r}; it must be 'WordPoly'")
                    continue
                rect, page, raw = word["position"]["rect"], int(word["position"]["page"]), str(word["rawWord"])
                left, top = float(rect["x"]), float(rect["y"])
            except (KeyError, TypeError, ValueError, OverflowError):
                self._error("annotation", here, "must have dataType, rawWord, position.page, and position.rect.x and y")
                continue
            index = entry.document.find(raw, page, left, top)
            if index is None:
                self._error(
                    "word not found",
                    here,
                    f"{entry.file} has no word {raw!r} at x={left:g}, y={top:g} on page {page}, where {name!r} is "
                    f"annotated (tolerance {NEAR:g} of the page); annotate it again",
                )
            else:
                found.append(index)
        return found

    def _count(self, name: str, words: int, *, is_test: bool) -> None:
        count = self._result.fields[name]
        if is_test:
            count.test += bool(words)
            count.test_words += words
        else:
            count.training += bool(words)
            count.training_words += words

    def _check_repeated(self) -> None:
        files: dict[object, _Entry] = {}
        paired = set()
        for entry in self._entries:
            first = files.setdefault(entry.file.resolve(), entry)
            if first is not entry:
                paired.add((first.number, entry.number))
                self._error("duplicate", ("files", entry.number), f"{entry} and {first} are the same file; keep one")
        for first, entry in _same(self._entries, lambda one: one.document.content_key):
            if (first.number, entry.number) not in paired:
                paired.add((first.number, entry.number))
                counts = any(one.is_annotated or one.is_test for one in (first, entry))
                problem = self._error if counts else self._warn
                problem("duplicate", ("files", entry.number), f"{entry} has the words and boxes of {first}; keep one")
        for first, entry in _same(self._entries, lambda one: one.document.text_key):
            if (first.number, entry.number) not in paired and first.is_test != entry.is_test:
                both = first.is_annotated and entry.is_annotated
                (self._error if both else self._warn)(
                    "leak",
                    ("files", entry.number),
                    f"{entry} has the very text of {first}: a test document must be unseen; put both on one side",
                )

    def _check_counts(self) -> None:
        result = self._result
        if not result.training:
            self._error("no training documents", ("files",), "has no annotated document that is no test file")
        if not result.test:
            self._error("no test documents", ("testFiles",), "has no annotated document, so no metric can be computed")
        for number, label in enumerate(self._file.value["labels"]):
            name = label.get("name") if isinstance(label, dict) else None
            count = result.fields.get(name) if isinstance(name, str) else None
            if count is not None and not count.training:
                self._error("label without example", ("labels", number), f"{name!r} has no word in a training document")
            if count is not None and not count.test:
                self._warn("label without example", ("labels", number), f"{name!r} has no word in a test document")


def _same(entries: Sequence[_Entry], key: Callable[[_Entry], Hashable]) -> Iterator[tuple[_Entry, _Entry]]:
    """Return pairs of documents with words and the same key: the first one of each side, and each later one."""
    firsts: dict[Hashable, dict[bool, _Entry]] = {}
    for entry in entries:
        if entry.document.words:
            sides = firsts.setdefault(key(entry), {})
            first = sides.get(not entry.is_test) or sides.get(entry.is_test)
            if first is not None:
                yield first, entry
            sides.setdefault(entry.is_test, entry)


def _outside(box: Box, page: tuple[float, float]) -> bool | None:
    """Return True if a box lies outside its page, False if it reaches beyond it, None if it lies within."""
    left, top, right, bottom = box
    width, height = page
    if max(left, right) <= 0 or max(top, bottom) <= 0 or min(left, right) >= width or min(top, bottom) >= height:
        return True
    beyond = max(-min(left, right) / width, -min(top, bottom) / height)
    beyond = max(beyond, max(left, right) / width - 1, max(top, bottom) / height - 1)
    return False if beyond > NEAR else None


def _shown(box: Box) -> str:
    return ", ".join(f"{side:g}" for side in box)
