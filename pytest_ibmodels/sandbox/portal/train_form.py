"""Form of a training: what was typed, and the request that it makes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.portal.database_fields import DATABASE, PASSWORD, complete_url, shown_database
from pytest_ibmodels.sandbox.portal.forms import Form
from pytest_ibmodels.sandbox.storage.mounts import SAMPLE_PREFIX

EMPTY_ROWS = 3
"""Rows for arguments in a form where none is typed."""
MAX_ROWS = 200
DEFAULT_DATABASE = f"{SAMPLE_PREFIX}reviews"
DEFAULT_SHARE = "0.8"
_MAX_NAMES = 2000


@dataclass(frozen=True)
class Catalogue:
    """Tables of the database, and the columns of the chosen one, as they were last read.

    Attributes:
        columns: Type of each column by its name.
        rows: Number of rows of the table; None if it is not known.
    """

    tables: tuple[str, ...] = ()
    table: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    rows: int | None = None
    left_out: int = 0

    def as_json(self) -> str:
        """Text of the hidden field that carries the catalogue from page to page."""
        return json.dumps(
            {"tables": self.tables, "table": self.table, "columns": dict(self.columns), "rows": self.rows}
        )


@dataclass(frozen=True)
class TrainForm:
    """Fields of the form, as they were typed; the password is in none of them.

    Attributes:
        arguments: Name and value of each argument.
        row_count: Number of rows for arguments that the page had.
        had_password: Whether a password was sent, which is not shown again.
    """

    fields: Mapping[str, str]
    arguments: tuple[tuple[str, str], ...]
    catalogue: Catalogue
    had_password: bool = False
    row_count: int = EMPTY_ROWS

    def get(self, name: str) -> str:
        return self.fields.get(name, "")

    @property
    def argument_rows(self) -> tuple[tuple[str, str], ...]:
        """Rows of the form: those that are filled, and empty ones."""
        return (*self.arguments, *[("", "")] * max(self.row_count - len(self.arguments), 0))

    @property
    def rows(self) -> int | None:
        """Number of rows that a training would read; None if it is not known."""
        limit = self.get("limit")
        known = [*([int(limit)] if limit.isascii() and limit.isdigit() else []), self.catalogue.rows]
        return min((count for count in known if count is not None), default=None)


NAMES = ("model_name", "num_labels", "base_model", "label", "text", "side_field", "side_column", "limit", "p_of_train")


def empty_form(model: str) -> TrainForm:
    """Return the form before anything is typed."""
    return TrainForm({"model_name": model, DATABASE: DEFAULT_DATABASE, "p_of_train": DEFAULT_SHARE}, (), Catalogue())


def sent_form(form: Form) -> TrainForm:
    """Return what was typed."""
    fields = {name: form.get(name) for name in NAMES}
    fields[DATABASE] = shown_database(form.get(DATABASE))
    names, values = (form.lists.get(name, ()) for name in ("argument", "value"))
    pairs = zip(names[:MAX_ROWS], values[:MAX_ROWS], strict=False)
    typed = tuple((name.strip(), value.strip()) for name, value in pairs)
    arguments = tuple(pair for pair in typed if any(pair))
    had_password = bool(form.fields.get(PASSWORD)) or fields[DATABASE] != form.get(DATABASE)
    return TrainForm(fields, arguments, _sent_catalogue(form), had_password, max(EMPTY_ROWS, len(typed)))


def database_of(form: Form) -> str:
    """Return the URL of the database, with its password.

    Raises:
        SandboxError: There is none, or it is no URL.
    """
    database = form.get(DATABASE)
    if not database:
        msg = "type the database: its URL, or sample:reviews for generated reviews"
        raise SandboxError(msg)
    # A password may begin with a blank.
    return complete_url(database, form.fields.get(PASSWORD, ""))


def training_of(typed: TrainForm) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of the model and the request, as ``tuning/train`` has them.

    Raises:
        SandboxError: A field is missing, or is no number; the message names all of them.
    """
    problems: list[str] = []
    for name, what in (
        ("model_name", "type the name of the model"),
        ("table", "choose the table"),
        ("label", "choose the column of the label"),
        ("text", "choose the column of the text"),
    ):
        if not (typed.catalogue.table if name == "table" else typed.get(name)):
            problems.append(what)
    settings: dict[str, Any] = {"model_name": typed.get("model_name")}
    if typed.get("base_model"):
        settings["base_model"] = typed.get("base_model")
    _put_number(settings, "num_labels", typed.get("num_labels"), "the number of labels", problems)
    request: dict[str, Any] = {
        "table": typed.catalogue.table,
        "columns": [typed.get("label"), typed.get("text")],
    }
    side = typed.get("side_field") if typed.get("side_column") else ""
    if side in {"group_column", "split_column"}:
        request[side] = typed.get("side_column")
    _put_number(request, "limit", typed.get("limit"), "the limit of rows", problems)
    if side != "split_column":
        _put_number(request, "p_of_train", typed.get("p_of_train"), "the share of rows that train", problems)
    for name, value in typed.arguments:
        if not name or name in request:
            problems.append(
                f"argument {name!r} is given twice" if name else f"the value {value[:60]!r} has no argument"
            )
        request[name] = read_value(value)
    if problems:
        msg = f"{'; '.join(problems)}."
        raise SandboxError(msg[0].upper() + msg[1:])
    return settings, request


def _put_number(target: dict[str, Any], name: str, typed: str, what: str, problems: list[str]) -> None:
    if not typed:
        return
    value = read_value(typed)
    if isinstance(value, bool) or not isinstance(value, int | float):
        problems.append(f"{what} must be a number, not {typed[:60]!r}")
    target[name] = value


def read_value(typed: str) -> Any:
    """Return the value of an argument that was typed: JSON if it is JSON, else the text."""
    try:
        return json.loads(typed, parse_constant=str)
    except (ValueError, RecursionError):
        return typed


def _sent_catalogue(form: Form) -> Catalogue:
    """Return the catalogue that the page had; a damaged one is left out."""
    try:
        found = json.loads(form.get("catalogue"))
        tables = tuple(str(name) for name in found["tables"][:_MAX_NAMES])
        columns = {str(name): str(kind) for name, kind in list(found["columns"].items())[:_MAX_NAMES]}
        rows = None if found["rows"] is None else int(found["rows"])
        read_table = str(found["table"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        tables, columns, rows, read_table = (), {}, None, ""
    table = form.get("table")
    if table != read_table:
        columns, rows = {}, None
    return Catalogue(tables, table, columns, rows)
