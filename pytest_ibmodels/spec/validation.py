"""Checks one entry of a file with its pydantic model, and says what is wrong in our words, at the right place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from pytest_ibmodels.spec.entries import wrong_character
from pytest_ibmodels.spec.reader import Document, LocatedDict, LocatedList
from pytest_ibmodels.spec.wording import did_you_mean, is_a, number_hint, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails
    from yaml.error import Mark

EntryT = TypeVar("EntryT", bound=BaseModel)

_WANTED = {
    "string_type": "text",
    "float_type": "a number",
    "int_type": "a whole number",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "greater_than": "a number above 0",
    "greater_than_equal": "a number from 0",
}


def entries(document: Document, what: str) -> Iterator[tuple[str, Mark]]:
    """The entries that are mappings, by name, each with the place of its name; reports the others, and wrong names.

    `what` is the word for an entry. Keys that start with `.` or `x-` are no entries.
    """
    for name, value in document.root.items():
        if name.startswith((".", "x-")):
            continue
        at_name = document.root.marks[name][0]
        wrong = wrong_character(name)
        if wrong is not None:
            found = f"{quoted(name)} has {quoted(wrong)} in it" if wrong else "this one is empty"
            document.report(at_name, f'the name of a {what} is made of letters, digits, "_", "-" and ".", but {found}')
        if isinstance(value, LocatedDict):
            yield name, at_name
        else:
            document.report(at_name, f"{what} `{name}` has to be a mapping, but {is_a(value)}")


def validated(document: Document, name: str, model: type[EntryT], what: str) -> EntryT | None:
    """The entry `name` as its model, or None after reporting everything that is wrong with it."""
    try:
        return model.model_validate(document.root[name])
    except ValidationError as error:
        # `errors()` without inputs: a token must not get into a message by way of an input.
        for details in error.errors(include_url=False):
            _report(document, name, model, what, details)
    return None


def _report(document: Document, name: str, model: type[BaseModel], what: str, details: ErrorDetails) -> None:
    kind, path = details["type"], details["loc"]
    marks = spot(document.root, name, *path)
    at_key, at_value = marks[0], at_value_of(marks)
    label = "`" + ".".join(map(str, path)) + "`"
    if kind == "missing":
        field = model.model_fields.get(str(path[-1]))
        wanted = f": {field.description}" if field is not None and field.description else ""
        document.report(at_key, f"{what} `{name}` has no {label}{wanted}")
    elif kind == "extra_forbidden":
        known = _keys_beside(model, path)
        advice = did_you_mean(str(path[-1]), known) or "."
        document.report(at_key, f"{label} is no key of a {what}{advice} Keys are {', '.join(known)}")
    elif kind == "spec":
        document.report(at_value, f"{label} {details['msg']}")
    else:
        wanted = _WANTED.get(kind, f"something else ({details['msg']})")
        document.report(
            at_value,
            f"{label} has to be {wanted}, but {_found(path, details['input'])}{_hint(kind, path, details['input'])}",
        )


def _found(path: tuple[str | int, ...], value: Any) -> str:
    if path == ("token",) and isinstance(value, int | float):
        return "is something else"
    return is_a(value)


def _hint(kind: str, path: tuple[str | int, ...], value: Any) -> str:
    if kind == "string_type" and isinstance(value, bool | int | float):
        return ": put it in quotes"
    if kind == "float_type" and isinstance(value, str):
        return number_hint(value)
    if kind == "dict_type" and value is None:
        return ": write `{}`, or remove the key"
    if kind == "dict_type" and len(path) == 2 and path[0] == "metrics" and isinstance(value, int | float):
        return f": a minimum belongs to a field, `FIELD: {value}`"
    return ""


def _keys_beside(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """The keys that the mapping may have in which `path`'s last key stands."""
    if path[0] == "metrics":
        return ["min"]
    for part in path[:-1]:
        inner = model.model_fields[str(part)].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    return list(model.model_fields)


def spot(parent: LocatedDict, name: str, *path: str | int) -> tuple[Mark, Mark]:
    """Places of the key and the value at `path` below entry `name`, or of the last of `path` that the file has."""
    marks, value = parent.marks[name], parent[name]
    for part in path:
        if isinstance(value, LocatedDict) and part in value.marks:
            key = str(part)
            marks, value = value.marks[key], value[key]
        elif isinstance(value, LocatedList) and isinstance(part, int):
            marks, value = (value.marks[part],) * 2, value[part]
        else:
            break
    return marks


def at_value_of(marks: tuple[Mark, Mark]) -> Mark:
    """Where to point for a wrong value: at it, or at its key where it begins on a later line, as block mappings do."""
    at_key, at_value = marks
    return at_value if at_value.line == at_key.line else at_key
