"""Read a YAML file into plain values with positions.

Values are built from the parser's events, because PyYAML's own composer stops at the first mistake and accepts
duplicate keys, tags and aliases that expand without end.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn

import yaml

from pytest_ibmodels.spec.errors import Problem, SpecError
from pytest_ibmodels.spec.messages import did_you_mean, is_a
from pytest_ibmodels.spec.scalars import value_of_word
from pytest_ibmodels.spec.strays import strays
from pytest_ibmodels.spec.syntax import syntax_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from yaml.error import Mark

# The pure Python parser emits the same events, ten times slower.
PARSER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

MAX_DEPTH = 100
"""Maximum number of nested collections in one file."""

MAX_ALIASED = 2_000_000
"""Maximum number of values in one file after all aliases are expanded."""

_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "seq", "map")}
_TEXT_TAGS = {"!", "tag:yaml.org,2002:str"}


class LocatedDict(dict[str, Any]):
    """YAML mapping with positions.

    Attributes:
        marks: start of the key and start of the value, by key.
        size: number of values inside, aliases expanded, plus one.
    """

    __slots__ = ("marks", "size")

    def __init__(self) -> None:
        super().__init__()
        self.marks: dict[str, tuple[Mark, Mark]] = {}
        self.size = 1


class LocatedList(list[Any]):
    """YAML sequence with positions: `marks` holds the start of each item, `size` is that of `LocatedDict`."""

    __slots__ = ("marks", "size")

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[Mark] = []
        self.size = 1


@dataclass
class Document:
    """The top-level mapping of a file, and the problems found in the file so far."""

    path: Path
    root: LocatedDict
    problems: list[Problem] = field(default_factory=list)

    def report(self, mark: Mark, message: str) -> None:
        self.problems.append(Problem(self.path, mark.line + 1, mark.column + 1, message))


def read_yaml(path: Path) -> Document:
    """Read a file that holds one YAML mapping, or nothing.

    Keys are always text, `No` and `2024` included. Values are text, numbers, truth values, None, `LocatedList` and
    `LocatedDict`. Merge keys are merged; an alias is the same object as its anchor's value.

    Raises:
        SpecError: The file cannot be read, or is not one YAML mapping.
    """
    text = _read_text(path)
    try:
        return _Composer(path, PARSER(text)).compose()
    except yaml.YAMLError as error:
        raise SpecError([syntax_problem(path, text, error)]) from None


@contextmanager
def pause_gc() -> Iterator[None]:
    """Pause the garbage collector, which takes half of the time that reading a large file needs."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def plain_copy(value: Any) -> Any:
    """Deep copy of a value, made of plain dicts and lists."""
    if isinstance(value, dict):
        return {key: plain_copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_copy(item) for item in value]
    return value


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise SpecError([Problem(path, 1, 1, "no such file")]) from None
    except IsADirectoryError:
        raise SpecError([Problem(path, 1, 1, "this is a folder, not a file")]) from None
    except OSError as error:
        raise SpecError([Problem(path, 1, 1, f"the file cannot be read: {error.strerror}")]) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        message = f"byte 0x{data[error.start]:02x} is not UTF-8: save the file as UTF-8"
        raise SpecError([Problem(path, line, column, message)]) from None


_OPEN: Any = object()
"""Value of an anchor whose collection has not ended yet."""


