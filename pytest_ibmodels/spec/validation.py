"""Checks one entry of a file with its pydantic model, and says what is wrong in our words, at the right place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from pytest_ibmodels.spec.messages import (
    closest,
    is_a,
    number_hint,
    quoted,
)
from pytest_ibmodels.spec.reader import Document, LocatedDict, LocatedList
from pytest_ibmodels.spec.values import BOUNDS, PER_FIELD, wrong_character

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails
    from yaml.error import Mark

EntryT = TypeVar("EntryT", bound=BaseModel)
Path = tuple[str | int, ...]


class Spot(NamedTuple):
    """Where to point for a key and for its value, and how many parts of a path lead there."""

    key: Mark
    value: Mark
    depth: int


_WANTED = {
    "string_type": "text",
    "float_type": "a number",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "greater_than": "a number above 0",
    "greater_than_equal": "a number from 0",
    "less_than": "a number below 1, as 0.01 for one point of 100",
    "literal_error": "pass or fail",
}


def entry_names(document: Document) -> list[str]:
    """The keys of the file that name entries: not those that start with `.`, which are places for anchors."""
    return [name for name in document.root if not name.startswith(".")]


def entries(document: Document, what: str) -> Iterator[tuple[str, Mark]]:
    """The entries that are mappings, by name, each with the place of its name; reports the others, and wrong names.

    `what` is the word for an entry.
    """
    for name in entry_names(document):
        value = document.root[name]
        at_name = document.root.marks[name][0]
        wrong = wrong_character(name)
        if wrong is not None:
            found = f"{quoted(name)} has {quoted(wrong)} in it" if wrong else "this one is empty"
            document.report(at_name, f'names of {what}s are made of letters, digits, "_", "-" and ".", but {found}')
        if isinstance(value, LocatedDict):
            yield name, at_name
        else:
            document.report(at_name, f"{what} `{name}` has to be a mapping, but {is_a(value)}")


def validated(document: Document, name: str, model: type[EntryT], what: str) -> EntryT | None:
    """The entry `name` as its model, or None after reporting everything that is wrong with it."""
    try:
        return model.model_validate(document.root[name])
    except ValidationError as error:
        problems = error.errors(include_url=False)
    # A misspelt key is one mistake, not an unknown key and a missing one.
    misspelt = {_meant(model, details["loc"]) for details in problems if details["type"] == "extra_forbidden"}
    for details in problems:
        if details["type"] != "missing" or details["loc"] not in misspelt:
            _report(document, name, model, what, details)
    return None


def _report(document: Document, name: str, model: type[BaseModel], what: str, details: ErrorDetails) -> None:
    kind, path, value = details["type"], details["loc"], details["input"]
    if kind == "missing":
        label, described = ".".join(map(str, path)), _description(model, path)
        document.report(spot(document.root, name, *path).key, f"{what} `{name}` has no `{label}`{described}")
        return
    place = spot(document.root, name, *path)
    # `min` is not in the path that a reader sees where the minimum is written short.
    label = ".".join(map(str, path[: place.depth]))
    if kind == "extra_forbidden":
        meant = _meant(model, path)
        advice = f": did you mean `{meant[-1]}`?" if meant else "."
        known = ", ".join(_keys_beside(model, path))
        document.report(place.key, f"unknown key `{label}`{advice} Keys here are {known}")
    elif kind == "spec":
        document.report(place.value, f"`{label}` {details['msg']}")
    else:
        wanted = _WANTED.get(kind, f"something else ({details['msg']})")
        message = f"`{label}` has to be {wanted}, but {_found(path, value)}{_hint(kind, path, value)}"
        document.report(place.value, message)


def _meant(model: type[BaseModel], path: Path) -> Path | None:
    """The path to the known key that the unknown one at the end of `path` looks like."""
    word, known = str(path[-1]), _keys_beside(model, path)
    # `environment` is not like `env` letter by letter, but it is what many would write.
    close = closest(word, known) or next((key for key in known if word.startswith(key)), None)
    return None if close is None else (*path[:-1], close)


def _description(model: type[BaseModel], path: Path) -> str:
    field = model.model_fields.get(str(path[0])) if len(path) == 1 else None
    if field is None or not field.description:
        return ""
    sentence = field.description.partition(". ")[0].removesuffix(".")
    return f": {sentence[0].lower()}{sentence[1:]}"


def _found(path: Path, value: Any) -> str:
    if path in {("token",), ("database",)} and isinstance(value, int | float):
        return "is something else"
    return is_a(value)


def _hint(kind: str, path: Path, value: Any) -> str:
    if kind == "string_type" and isinstance(value, bool | int | float):
        return ": put it in quotes"
    if kind == "float_type":
        return number_hint(value) if isinstance(value, str) else ": it is too large" if type(value) is int else ""
    if kind == "dict_type" and value is None:
        return ": write `{}`, or remove the key"
    if kind == "dict_type" and len(path) == 2 and path[0] == "metrics" and isinstance(value, int | float):
        if path[1] in PER_FIELD:
            return f": a minimum belongs to a field, `FIELD: {value}`"
        return f": write `{{min: {value}}}` or `{{max: {value}}}`, or bounds for each field"
    return ""


def _keys_beside(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that the mapping may have in which `path`'s last key stands."""
    if path[0] == "metrics":
        return list(BOUNDS)
    for part in path[:-1]:
        annotation = model.model_fields[str(part)].annotation
        for inner in (annotation, *get_args(annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                model = inner
    return list(model.model_fields)


def spot(parent: LocatedDict, name: str, *path: str | int) -> Spot:
    """Where `path` below entry `name` stands, or as much of it as the file has."""
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
    """Where to point for a wrong value: at it, or at its key where it begins on a later line, as block mappings do."""
    return at_value if at_value.line == at_key.line else at_key
