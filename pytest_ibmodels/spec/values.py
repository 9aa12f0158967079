"""Patterns, known names, and the validators of values that need more than a pydantic constraint."""

from __future__ import annotations

import keyword
import re
import sys
from typing import Any

from pydantic_core import PydanticCustomError

from pytest_ibmodels.spec.drive_paths import annotator_project_path
from pytest_ibmodels.spec.messages import is_a, quoted, quotes_hint
from pytest_ibmodels.spec.variables import has_variables
from pytest_ibmodels.verdicts.metrics import ALL, METRICS

NAME_PATTERN = r"^[A-Za-z0-9_.-]+$"
ENTRY_PATTERN = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"
HIDDEN_PATTERN = r"^\."
"""Top-level keys that hold anchors and are not entries."""

COLUMN_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
MARK_PATTERN = COLUMN_PATTERN
TABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$"
VARIABLE_PATTERN = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"

PER_FIELD = tuple(name for name, metric in METRICS.items() if metric.is_per_field)
"""Known metrics with a value for each field: `min` and `max` right below them are names of fields."""

BOUNDS = ("min", "max")

TABLE_KEYS = ("columns", "limit", "p_of_train", "group_column", "split_column", "better_than_current")
"""Keys of a model test that need `table`, or another kind of data that has them."""

SCRIPT_KEYS = ("data", "better_than_current")
"""Keys of a model test that need `function`, or another kind of data that has them."""

FUNCTION_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+$"

MEMORY_UNITS = {"MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "MB": 10**6, "GB": 10**9, "TB": 10**12}
"""Bytes of each unit of memory."""

MEMORY_PATTERN = rf"^[0-9]+(\.[0-9]+)? ?({'|'.join(MEMORY_UNITS)})$"

LEAST_MEMORY = 2**20
"""Smallest memory in bytes: no training fits in less, so a smaller number lacks its unit."""

_MOST_MEMORY = 2**60

RESERVED_MARKS = {
    "skip": "write `skip: REASON` beside `marks`",
    "xfail": "write `xfail: REASON` beside `marks`",
    "training": "every training item has it",
    "inference": "every inference item has it",
    "timeout": "`time_limit` is the timeout of the training",
    **dict.fromkeys(
        ("filterwarnings", "parametrize", "skipif", "usefixtures"), "it needs arguments, which only Python can give"
    ),
}
"""Marks that a model test cannot have, and why or what to write instead."""


def spec_error(message: str) -> PydanticCustomError:
    """Validation error whose message continues after the name of the key."""
    return PydanticCustomError("spec", "{message}", {"message": message})


def annotator_project(text: str | None) -> str | None:
    try:
        return None if text is None else annotator_project_path(text)
    except ValueError as error:
        raise spec_error(str(error)) from None


def function(text: str | None) -> str | None:
    """Check the dotted path of a function; its first part is the folder of the training code."""
    if text is None:
        return None
    if not re.fullmatch(FUNCTION_PATTERN, text) or any(keyword.iskeyword(part) for part in text.split(".")):
        raise spec_error(
            f"has to be the dotted path of a function, FOLDER.FUNCTION or FOLDER.MODULE.FUNCTION, but is {quoted(text)}"
        )
    module = text.partition(".")[0]
    if module in sys.stdlib_module_names:
        raise spec_error(f"begins with `{module}`, which is a module of Python itself: rename the folder of your code")
    return text


def data_paths(value: Any) -> tuple[str, ...]:
    paths = [value] if isinstance(value, str) else value
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) and path.strip() for path in paths):
        found = "is an empty list" if paths == [] else is_a(value)
        raise spec_error(f"has to be a local file or folder, a drive path, or a list of these, but {found}")
    names = [path.rstrip("/").rpartition("/")[2] for path in paths]
    for name in names:
        if names.count(name) > 1:
            raise spec_error(f"has two paths that end in {quoted(name)}, by which the training finds them: rename one")
    return tuple(paths)


def inference(value: Any) -> Any:
    """Expand `true` to the defaults and `false` to None, which disables the inference."""
    if isinstance(value, bool):
        return {} if value else None
    if isinstance(value, dict):
        return value
    raise spec_error(f"has to be false, or a mapping such as {{documents: all}}, but {is_a(value)}")


def environment_names(value: Any) -> tuple[str, ...]:
    return _distinct_names(value, "an environment")


def marks(value: Any) -> tuple[str, ...]:
    names = _distinct_names(value, "a mark")
    for name in names:
        if not re.fullmatch(MARK_PATTERN, name):
            raise spec_error(f"has to be names of marks, of letters, digits and `_`, but has {quoted(name)}")
        if name in RESERVED_MARKS:
            raise spec_error(f"cannot have `{name}`: {RESERVED_MARKS[name]}")
    return names