class _Composer:
    """Composes the one document of a parser by recursive descent."""

    def __init__(self, path: Path, parser: Any) -> None:
        self._next: Callable[[], Any] = parser.get_event
        self._document = Document(path, LocatedDict())
        self._anchors: dict[str, Any] = {}
        self._aliased = 0
        self._depth = 0
        self._strays: list[Problem] = []

    def compose(self) -> Document:
        self._next()  # the start of the stream
        if type(self._next()) is yaml.DocumentStartEvent:
            self._compose_root()
            self._next()  # the end of the document
            event = self._next()
            mark = event.start_mark
            if type(event) is yaml.DocumentStartEvent:
                self._give_up(mark, "a second YAML document starts here: one file holds one, remove the `---`")
        if self._strays:
            # They may be the cause of every other problem.
            raise SpecError(self._strays)
        return self._document

    def _give_up(self, mark: Mark, message: str) -> NoReturn:
        self._document.report(mark, message)
        raise SpecError(self._document.problems)

    def _compose_root(self) -> None:
        event = self._next()
        root = self._node(event)
        if type(root) is LocatedDict:
            self._document.root = root
        elif root is not None:
            self._give_up(
                event.start_mark, f"the file has to be a mapping, `name:` and below it its keys, but {is_a(root)}"
            )

    def _node(self, event: Any) -> Any:
        if type(event) is yaml.AliasEvent:
            return self._alias(event)
        value = self._scalar(event) if type(event) is yaml.ScalarEvent else self._collection(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = value
        return value

    def _scalar(self, event: Any) -> Any:
        self._note_strays(event)
        tag = event.tag
        if tag in _TEXT_TAGS or (tag is None and not event.implicit[0]):
            return event.value
        if tag is not None and tag not in _TAGS:
            self._report_tag(event)
        value = value_of_word(event.value)
        if type(value) is float and not isfinite(value):
            self._document.report(
                event.start_mark,
                f"`{event.value}` is not a finite number: minimums, limits and hyperparameters have to be finite",
            )
            return 1.0  # accepted by every later check, so the mistake is reported once
        return value

    def _note_strays(self, event: Any) -> None:
        """Note misplaced invisible characters of an unquoted scalar."""
        if event.style or event.value.isascii():
            return
        mark = event.start_mark
        is_one_line = event.end_mark.line == mark.line
        for index, message in strays(event.value):
            column = mark.column + 1 + (index if is_one_line else 0)
            self._strays.append(Problem(self._document.path, mark.line + 1, column, message))

    def _report_tag(self, event: Any) -> None:
        shown = event.tag.replace("tag:yaml.org,2002:", "!!")
        self._document.report(event.start_mark, f"the YAML tag `{shown}` has no meaning here: remove it")

    def _collection(self, event: Any) -> LocatedDict | LocatedList:
        if self._depth >= MAX_DEPTH:
            self._give_up(event.start_mark, f"nested more than {MAX_DEPTH} levels deep")
        if event.tag not in (None, "!") and event.tag not in _TAGS:
            self._report_tag(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = _OPEN
        self._depth += 1
        collection = self._mapping() if type(event) is yaml.MappingStartEvent else self._sequence()
        self._depth -= 1
        return collection

    def _sequence(self) -> LocatedList:
        result = LocatedList()
        while type(event := self._next()) is not yaml.SequenceEndEvent:
            value = self._node(event)
            result.size += _size(value)
            result.append(value)
            result.marks.append(event.start_mark)
        return result

    def _mapping(self) -> LocatedDict:
        result = LocatedDict()
        marks = result.marks
        merged: list[LocatedDict] = []
        at_merge: Mark | None = None
        while type(event := self._next()) is not yaml.MappingEndEvent:
            at_key = event.start_mark
            key = self._key(event)
            is_merge = key == "<<" and type(event) is yaml.ScalarEvent and event.implicit[0]
            first = at_merge if is_merge else marks[key][0] if key in marks else None
            if first is not None:
                advice = "merge a list instead, `<<: [*one, *other]`" if is_merge else "keep one of them"
                self._document.report(at_key, f"`{key}` is given twice, first on line {first.line + 1}: {advice}")
            event = self._next()
            value = self._node(event)
            result.size += _size(value)
            if first is not None:
                continue
            if is_merge:
                at_merge, merged = at_key, self._mappings(value, event.start_mark)
            else:
                result[key] = value
                marks[key] = at_key, event.start_mark
        return _merge(result, merged) if merged else result

    def _key(self, event: Any) -> str:
        if type(event) is yaml.ScalarEvent:
            self._note_strays(event)
            if event.anchor is not None:
                self._anchors[event.anchor] = event.value
            return str(event.value)
        key = self._node(event)
        if type(key) is not str:
            self._give_up(
                event.start_mark, f"a key has to be text, but {is_a(key)}: put it in quotes if it is text in brackets"
            )
        return key

    def _mappings(self, value: Any, mark: Mark) -> list[LocatedDict]:
        """The mappings that `<<: value` merges."""
        parts = value if type(value) is LocatedList else [value]
        for part in parts:
            if type(part) is not LocatedDict:
                self._give_up(mark, f"`<<` merges a mapping or a list of mappings, but this {is_a(part)}")
        return list(parts)

    def _alias(self, event: Any) -> Any:
        name, mark = event.anchor, event.start_mark
        if name not in self._anchors:
            self._give_up(mark, f"`*{name}` has no anchor `&{name}` above it{did_you_mean(name, self._anchors)}")
        value = self._anchors[name]
        if value is _OPEN:
            self._give_up(mark, f"`*{name}` stands inside `&{name}`: a value cannot contain itself")
        self._aliased += _size(value)
        if self._aliased > MAX_ALIASED:
            self._give_up(mark, f"the aliases of this file expand to more than {MAX_ALIASED:,} values: use fewer `*`")
        return value


def _size(value: Any) -> int:
    return value.size if isinstance(value, LocatedDict | LocatedList) else 1


def _merge(own: LocatedDict, merged: list[LocatedDict]) -> LocatedDict:
    """`own` with the keys of `merged` that it lacks, from the first that has them; merged keys come first."""
    result = LocatedDict()
    for part in chain(reversed(merged), [own]):
        result.update(part)
        result.marks.update(part.marks)
    result.size = own.size
    return result
