"""Pages of a table, newest row first: each begins after a row, so that rows that come meanwhile move none."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, tuple_

from pytest_ibmodels.sandbox.storage.transactions import Database


@dataclass(frozen=True)
class RowPage:
    """A page of rows, newest first.

    Attributes:
        older: Whether there are older rows than those of the page.
        newer: Whether there are newer ones.
    """

    rows: Sequence[RowMapping]
    older: bool
    newer: bool


def key_of(moment: float, row_id: str) -> str:
    """Key of a row, which begins a page."""
    return f"{moment!r}_{row_id}"


def page_of(
    database: Database,
    query: Select[Any],
    place: tuple[ColumnElement[float], ColumnElement[str]],
    limit: int,
    *,
    before: str | None,
    after: str | None,
) -> RowPage:
    """Read a page of a query.

    Args:
        database: Database of the table.
        query: Query without order and limit.
        place: Columns of time and id, by which rows are ordered.
        limit: Maximum number of rows.
        before: Only rows older than the one with this key; an invalid key is ignored.
        after: Only rows newer than the one with this key; of those the oldest.

    Raises:
        StoreError: The database cannot be read.
    """
    is_backward = before is None and _parsed(after) is not None
    key = _parsed(after) if is_backward else _parsed(before)
    if key is not None:
        query = query.where(tuple_(*place) > key if is_backward else tuple_(*place) < key)
    order = place if is_backward else tuple(column.desc() for column in place)
    with database.statement() as connection:
        rows = connection.execute(query.order_by(*order).limit(limit + 1)).mappings().all()
    has_more, rows = len(rows) > limit, rows[:limit]
    if is_backward:
        return RowPage(rows[::-1], older=True, newer=has_more)
    return RowPage(rows, older=has_more, newer=key is not None)


def _parsed(key: str | None) -> tuple[float, str] | None:
    moment, _, row_id = (key or "").partition("_")
    try:
        return (float(moment), row_id) if row_id else None
    except ValueError:
        return None