def _distinct_names(value: Any, what: str) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names:
        found = "is an empty list" if names == [] else is_a(value) + quotes_hint(value)
        raise spec_error(f"has to be the name of {what} or a list of names, but {found}")
    for index, name in enumerate(names):
        if not isinstance(name, str):
            raise spec_error(f"has to be a list of names, but its item {index + 1} {is_a(name)}{quotes_hint(name)}")
        if name in names[:index]:
            raise spec_error(f"has `{name}` twice: keep one of them")
    return tuple(names)


def columns(value: Any) -> tuple[str, ...]:
    names = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(names, list) or len(names) != 2 or not all(isinstance(name, str) for name in names):
        raise spec_error(f"has to be two columns, the label and the text, as in [Stars, Text], but {is_a(value)}")
    for name in names:
        if not re.fullmatch(COLUMN_PATTERN, name):
            raise spec_error(f"has to be names of columns, of letters, digits and `_`, but has {quoted(name)}")
    if names[0] == names[1]:
        raise spec_error(f"has {quoted(names[0])} twice: name the label, then the text")
    return tuple(names)


def better(value: Any) -> Any:
    """Expand `true` to the defaults and `false` to None, which disables the comparison."""
    if isinstance(value, bool):
        return {} if value else None
    if isinstance(value, dict):
        return value
    raise spec_error(f"has to be true, false, or {{max_drop: NUMBER, undecided: pass or fail}}, but {is_a(value)}")


def baseline(value: Any) -> Any:
    """Expand `previous` to the long form."""
    if value == "previous":
        return {"previous": True}
    if isinstance(value, dict):
        return value
    raise spec_error(f"has to be previous, {{branch: NAME}} or {{tag: NAME}}, but {is_a(value)}")


def expand_single_values(metrics: Any) -> Any:
    """Expand `accuracy: 0.9` to `accuracy: {all: 0.9}`, and `loss: {max: 0.4}` to `loss: {all: {max: 0.4}}`."""
    if not isinstance(metrics, dict):
        return metrics
    return {metric: {ALL: value} if is_single_value(metric, value) else value for metric, value in metrics.items()}


def is_single_value(metric: str, value: Any) -> bool:
    """Return whether the value below a metric's name is the bounds of its single value, not a mapping of fields."""
    if metric == "accuracy" and isinstance(value, int | float) and not isinstance(value, bool):
        return True
    if metric in PER_FIELD or not isinstance(value, dict) or not value:
        return False
    return set(value) <= set(BOUNDS) and not any(isinstance(bound, dict) for bound in value.values())


def is_variant(metric: str) -> bool:
    """Return whether one of `METRICS` is a word of the name, as in `macro_f1` and `precision_5`, so it is no typo."""
    known = "|".join(METRICS)
    return metric not in METRICS and re.fullmatch(rf"(.+[._-])?({known})([._-].+)?", metric) is not None


def documents(value: Any) -> Any:
    if value in {"first", "all"} if isinstance(value, str) else type(value) is int and value >= 1:
        return value
    raise spec_error(f"has to be first, all, or a number of documents from 1, but {is_a(value)}")


def memory(value: Any) -> Any:
    """Convert a text such as `8 GiB` to bytes."""
    if isinstance(value, str) and re.fullmatch(MEMORY_PATTERN, value):
        number, unit = re.findall(r"[0-9.]+|[A-Za-z]+", value)
        size = float(number) * MEMORY_UNITS[unit]
    elif type(value) is int and value >= 0:
        size = value
    else:
        raise spec_error(f"has to be text such as 8 GiB, or a number of bytes, but {is_a(value)}{_unit_hint(value)}")
    if size < LEAST_MEMORY:
        raise spec_error(f"is {size:.0f} bytes, less than any training needs: write it with its unit, as in 8 GiB")
    if size > _MOST_MEMORY:
        raise spec_error(f"{is_a(value)}, more than any machine has")
    return round(size)


def _unit_hint(value: Any) -> str:
    """Advice on a text whose unit is not one of ours, such as `8G`; empty for other values."""
    text = value.strip().lower() if isinstance(value, str) else ""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt])(i?b?)", text)
    if match is None:
        return ""
    number, letter, rest = match.groups()
    if letter == "k":
        return f": units are {', '.join(MEMORY_UNITS)}"
    return f": write {number} {letter.upper()}{'B' if rest == 'b' else 'iB'}"


def max_parallel(value: Any) -> Any:
    if (isinstance(value, str) and has_variables(value)) or (type(value) is int and value >= 1):
        return value
    raise spec_error(f"has to be a whole number from 1, but {is_a(value)}")


def invalid_character(name: str) -> str | None:
    """First character that is not allowed in a name; "" for an empty name, None for a valid one."""
    match = re.search(r"[^A-Za-z0-9_.-]", name)
    return match.group() if match else None if name else ""
