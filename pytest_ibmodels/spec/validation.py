"""Validate entries with their pydantic models, and report errors in our own words at their place in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from pytest_ibmodels.spec.entries import BaselineEntry, BetterEntry, BoundsEntry, InferenceEntry, ResourcesEntry
from pytest_ibmodels.spec.environment_entries import LimitsEntry
from pytest_ibmodels.spec.messages import closest, is_a, number_hint, quoted, quotes_hint
from pytest_ibmodels.spec.reader import Document, LocatedDict, LocatedList
from pytest_ibmodels.spec.values import COLUMN_PATTERN, PER_FIELD, TABLE_PATTERN, invalid_character
from pytest_ibmodels.verdicts.metrics import is_low_better

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails
    from yaml.error import Mark

EntryT = TypeVar("EntryT", bound=BaseModel)
Path = tuple[str | int, ...]


_NESTED: dict[str, type[BaseModel]] = {
    "baseline": BaselineEntry,
    "better_than_current": BetterEntry,
    "inference": InferenceEntry,
    "limits": LimitsEntry,
    "metrics": BoundsEntry,
    "resources": ResourcesEntry,
}
"""Model of the mapping below a key of an entry."""


class Spot(NamedTuple):
    """Places of a key and of its value, and the number of parts of the path that the file has."""

    key: Mark
    value: Mark
    depth: int


_EXPECTED = {
    "string_type": "text",
    "string_too_short": "text that is not empty",
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "a number from {ge:g}",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "a number up to {le:g}",
}
"""Expected value by type of pydantic's error; in braces: keys of the error's context."""

_PATTERNS = {
    COLUMN_PATTERN: "the name of a column, of letters, digits and `_`",
    TABLE_PATTERN: "the name of a table, TABLE or SCHEMA.TABLE, of letters, digits and `_`",
}


def entry_names(document: Document) -> list[str]:
    """Top-level keys that name entries, without those that start with `.`, which hold anchors."""
    return [name for name in document.root if not name.startswith(".")]


def entries(document: Document, kind: str) -> Iterator[tuple[str, Mark]]:
    """Yield each entry that is a mapping as its name and the place of the name; report other entries and bad names.

    Args:
        document: the file.
        kind: the word for an entry in messages, such as "model test".
    """
    for name in entry_names(document):
        value = document.root[name]
        at_name = document.root.marks[name][0]
        invalid = invalid_character(name)
        if invalid is not None:
            found = f"{quoted(name)} contains {quoted(invalid)}" if invalid else "this one is empty"
            document.report(at_name, f"names of {kind}s consist of letters, digits, `_`, `-` and `.`, but {found}")
        if isinstance(value, LocatedDict):
            yield name, at_name
        else:
            document.report(at_name, f"{kind} `{name}` has to be a mapping, but {is_a(value)}")


def validate_entry(document: Document, name: str, model: type[EntryT], kind: str) -> EntryT | None:
    """Validate the entry `name`; None after reporting its errors."""
    try:
        return model.model_validate(document.root[name])
    except ValidationError as error:
        errors = error.errors(include_url=False)
    # A misspelt key is one mistake, not an unknown key and a missing key.
    misspelt = {_meant(model, details["loc"]) for details in errors if details["type"] == "extra_forbidden"}
    for details in errors:
        if details["type"] != "missing" or details["loc"] not in misspelt:
            _report(document, name, model, kind, details)
    return None


def _report(document: Document, name: str, model: type[BaseModel], kind: str, details: ErrorDetails) -> None:
    path = details["loc"]
    place = spot(document.root, name, *path)
    # The short form of a minimum has no `min` in the file, so the label ends before it.
    label = ".".join(map(str, path[: place.depth]))
    if details["type"] == "missing":
        key = ".".join(map(str, path))
        document.report(place.key, f"{kind} `{name}` has no `{key}`{_description(model, path)}")
    elif details["type"] == "extra_forbidden":
        meant = _meant(model, path)
        advice = f": did you mean `{meant[-1]}`?" if meant else ""
        document.report(place.key, f"unknown key `{label}`{advice} (keys: {', '.join(_keys_beside(model, path))})")
    elif details["type"] == "spec":
        document.report(place.value, f"`{label}` {details['msg']}")
    else:
        message = f"`{label}` has to be {_expected(details)}, but {_found(path, details['input'])}{_hint(details)}"
        document.report(place.value, message)


def _meant(model: type[BaseModel], path: Path) -> Path | None:
    """Path of the known key that the unknown key at the end of `path` resembles; None if there is none."""
    word, known = str(path[-1]), _keys_beside(model, path)
    # `environment` and `env` have too few letters in common to be similar.
    close = closest(word, known) or next((key for key in known if word.startswith(key)), None)
    return None if close is None else (*path[:-1], close)


def _description(model: type[BaseModel], path: Path) -> str:
    field = model.model_fields.get(str(path[0])) if len(path) == 1 else None
    if field is None or not field.description:
        return ""
    sentence = " ".join(field.description.split()).partition(". ")[0].removesuffix(".")
    return f": {sentence[0].lower()}{sentence[1:]}"


def _expected(details: ErrorDetails) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "string_pattern_mismatch":
        return _PATTERNS[context["pattern"]]
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    expected = _EXPECTED.get(kind)
    return f"something else ({details['msg']})" if expected is None else expected.format_map(context)


def _found(path: Path, value: Any) -> str:
    if path in {("token",), ("database",)} and isinstance(value, int | float):
        return "is something else"
    return is_a(value)


def _hint(details: ErrorDetails) -> str:
    kind, path, value = details["type"], details["loc"], details["input"]
    if kind == "string_type":
        return quotes_hint(value)
    if kind in {"float_type", "int_type"}:
        return number_hint(value) if isinstance(value, str) else ": it is too large" if type(value) is int else ""
    if kind == "dict_type" and len(path) == 2 and path[0] == "metrics" and isinstance(value, int | float):
        if path[1] in PER_FIELD:
            return f": a minimum belongs to a field, `FIELD: {value}`"
        if is_low_better(str(path[1])):
            return f": it should be low, so write `{{max: {value}}}`, or bounds for each field"
        return f": write `{{min: {value}}}` or `{{max: {value}}}`, or bounds for each field"
    return ""


def _keys_beside(model: type[BaseModel], path: Path) -> list[str]:
    """Keys that the mapping of the last key of `path` may have."""
    return list((model if len(path) == 1 else _NESTED[str(path[0])]).model_fields)


def spot(parent: LocatedDict, name: str, *path: str | int) -> Spot:
    """Place of `path` below the entry `name`, or of the part of `path` that the file has."""
    (at_key, at_value), value, depth = parent.marks[name], parent[name], 0
    for part in path:
        if isinstance(value, LocatedDict) and part in value.marks:
            key = str(part)
            (at_key, at_value), value = value.marks[key], value[key]
        elif isinstance(value, LocatedList) and isinstance(part, int):
            at_key = at_value = value.marks[part]
            value = value[part]
        else:
            break
        depth += 1
    return Spot(at_key, value_place(at_key, at_value), depth)


def value_place(at_key: Mark, at_value: Mark) -> Mark:
    """Place to report for a wrong value: the value, or its key if the value starts on a later line."""
    return at_value if at_value.line == at_key.line else at_key
