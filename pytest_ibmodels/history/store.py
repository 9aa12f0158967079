"""The history: a database of runs behind SQLAlchemy, to which several processes and machines add at once."""

from __future__ import annotations

import contextlib
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Engine, create_engine, event, func, insert, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from pytest_ibmodels.history.errors import HistoryError
from pytest_ibmodels.history.jsonl import line_of, runs_of
from pytest_ibmodels.history.problems import explain, missing_driver
from pytest_ibmodels.history.runs import StoredMetric
from pytest_ibmodels.history.schema import (
    METADATA,
    METRICS,
    RUNS,
    SCHEMA,
    VERSION,
    metric_rows,
    run_of,
    run_row,
    storable_text,
    unpacked,
)
from pytest_ibmodels.history.sqlite_file import create_folder, sqlite_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from sqlalchemy import Connection
    from sqlalchemy.engine import URL

    from pytest_ibmodels.history.runs import StoredRun
    from pytest_ibmodels.verdicts.results import Results

BUSY_SECONDS = 10
"""Timeout for locks of other processes."""
_CONNECT_SECONDS = 5
_BATCH = 500
"""Runs per statement; SQLite takes 32,766 values in one."""
_WRITES = "ibmodels_writes"
"""Execution option of connections that write."""
_CREATION_LOCK = 0x69626D6F  # any number that is the same for all that create these tables
_METRIC_COLUMNS = [column for column in METRICS.c if column.name not in {"run_id", "position"}]


class History:
    """The history of one or several projects; open it with :meth:`open` and close it after use.

    A run is added whole or not at all, also if the process is killed. Runs are never changed. All methods raise
    :class:`HistoryError` if the database cannot be used.
    """

    def __init__(self, engine: Engine, url: URL) -> None:
        self._engine = engine
        self._url = url
        self._is_checked = False

    @classmethod
    def open(cls, url: str) -> Self:
        """Open a database; it is connected to at the first call, and its tables are created by the first write.

        Raises:
            HistoryError: the URL is malformed, or its driver is not installed.
        """
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            raise HistoryError(
                "ibmodels_history is no URL of SQLAlchemy: write one such as sqlite:///history.db or "
                "postgresql+psycopg://user:${PASSWORD}@host/database"
            ) from None
        try:
            engine = create_engine(parsed, connect_args=_connect_arguments(parsed))
        except (NoSuchModuleError, ImportError):
            raise HistoryError(missing_driver(parsed)) from None
        except (ArgumentError, ValueError, TypeError) as error:
            raise explain(error, parsed) from None
        _manage_transactions(engine)
        return cls(engine, parsed)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # --- writing ---

    def add(self, *runs: StoredRun) -> int:
        """Add runs in one transaction; they are on disk when this returns. A run with a known id changes nothing.

        Returns:
            The number of runs that were not known.
        """
        if not runs:
            return 0
        for is_last_try in (False, True):
            try:
                with self._transaction(writes=True) as connection:
                    return sum(_insert(connection, batch) for batch in _batches(runs))
            except IntegrityError as error:
                # Another process added one of these runs at the same time: this time it is known.
                if is_last_try:
                    raise explain(error, self._url) from None
        raise AssertionError  # the loop returns or raises

    def import_(self, lines: Iterable[str]) -> tuple[int, int]:
        """Add runs from JSON lines, all or none.

        Returns:
            The numbers of runs that were not known, and that were known and so left alone.

        Raises:
            HistoryError: also if a line is no run.
        """
        runs = list(runs_of(lines))
        added = self.add(*runs)
        return added, len(runs) - added

    # --- reading ---

    def runs(
        self,
        project: str,
        test: str | None = None,
        environment: str | None = None,
        last: int | None = None,
        *,
        only: Mapping[str, str | bool] | None = None,
        with_documents: bool = False,
    ) -> list[StoredRun]:
        """Return the runs of a project with their metrics, in the order of their start.

        Args:
            project: name of the project.
            test: only runs of this model test; None for all.
            environment: only runs on this environment; None for all.
            last: only the last so many runs of each model test on each environment; None for all.
            only: columns of `ibmodels_runs` and the values that runs must have in them.
            with_documents: read the results per document as well, which are most of a run's size.
        """
        wanted = {"project": project, "test": test, "environment": environment, **(only or {})}
        conditions = [
            RUNS.c[name] == (storable_text(value) if isinstance(value, str) else value)
            for name, value in wanted.items()
            if value is not None
        ]
        columns = [column for column in RUNS.c if with_documents or column.name != "documents"]
        order = (RUNS.c.started, RUNS.c.repeat_number, RUNS.c.id)
        ids = select(RUNS.c.id).where(*conditions)
        if last is not None:
            newest = [column.desc() for column in order]
            number = func.row_number().over(partition_by=(RUNS.c.test, RUNS.c.environment), order_by=newest)
            numbered = select(RUNS.c.id, number.label("number")).where(*conditions).subquery()
            ids = select(numbered.c.id).where(numbered.c.number <= last)
        if self._is_missing():
            return []
        with self._transaction() as connection:
            if not self._has_tables(connection):
                return []
            rows = connection.execute(select(*columns).where(RUNS.c.id.in_(ids)).order_by(*order)).mappings().all()
            found = connection.execute(
                select(METRICS.c.run_id, *_METRIC_COLUMNS)
                .where(METRICS.c.run_id.in_(ids))
                .order_by(METRICS.c.run_id, METRICS.c.position)
            )
            metrics: dict[str, list[StoredMetric]] = {}
            for run_id, *values in found:
                metrics.setdefault(run_id, []).append(StoredMetric(*values))
        return [run_of(dict(row), tuple(metrics.get(row["id"], ()))) for row in rows]

    def documents(self, ids: Sequence[str]) -> dict[str, Results]:
        """Return the results per document of runs, by their ids, as far as they are known."""
        if self._is_missing():
            return {}
        with self._transaction() as connection:
            rows = connection.execute(select(RUNS.c.id, RUNS.c.documents).where(RUNS.c.id.in_(ids))).all()
        return {run_id: unpacked(documents) for run_id, documents in rows if documents is not None}

    def tests(self, project: str) -> list[tuple[str, str]]:
        """Return model test and environment of every case that has runs, sorted."""
        query = select(RUNS.c.test, RUNS.c.environment).where(RUNS.c.project == storable_text(project)).distinct()
        if self._is_missing():
            return []
        with self._transaction() as connection:
            if not self._has_tables(connection):
                return []
            return sorted((test, environment) for test, environment in connection.execute(query))

    def export(self, project: str) -> Iterator[str]:
        """Yield all runs of a project as JSON lines, each with its line break, in the order of their start."""
        for run in self.runs(project, with_documents=True):
            yield f"{line_of(run)}\n"

    # --- the database ---

    @contextlib.contextmanager
    def _transaction(self, *, writes: bool = False) -> Iterator[Connection]:
        try:
            if writes:
                create_folder(self._url)
                self._create_tables()
            with self._engine.connect().execution_options(**{_WRITES: writes}) as connection, connection.begin():
                yield connection
        except IntegrityError:
            raise
        except (SQLAlchemyError, OSError, RuntimeError) as error:
            raise explain(error, self._url) from None

    def _is_missing(self) -> bool:
        """Return whether this is a SQLite file that does not exist; reading would create an empty one."""
        file = sqlite_file(self._url)
        return file is not None and not file.exists()

    def _create_tables(self) -> None:
        if self._is_checked:
            return
        with self._engine.connect() as connection, connection.begin():
            exists = self._has_tables(connection)
        if not exists:
            with self._engine.connect().execution_options(**{_WRITES: True}) as connection, connection.begin():
                if connection.dialect.name == "postgresql":
                    # Two sessions that create a table at once get an error in spite of IF NOT EXISTS.
                    connection.execute(select(func.pg_advisory_xact_lock(_CREATION_LOCK)))
                if not self._has_tables(connection):
                    METADATA.create_all(connection)
                    connection.execute(insert(SCHEMA).values(version=VERSION))
        self._is_checked = True

    def _has_tables(self, connection: Connection) -> bool:
        """Return whether the tables exist.

        Raises:
            HistoryError: they are of a newer version.
        """
        if self._is_checked:
            return True
        if not inspect(connection).has_table(SCHEMA.name):
            return False
        version = connection.execute(select(func.max(SCHEMA.c.version))).scalar()
        if version is not None and version > VERSION:
            raise HistoryError(
                f"the history has tables of version {version}, of a newer pytest-ibmodels (this one knows {VERSION}): "
                "upgrade pytest-ibmodels, or let ibmodels_history name another database"
            )
        return version is not None


