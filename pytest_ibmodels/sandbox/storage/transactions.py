"""Database of a store: its tables, its transactions, and its clock."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from sqlalchemy import URL, ColumnElement, Connection, Float, MetaData, cast, extract, func, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.sql.dml import Insert

from pytest_ibmodels.sandbox.storage.databases import (
    is_shared,
    lock_database,
    not_opened,
    open_engine,
    translate_database_errors,
)
from pytest_ibmodels.sandbox.storage.tables import create_missing

_LOCK_KEY = 7_305_211_948
"""Key of the lock of :func:`lock_servers` in PostgreSQL; any number that no other program uses."""


class Database:
    """Open database with all its tables. Methods block, and may be called from any thread.

    Attributes:
        engine: Its connections.
        is_shared: Whether other servers may use it, too.

    Raises (when made):
        StartError: the database cannot be opened, or another store has it.
    """

    def __init__(self, url: str | URL) -> None:
        # SQLite has one writer at a time; this lock is fair and wakes at once.
        self._writing = threading.Lock()
        self.is_shared = is_shared(url)
        self.engine = open_engine(url)
        # By itself the engine of a shared database commits every statement.
        self._committing = (
            self.engine.execution_options(isolation_level="READ COMMITTED") if self.is_shared else self.engine
        )
        self._lock = None
        try:
            self._lock = lock_database(url)
            self._create_missing()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections and release the database."""
        self.engine.dispose()
        if self._lock is not None:
            self._lock.close()

    @contextmanager
    def statement(self) -> Iterator[Connection]:
        """Open a connection for one statement, which is a transaction of its own.

        Raises:
            StoreError: the database cannot be used.
        """
        with translate_database_errors(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that writes, the only one of this process if the database is not shared.

        Raises:
            StoreError: the database cannot be written.
        """
        with self._alone(), translate_database_errors(), self._committing.begin() as connection:
            yield connection

    def add(self, statement: Insert) -> bool:
        """Insert a row; return False if there is one with the same key.

        Raises:
            StoreError: the database cannot be written.
        """
        with self._alone(), translate_database_errors():
            try:
                with self.engine.begin() as connection:
                    connection.execute(statement)
            except IntegrityError:
                return False
        return True

    def create(self, metadata: MetaData) -> None:
        """Create the tables and indexes that are missing.

        Raises:
            StoreError: the database cannot be written.
        """
        with self.writing() as connection:
            if self.is_shared:
                # Two servers may start at once.
                lock_servers(connection)
            metadata.create_all(connection)

    def _alone(self) -> AbstractContextManager[object]:
        return nullcontext() if self.is_shared else self._writing

    def _create_missing(self) -> None:
        try:
            with self._committing.begin() as connection:
                if self.is_shared:
                    # Two servers may start at once.
                    lock_servers(connection)
                create_missing(connection)
        except (SQLAlchemyError, ImportError) as error:
            raise not_opened(error) from error


def lock_servers(connection: Connection) -> None:
    """Let one transaction of all servers pass at a time, until it ends."""
    connection.execute(select(func.pg_advisory_xact_lock(_LOCK_KEY)))


def database_now() -> ColumnElement[float]:
    """Time of PostgreSQL's clock in Unix seconds: the clocks of servers differ."""
    return cast(extract("epoch", func.clock_timestamp()), Float)
