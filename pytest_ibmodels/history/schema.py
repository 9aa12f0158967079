"""Tables of the history's database, in SQLAlchemy Core, and their rows as runs.

Runs and metrics are only ever added. Times are ISO 8601 in UTC with microseconds, so that text sorts by time in every
database.
"""

from __future__ import annotations

import json
import math
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
)

from pytest_ibmodels.history.runs import StoredMetric, StoredRun
from pytest_ibmodels.verdicts.results import as_json, from_json

if TYPE_CHECKING:
    from pytest_ibmodels.verdicts.results import Results

VERSION = 1
"""Version of the tables. A newer version is not read, an older one would be migrated by :class:`History`."""

METADATA = MetaData()

SCHEMA = Table("ibmodels_history", METADATA, Column("version", Integer, primary_key=True, autoincrement=False))
"""One row, with the version of the tables."""

RUNS = Table(
    "ibmodels_runs",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("project", Text, nullable=False),
    Column("test", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("started", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("package", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("config_hash", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("seed", BigInteger),
    Column("commit_id", Text, nullable=False),  # COMMIT is a word of SQL
    Column("branch", Text, nullable=False),
    Column("is_dirty", Boolean, nullable=False),
    Column("ci_run", Text, nullable=False),
    Column("hardware", Text, nullable=False),
    Column("seconds", Double),
    Column("memory", BigInteger),
    Column("repeat_number", Integer, nullable=False),  # REPEAT is a word of SQL
    Column("repeats", Integer, nullable=False),
    Column("documents", LargeBinary),
)
Index("ibmodels_runs_of_a_test", RUNS.c.project, RUNS.c.test, RUNS.c.environment, RUNS.c.started)

METRICS = Table(
    "ibmodels_metrics",
    METADATA,
    Column("run_id", Text, ForeignKey(RUNS.c.id), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("metric", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("value", Double),
    Column("low", Double),
    Column("high", Double),
    Column("minimum", Double),
    Column("maximum", Double),
    Column("count", BigInteger),
)

_LARGEST = 2**63 - 1
_NUMBERS = ("value", "low", "high", "minimum", "maximum")
_TEXTS = (
    "id",
    "project",
    "test",
    "environment",
    "verdict",
    "package",
    "version",
    "content_hash",
    "config_hash",
    "fingerprint",
    "branch",
    "ci_run",
    "hardware",
)


def run_row(run: StoredRun) -> dict[str, Any]:
    """Return the row of a run."""
    return {
        **{name: storable_text(getattr(run, name)) for name in _TEXTS},
        "commit_id": storable_text(run.commit),
        "started": time_text(run.started),
        "seed": _storable_integer(run.seed),
        "is_dirty": run.is_dirty,
        "seconds": _storable_number(run.seconds),
        "memory": _storable_integer(run.memory),
        "repeat_number": run.repeat,
        "repeats": run.repeats,
        "documents": None if run.documents is None else packed(run.documents),
    }


def metric_rows(run: StoredRun) -> list[dict[str, Any]]:
    """Return the rows of a run's metrics."""
    return [
        {
            "run_id": storable_text(run.id),
            "position": position,
            "metric": storable_text(metric.metric),
            "field": storable_text(metric.field),
            "count": _storable_integer(metric.count),
            **{name: _storable_number(getattr(metric, name)) for name in _NUMBERS},
        }
        for position, metric in enumerate(run.metrics)
    ]


def run_of(row: dict[str, Any], metrics: tuple[StoredMetric, ...]) -> StoredRun:
    """Return the run of a row of `ibmodels_runs`; the reverse of :func:`run_row`."""
    values = dict(row)
    documents = values.pop("documents", None)
    return StoredRun(
        **{name: values[name] for name in (*_TEXTS, "seed", "is_dirty", "seconds", "memory", "repeats")},
        started=datetime.fromisoformat(values["started"]),
        commit=values["commit_id"],
        repeat=values["repeat_number"],
        documents=None if documents is None else unpacked(documents),
        metrics=metrics,
    )


def packed(documents: Results) -> bytes:
    """Return results per document as the tables hold them: compressed JSON."""
    return zlib.compress(json.dumps(as_json(documents)).encode())


def unpacked(documents: bytes) -> Results:
    """Return results per document; the reverse of :func:`packed`."""
    return from_json(json.loads(zlib.decompress(documents)))


def time_text(time: datetime) -> str:
    """Return a time as the tables hold it; a time without a zone counts as UTC."""
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return aware.isoformat(timespec="microseconds")


def storable_text(text: str) -> str:
    """Return a text with substitutes for what databases cannot hold: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _storable_integer(number: int | None) -> int | None:
    return number if number is not None and -_LARGEST <= number <= _LARGEST else None


def _storable_number(number: float | None) -> float | None:
    return float(number) if number is not None and math.isfinite(number) else None
