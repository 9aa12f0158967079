"""A YAML file as plain values that know where they stand.

The parser's events are turned into values directly: half the work of PyYAML's nodes and constructors, and the place to
be strict about what those let pass (duplicate keys, tags, aliases that expand without end).
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
    from collections.abc import Iterator
    from pathlib import Path

    from yaml.error import Mark

# libyaml's parser where PyYAML was built with it; the same events, ten times slower, where it was not.
PARSER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

MAX_DEPTH = 100
"""Levels of nesting in one file."""

MAX_ALIASED = 2_000_000
"""Values that all aliases of one file may stand for together."""

_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "seq", "map")}
_TEXT_TAGS = {"!", "tag:yaml.org,2002:str"}


class LocatedDict(dict[str, Any]):
    """A YAML mapping; `marks` has the places of every key and its value, `size` counts values, aliases expanded."""

    __slots__ = ("marks", "size")

    def __init__(self) -> None:
        super().__init__()
        self.marks: dict[str, tuple[Mark, Mark]] = {}
        self.size = 1


class LocatedList(list[Any]):
    """A YAML sequence; `marks` has the place of every item. `size` as in `LocatedDict`."""

    __slots__ = ("marks", "size")

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[Mark] = []
        self.size = 1


@dataclass
class Document:
    """The mapping that a file holds, and the problems that reading it has found so far."""

    path: Path
    root: LocatedDict
    problems: list[Problem] = field(default_factory=list)

    def report(self, mark: Mark, message: str) -> None:
        self.problems.append(Problem(self.path, mark.line + 1, mark.column + 1, message))


def read_yaml(path: Path) -> Document:
    """Read a file that holds one YAML mapping, or nothing.

    Keys are text as they stand (`No` and `2024` too), values are text, numbers, truth values, None, `LocatedList` and
    `LocatedDict`. Merge keys are merged, aliases are the very object they stand for.

    Raises:
        SpecError: The file cannot be read, or what it holds has no structure to go on with.
    """
    text = _text_of(path)
    try:
        return _Composer(path).compose(PARSER(text))
    except yaml.YAMLError as error:
        raise SpecError([syntax_problem(path, text, error)]) from None


@contextmanager
def collector_paused() -> Iterator[None]:
    """What is read is no garbage while it is read: looking for some takes half of the time that a large file needs."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def plain(value: Any) -> Any:
    """The same value in dicts and lists of Python's own, which nobody else holds."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def _text_of(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise SpecError([Problem(path, 1, 1, "there is no such file")]) from None
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


class _Frame:
    """A list or mapping whose end has not come yet."""

    __slots__ = ("anchor", "container", "key", "key_mark", "mark", "merged")

    def __init__(self, container: LocatedDict | LocatedList, event: yaml.CollectionStartEvent) -> None:
        self.container = container
        self.anchor: str | None = event.anchor
        self.mark: Any = event.start_mark
        self.key: str | None = None
        self.key_mark: Mark | None = None
        self.merged: list[LocatedDict] | None = None


_DUPLICATE = "\0duplicate"
_MERGE = "\0merge"
"""Keys that no file can hold: control characters are not YAML."""


class _Composer:
    """Makes one document of a parser's events."""

    def __init__(self, path: Path) -> None:
        self._document = Document(path, LocatedDict())
        self._open: list[_Frame] = []
        # A name whose mapping or list is still open stands for None.
        self._anchors: dict[str, tuple[Any, int] | None] = {}
        self._aliased = 0
        self._documents = 0
        self._strays: list[Problem] = []
        self._handlers = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._start,
            yaml.SequenceStartEvent: self._start,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document_start,
        }

    def compose(self, parser: Any) -> Document:
        handler_of = self._handlers.get
        while (event := parser.get_event()) is not None:
            handler = handler_of(type(event))
            if handler is not None:
                handler(event)
        if self._strays:
            # Whatever else is wrong may be so because of them.
            raise SpecError(self._strays)
        return self._document

    def _give_up(self, mark: Mark, message: str) -> NoReturn:
        self._document.report(mark, message)
        raise SpecError(self._document.problems)

    def _document_start(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            self._give_up(event.start_mark, "a second YAML document starts here: one file holds one, remove the `---`")

    def _note_strays(self, event: Any) -> None:
        """Note characters that nobody sees in a text without quotes, where they cannot be meant."""
        mark = event.start_mark
        is_one_line = event.end_mark.line == mark.line
        for index, message in strays(event.value):
            column = mark.column + 1 + (index if is_one_line else 0)
            self._strays.append(Problem(self._document.path, mark.line + 1, column, message))

    def _scalar(self, event: Any) -> None:
        if not event.style and not event.value.isascii():
            self._note_strays(event)
        frame = self._open[-1] if self._open else None
        if frame is not None and frame.key is None and type(frame.container) is LocatedDict:
            if event.anchor is not None:
                self._anchors[event.anchor] = (event.value, 1)
            self._key(
                frame, frame.container, event.value, event.start_mark, merges=event.implicit[0] and event.value == "<<"
            )
            return
        value = self._value_of(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, 1)
        self._put(value, event.start_mark, 1)

    def _value_of(self, event: Any) -> Any:
        tag = event.tag
        if tag is None:
            if not event.implicit[0]:
                return event.value
        elif tag in _TEXT_TAGS:
            return event.value
        elif tag not in _TAGS:
            self._report_tag(event)
        value = value_of_word(event.value)
        if type(value) is float and not isfinite(value):
            self._document.report(
                event.start_mark,
                f"`{event.value}` is no finite number: minimums, limits and hyperparameters have to be",
            )
            # Said once is enough: a number that no later check objects to stands in for it.
            return 1.0
        return value

    def _report_tag(self, event: Any) -> None:
        shown = event.tag.replace("tag:yaml.org,2002:", "!!")
        self._document.report(event.start_mark, f"the YAML tag `{shown}` means nothing here: remove it")

    def _key(self, frame: _Frame, container: LocatedDict, key: str, mark: Mark, *, merges: bool) -> None:
        if merges:
            first = frame.key_mark if frame.merged is not None else None
            advice = "merge a list instead, `<<: [*one, *other]`"
        else:
            first = container.marks[key][0] if key in container.marks else None
            advice = "keep one of them"
        if first is not None:
            self._document.report(mark, f"`{key}` is given twice, first on line {first.line + 1}: {advice}")
            frame.key = _DUPLICATE
        else:
            frame.key = _MERGE if merges else key
        frame.key_mark = mark

    def _start(self, event: Any) -> None:
        if len(self._open) >= MAX_DEPTH:
            self._give_up(event.start_mark, f"nested more than {MAX_DEPTH} levels deep")
        if event.tag not in (None, "!") and event.tag not in _TAGS:
            self._report_tag(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        container = LocatedDict() if type(event) is yaml.MappingStartEvent else LocatedList()
        self._open.append(_Frame(container, event))

    def _end(self, _: Any) -> None:
        frame = self._open.pop()
        container = frame.container
        if frame.merged is not None and type(container) is LocatedDict:
            container = _merge(container, frame.merged)
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (container, container.size)
        self._put(container, frame.mark, container.size)

    def _alias(self, event: Any) -> None:
        name = event.anchor
        if name not in self._anchors:
            self._give_up(
                event.start_mark, f"`*{name}` has no anchor `&{name}` above it{did_you_mean(name, self._anchors)}"
            )
        anchored = self._anchors[name]
        if anchored is None:
            self._give_up(event.start_mark, f"`*{name}` stands inside `&{name}`: a value cannot hold itself")
        value, size = anchored
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            self._give_up(
                event.start_mark,
                f"the aliases of this file stand for more than {MAX_ALIASED:,} values: write less with `*`",
            )
        self._put(value, event.start_mark, size)

    def _put(self, value: Any, mark: Mark, size: int) -> None:
        """Hand a complete value to what it stands in."""
        if not self._open:
            self._put_root(value, mark)
            return
        frame = self._open[-1]
        container = frame.container
        container.size += size
        if type(container) is LocatedList:
            container.append(value)
            container.marks.append(mark)
        elif type(container) is LocatedDict:
            self._put_in_mapping(frame, container, value, mark)

    def _put_in_mapping(self, frame: _Frame, container: LocatedDict, value: Any, mark: Mark) -> None:
        key, key_mark = frame.key, frame.key_mark
        if key is None or key_mark is None:
            if type(value) is not str:
                self._give_up(
                    mark, f"a key has to be text, but {is_a(value)}: put it in quotes if it is text in brackets"
                )
            self._key(frame, container, value, mark, merges=False)
            return
        frame.key = None
        if key is _MERGE:
            frame.merged = self._mappings_of(value, mark)
        elif key is not _DUPLICATE:
            container[key] = value
            container.marks[key] = (key_mark, mark)

    def _mappings_of(self, value: Any, mark: Mark) -> list[LocatedDict]:
        parts = value if type(value) is LocatedList else [value]
        for part in parts:
            if type(part) is not LocatedDict:
                self._give_up(mark, f"`<<` merges a mapping or a list of mappings, but this {is_a(part)}")
        return list(parts)

    def _put_root(self, value: Any, mark: Mark) -> None:
        if type(value) is LocatedDict:
            self._document.root = value
        elif value is not None:
            self._give_up(mark, f"the file has to be a mapping, `name:` and below it its keys, but {is_a(value)}")


def _merge(own: LocatedDict, merged: list[LocatedDict]) -> LocatedDict:
    """`own` and, for keys it lacks, the first of `merged` that has them; merged keys come first."""
    result = LocatedDict()
    for part in chain(reversed(merged), [own]):
        result.update(part)
        result.marks.update(part.marks)
    result.size = own.size
    return result
