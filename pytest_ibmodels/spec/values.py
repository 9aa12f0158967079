"""The values of keys: the form that each must have, and what is said of one that has it not."""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import PydanticCustomError

from pytest_ibmodels.spec.drive_paths import project_path
from pytest_ibmodels.spec.messages import is_a, quoted
from pytest_ibmodels.spec.variables import has_variables
from pytest_ibmodels.verdicts.metrics import ALL, METRICS

NAME_PATTERN = r"^[A-Za-z0-9_.-]+$"
ENTRY_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"
HIDDEN_PATTERN = r"^\."
"""Top-level keys that are no entries: places for anchors."""

PER_FIELD = tuple(name for name, metric in METRICS.items() if metric.is_per_field)
"""Known metrics with a value for each field: `min` and `max` right below them are names of fields."""

BOUNDS = ("min", "max")

OF_TABLES = ("columns", "limit", "p_of_train", "group_column", "split_column", "better_than_current")
"""Keys of a model test that belong to `table`."""

TABLE_NAME_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"

MARK_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
NO_MARKS = {
    "skip": "write `skip: REASON` beside `marks`",
    "xfail": "write `xfail: REASON` beside `marks`",
    "training": "every training item has it",
    "inference": "every inference item has it",
    "timeout": "`time_limit` bounds the training",
    **dict.fromkeys(
        ("filterwarnings", "parametrize", "skipif", "usefixtures"), "it needs arguments, which only Python can give"
    ),
}
"""Marks that mean something else on a model test, or nothing -> what to do."""

VARIABLE_PATTERN = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"


def refused(message: str) -> PydanticCustomError:
    """An error whose message is already the one to show."""
    return PydanticCustomError("spec", "{message}", {"message": message})


def in_project(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return project_path(text)
    except ValueError as error:
        raise refused(str(error)) from None


def environment_names(value: Any) -> Any:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        found = "is an empty list" if names == [] else is_a(value) + _word_hint(value)
        raise refused(f"has to be the name of an environment or a list of names, but {found}")
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise refused(f"has to be a list of names, but its item {index + 1} {is_a(name)}{_word_hint(name)}")
        if name in names[:index]:
            raise refused(f"names the environment `{name}` twice: keep one of them")
    return tuple(names)


def _word_hint(value: Any) -> str:
    return ": put it in quotes" if isinstance(value, bool | int | float) else ""


def columns(value: Any) -> Any:
    names = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list) or len(names) != 2 or not all(isinstance(name, str) for name in names):
        raise refused(f"has to be two columns, first the label, second the text, as [Stars, Text], but {is_a(value)}")
    for name in names:
        if not re.fullmatch(TABLE_NAME_PATTERN, name):
            raise refused(f'has to be plain names, of letters, digits and "_", but {quoted(name)} is none')
    if names[0] == names[1]:
        raise refused(f"names {quoted(names[0])} twice: first the label, second the text")
    return tuple(names)


def table(value: str) -> str:
    parts = value.split(".")
    if len(parts) > 2 or not all(re.fullmatch(TABLE_NAME_PATTERN, part) for part in parts):
        raise refused(
            f'has to be a plain name, TABLE or SCHEMA.TABLE, of letters, digits and "_", but is {quoted(value)}'
        )
    return value


def column(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(TABLE_NAME_PATTERN, value):
        return value
    raise refused(f'has to be the plain name of a column, of letters, digits and "_", but {is_a(value)}')


def limit(value: Any) -> Any:
    if type(value) is int and value >= 2:
        return value
    raise refused(f"has to be a whole number of rows from 2, but {is_a(value)}")


def share(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1:
        return float(value)
    raise refused(f"has to be a number between 0 and 1, the share that is learned from, but {is_a(value)}")


def better(value: Any) -> Any:
    if isinstance(value, bool):
        return {"max_drop": 0.0} if value else None
    if isinstance(value, dict):
        return value
    raise refused(f"has to be true, false, or {{max_drop: NUMBER, undecided: pass or fail}}, but {is_a(value)}")


def one_value_for_all(metrics: Any) -> Any:
    """`accuracy: 0.9` is short for `accuracy: {all: 0.9}`, and `loss: {max: 0.4}` for `loss: {all: {max: 0.4}}`."""
    if not isinstance(metrics, dict):
        return metrics
    return {metric: {ALL: value} if is_for_all(metric, value) else value for metric, value in metrics.items()}


def is_for_all(metric: str, value: Any) -> bool:
    """Whether what stands below a metric's name is the bounds of its one value, rather than fields."""
    if metric == "accuracy" and isinstance(value, int | float) and not isinstance(value, bool):
        return True
    if metric in PER_FIELD or not isinstance(value, dict) or not value:
        return False
    return set(value) <= set(BOUNDS) and not any(isinstance(bound, dict) for bound in value.values())


def check_bounds(minimum: float | None, maximum: float | None) -> None:
    if minimum is None and maximum is None:
        raise refused("has no bound: give it a `min`, a `max`, or both")
    if minimum is not None and maximum is not None and minimum > maximum:
        raise refused(f"has a `min` of {minimum:g} above its `max` of {maximum:g}: nothing could pass")


def is_variant(metric: str) -> bool:
    """Whether a name has one of `METRICS` in it as a word of its own, as `macro_f1` and `precision_5`: no slip."""
    known = "|".join(METRICS)
    return metric not in METRICS and re.fullmatch(rf"(.+[._-])?({known})([._-].+)?", metric) is not None


def not_empty(value: Any) -> Any:
    if value is None:
        raise refused("is empty: give it a value, or remove the key")
    return value


def documents(value: Any) -> Any:
    if value in {"first", "all"} if isinstance(value, str) else type(value) is int and value >= 1:
        return value
    raise refused(f"has to be first, all, or a number of documents from 1, but {is_a(value)}")


def marks(value: Any) -> Any:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        found = "is an empty list" if names == [] else is_a(value)
        raise refused(f"has to be the name of a mark or a list of names, but {found}")
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise refused(f"has to be a list of names, but its item {index + 1} {is_a(name)}")
        if not re.fullmatch(MARK_PATTERN, name):
            raise refused(f'has to be names of marks, of letters, digits and "_", but {quoted(name)} is none')
        if name in NO_MARKS:
            raise refused(f"cannot have `{name}`: {NO_MARKS[name]}")
        if name in names[:index]:
            raise refused(f"has `{name}` twice: keep one of them")
    return tuple(names)


def reason(value: Any) -> Any:
    return _some_text(value, "the reason")


def folder(value: Any) -> Any:
    return _some_text(value, "a folder")


def _some_text(value: Any, what: str) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    found = "is empty text" if isinstance(value, str) else is_a(value)
    raise refused(f"has to be {what}, as text, but {found}{_word_hint(value)}")


def max_parallel(value: Any) -> Any:
    if (isinstance(value, str) and has_variables(value)) or (type(value) is int and value >= 1):
        return value
    raise refused(f"has to be a whole number from 1, but {is_a(value)}")


def wrong_character(name: str) -> str | None:
    """The first character that no name may have; "" for an empty name, None for one that is fine."""
    match = re.search(r"[^A-Za-z0-9_.-]", name)
    return match.group() if match else None if name else ""
