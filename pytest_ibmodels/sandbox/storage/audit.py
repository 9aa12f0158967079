"""Audit of a tenant: who changed what, when, from which version to which."""

import logging
import time
import uuid
from dataclasses import dataclass

from sqlalchemy import Column, Float, Index, MetaData, String, Table, Text, delete, insert, select

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.storage.paging import key_of, page_of
from pytest_ibmodels.sandbox.storage.transactions import Database

logger = logging.getLogger(__name__)

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
    Index("audit_action_newest_first", "action", "at", "id"),
)
AUDIT_SECONDS = 365 * 86_400.0
"""How long an entry is kept."""


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

    @property
    def key(self) -> str:
        """Key for paging."""
        return key_of(self.at, self.id)


@dataclass(frozen=True)
class AuditPage:
    """A page of entries, newest first.

    Attributes:
        older: Whether there are older entries than those of the page.
        newer: Whether there are newer ones.
    """

    entries: tuple[AuditEntry, ...]
    older: bool
    newer: bool


class Audit:
    """Audit of one tenant, in its database. All methods block and are thread-safe.

    Raises:
        StoreError: The database cannot be read or written.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(_METADATA)

    def record(
        self, who: str, action: str, subject: str, *, before: str | None = None, after: str | None = None
    ) -> None:
        """Add an entry. If it cannot be written, the log has it, as what it tells of is done."""
        entry = AuditEntry(uuid.uuid4().hex, time.time(), who, action, subject, before, after)
        try:
            with self._database.writing() as connection:
                connection.execute(insert(_AUDIT), vars(entry))
        except SandboxError as error:
            logger.error("the audit lacks '%s %s: %s': %s", who, action, subject, error)  # noqa: TRY400 - no traceback

    def actions(self) -> list[str]:
        """Return the actions that entries have, sorted."""
        action = _AUDIT.c.action
        with self._database.statement() as connection:
            return list(connection.scalars(select(action).distinct().order_by(action)))

    def page(
        self, limit: int, *, action: str | None = None, before: str | None = None, after: str | None = None
    ) -> AuditPage:
        """Return a page of entries, newest first.

        Args:
            limit: Maximum number of entries.
            action: Only entries of this action.
            before: Only entries older than the one with this key; an invalid key is ignored.
            after: Only entries newer than the one with this key; of those the oldest.
        """
        query = select(_AUDIT)
        if action is not None:
            query = query.where(_AUDIT.c.action == action)
        found = page_of(self._database, query, (_AUDIT.c.at, _AUDIT.c.id), limit, before=before, after=after)
        return AuditPage(tuple(AuditEntry(**row) for row in found.rows), found.older, found.newer)

    def forget_before(self, moment: float) -> None:
        """Delete the entries from before ``moment``, in Unix seconds."""
        with self._database.writing() as connection:
            connection.execute(delete(_AUDIT).where(_AUDIT.c.at < moment))
