"""Audit of a tenant: who changed what, when, from which version to which."""

import time
import uuid
from dataclasses import dataclass

from sqlalchemy import Column, Engine, Float, Index, MetaData, String, Table, Text, delete, insert, select, tuple_

from pytest_ibmodels.sandbox.storage.databases import translate_database_errors

_METADATA = MetaData()
_AUDIT = Table(
    "audit",
    _METADATA,
    Column("id", String(64), primary_key=True),
    Column("at", Float, nullable=False),
    Column("who", Text, nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Index("audit_newest_first", "at", "id"),
)


@dataclass(frozen=True)
class AuditEntry:
    """One change.

    Attributes:
        at: Unix seconds.
        who: Name of the token, and how it came: ``ada (portal)``, ``ada (API)``.
        action: A verb: ``cancel``, ``override``, ``roll back``, ``publish``.
        subject: What was changed, as ``job 5f3a…`` or ``model reviews``.
        before: State or version before; None if there was none.
        after: State or version after; None if there is none.
    """

    id: str
    at: float
    who: str
    action: str
    subject: str
    before: str | None
    after: str | None


class Audit:
    """Audit of one tenant, in its database. All methods block and are thread-safe.

    Raises:
        StoreError: The database cannot be read or written.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        with translate_database_errors():
            _METADATA.create_all(engine)

    def record(
        self, who: str, action: str, subject: str, *, before: str | None = None, after: str | None = None
    ) -> None:
        """Add an entry."""
        entry = AuditEntry(uuid.uuid4().hex, time.time(), who, action, subject, before, after)
        with translate_database_errors(), self._engine.begin() as connection:
            connection.execute(insert(_AUDIT), vars(entry))

    def entries(self, limit: int, before: tuple[float, str] | None = None) -> list[AuditEntry]:
        """Return entries, newest first; ``before`` is time and id of the entry after which the page begins."""
        newest_first = select(_AUDIT).order_by(_AUDIT.c.at.desc(), _AUDIT.c.id.desc()).limit(limit)
        if before is not None:
            newest_first = newest_first.where(tuple_(_AUDIT.c.at, _AUDIT.c.id) < before)
        with translate_database_errors(), self._engine.begin() as connection:
            return [AuditEntry(**row) for row in connection.execute(newest_first).mappings()]

    def forget_before(self, moment: float) -> None:
        """Delete the entries from before ``moment``, in Unix seconds."""
        with translate_database_errors(), self._engine.begin() as connection:
            connection.execute(delete(_AUDIT).where(_AUDIT.c.at < moment))