def _insert(connection: Connection, runs: Sequence[StoredRun]) -> int:
    """Insert the runs that are not known, and return how many."""
    rows = {row["id"]: (row, run) for run in runs if (row := run_row(run))}
    known = set(connection.execute(select(RUNS.c.id).where(RUNS.c.id.in_(rows))).scalars())
    new = [(row, run) for id_, (row, run) in rows.items() if id_ not in known]
    if new:
        connection.execute(insert(RUNS), [row for row, _ in new])
    values = [row for _, run in new for row in metric_rows(run)]
    if values:
        connection.execute(insert(METRICS), values)
    return len(new)


def _batches(runs: Iterable[StoredRun]) -> Iterator[list[StoredRun]]:
    left = iter(runs)
    while batch := list(islice(left, _BATCH)):
        yield batch


def _connect_arguments(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {} if "timeout" in url.query else {"timeout": BUSY_SECONDS}
    if url.get_backend_name() == "postgresql":
        return {} if "connect_timeout" in url.query else {"connect_timeout": _CONNECT_SECONDS}
    return {}


def _manage_transactions(engine: Engine) -> None:
    """Begin transactions ourselves, with bounded waits for locks.

    Python's sqlite3 begins no transaction before CREATE TABLE. A transaction that reads first and writes later fails at
    once if another process wrote in between, so writers ask for the lock first (SQLAlchemy, "Transactions with SQLite
    and the sqlite3 driver").
    """
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _no_begin_by_the_driver(connection: Any, _record: object) -> None:
            connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.dialect.name == "sqlite":
            writes = connection.get_execution_options().get(_WRITES)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
        elif connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{BUSY_SECONDS}s'")
