"""Change numbers below `metrics` in the text of `model_tests.yaml`, and leave every other byte as it is."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import yaml

from pytest_ibmodels.spec.reader import PARSER
from pytest_ibmodels.spec.values import is_single_value
from pytest_ibmodels.verdicts.metrics import ALL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BOM = "\ufeff"
_MERGE = "<<"


@dataclass(frozen=True)
class BoundChange:
    """A new number for a bound.

    Attributes:
        test, metric, field: names; the field is `all` for a metric with a single value.
        bound: the bound that the number is, also where the file has the short form of a minimum.
        value: the new number.
    """

    test: str
    metric: str
    field: str
    bound: Literal["min", "max"]
    value: float

    @property
    def key(self) -> str:
        """Keys that lead to the bound, joined by dots."""
        return ".".join((self.test, "metrics", self.metric, *([] if self.field == ALL else [self.field]), self.bound))


@dataclass(frozen=True)
class RefusedChange:
    """A change that was not made.

    Attributes:
        change: the change.
        line: line of the number, from 1; 0 if the file has no such number.
        reason: why the number was left alone, as one sentence.
    """

    change: BoundChange
    line: int
    reason: str


@dataclass
class EditedText:
    """Result of an edit.

    Attributes:
        text: the whole new text.
        changed: changes that were made, with the line of each number, from 1. A number that already has its new value
            is neither changed nor refused.
        refused: changes that were not made.
    """

    text: str
    changed: list[tuple[BoundChange, int]] = field(default_factory=list)
    refused: list[RefusedChange] = field(default_factory=list)


def edit_file(path: Path, changes: Iterable[BoundChange]) -> EditedText:
    """Change numbers of a valid `model_tests.yaml`; the file is replaced as a whole, and keeps its permissions.

    Raises:
        OSError: The file cannot be read or written.
        ValueError: The file is not UTF-8, or not YAML.
    """
    before = path.read_bytes().decode("utf-8")
    try:
        edited = edit_text(before, changes)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
    if edited.text != before:
        _replace(path.resolve(), edited.text.encode("utf-8"))
    return edited


def edit_text(text: str, changes: Iterable[BoundChange]) -> EditedText:
    """Change numbers in the text of a valid `model_tests.yaml`.

    A number that other places of the file use, too, by an anchor or a merge key, is not changed.

    Raises:
        yaml.YAMLError: The text is not YAML.
    """
    bom, body = (_BOM, text[1:]) if text.startswith(_BOM) else ("", text)
    root: Any = yaml.compose(body, Loader=PARSER)
    uses = Counter(id(node) for node in _references(root))
    result = EditedText(text)
    new: dict[tuple[int, int], str] = {}
    for change in changes:
        found = _find(root, change)
        if found is None:
            result.refused.append(RefusedChange(change, 0, "the file has no such number"))
            continue
        line = found.node.start_mark.line + 1
        end = found.node.end_mark.index
        start = end - len(found.node.value)
        reason = _reason_to_refuse(found, uses, body[start:end])
        if reason:
            result.refused.append(RefusedChange(change, line, reason))
        elif not _is_number(found.node.value, change.value):
            new[start, end] = _number(change.value)
            result.changed.append((change, line))
    for (start, end), number in sorted(new.items(), reverse=True):
        body = body[:start] + number + body[end:]
    result.text = bom + body
    return result


class _Found(NamedTuple):
    """A scalar, the nodes on the way to it, itself included, and whether a merge key is on the way."""

    node: Any
    path: tuple[Any, ...]
    is_merged: bool


def _reason_to_refuse(found: _Found, uses: Counter[int], raw: str) -> str:
    if found.is_merged:
        return "the number comes from a merge key `<<`"
    if any(uses[id(node)] > 1 for node in found.path):
        return "the number is part of an anchor that is used in more than one place"
    return "" if raw == found.node.value else "the number is not written as a plain number"


def _references(root: Any) -> Iterator[Any]:
    """Yield each value of the file as often as it is referred to: once for itself, and once for each alias."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        yield node
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _find(root: Any, change: BoundChange) -> _Found | None:
    """The number of a bound, whichever form the file has for it; None if there is none."""
    found: _Found | None = _Found(root, (root,), is_merged=False)
    for name in (change.test, "metrics", change.metric):
        found = _value_below(found, name)
    if found is None:
        return None
    values: dict[str, Any] = {
        name: {} if isinstance(child, yaml.MappingNode) else 0.0 for name, (child, _) in _children(found).items()
    }
    is_single = isinstance(found.node, yaml.ScalarNode) or is_single_value(change.metric, values)
    if is_single != (change.field == ALL and ALL not in values):
        return None
    if not is_single:
        found = _value_below(found, change.field)
    if found is not None and isinstance(found.node, yaml.MappingNode):
        found = _value_below(found, change.bound)
    elif change.bound == "max":
        return None
    return found if found is not None and isinstance(found.node, yaml.ScalarNode) else None


def _value_below(parent: _Found | None, name: str) -> _Found | None:
    children = {} if parent is None else _children(parent)
    if parent is None or name not in children:
        return None
    child, is_merged = children[name]
    return _Found(child, (*parent.path, child), parent.is_merged or is_merged)


def _children(parent: _Found) -> dict[str, tuple[Any, bool]]:
    """The values of a mapping by key, and whether each comes from a merge key; empty for any other node."""
    if not isinstance(parent.node, yaml.MappingNode):
        return {}
    found: dict[str, tuple[Any, bool]] = {}
    for key, value in parent.node.value:
        if key.value == _MERGE and not key.style:
            for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                for name, (child, _) in _children(_Found(part, (), is_merged=True)).items():
                    found.setdefault(name, (child, True))
    own = {key.value: (value, False) for key, value in parent.node.value if key.value != _MERGE or key.style}
    return found | own


def _is_number(text: str, value: float) -> bool:
    try:
        return float(text) == value
    except ValueError:
        return False


def _number(value: float) -> str:
    """Shortest decimal notation, without an exponent."""
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _replace(path: Path, data: bytes) -> None:
    """Replace a file as a whole, so that a reader or a crash never sees a half."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    new = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        shutil.copymode(path, new)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
