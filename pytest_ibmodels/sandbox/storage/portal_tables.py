"""Tables of the portal in a tenant's database: sessions of people, and forms that were sent.

They are in the database, so that a restart signs nobody out, and all servers of a database know the same sessions.
"""

from dataclasses import dataclass

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)

from pytest_ibmodels.sandbox.storage.transactions import Database

_METADATA = MetaData()
_SESSIONS = Table(
    "portal_sessions",
    _METADATA,
    Column("id", String(64), primary_key=True),
    Column("proof", String(64), nullable=False),
    Column("created", Float, nullable=False),
    Column("used", Float, nullable=False),
)
_FORMS = Table(
    "portal_forms",
    _METADATA,
    Column("session", String(64), primary_key=True),
    Column("id", String(64), primary_key=True),
    Column("sent", Float, nullable=False),
    Column("succeeded", Boolean),
    Column("message", Text, nullable=False, default=""),
    Column("location", Text, nullable=False, default=""),
)


@dataclass(frozen=True)
class SessionRow:
    """A session; times in Unix seconds.

    Attributes:
        id: Hash of the session's id, which only the browser has.
        proof: Value that only the token of the session gives, see ``Tokens.proof``.
        used: Last time that the person asked for a page.
    """

    id: str
    proof: str
    created: float
    used: float


@dataclass(frozen=True)
class FormRow:
    """A form that was sent.

    Attributes:
        succeeded: None until the action has ended.
        message: Outcome in a sentence.
        location: Path of the page that shows the outcome.
    """

    succeeded: bool | None
    message: str
    location: str


class PortalTables:
    """Sessions and forms of one tenant. All methods block and are thread-safe.

    Raises:
        StoreError: The database cannot be read or written.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        database.create(_METADATA)

    # --- sessions ---

    def add_session(self, row: SessionRow) -> None:
        with self._database.writing() as connection:
            connection.execute(insert(_SESSIONS), vars(row))

    def session(self, session_id: str) -> SessionRow | None:
        with self._database.statement() as connection:
            found = connection.execute(select(_SESSIONS).where(_SESSIONS.c.id == session_id)).mappings().first()
        return None if found is None else SessionRow(**found)

    def mark_used(self, session_id: str, moment: float) -> None:
        with self._database.writing() as connection:
            connection.execute(update(_SESSIONS).where(_SESSIONS.c.id == session_id).values(used=moment))

    def end_session(self, session_id: str) -> None:
        """Delete a session and what was sent in it."""
        with self._database.writing() as connection:
            connection.execute(delete(_SESSIONS).where(_SESSIONS.c.id == session_id))
            connection.execute(delete(_FORMS).where(_FORMS.c.session == session_id))

    def end_sessions_created_before(self, moment: float) -> None:
        """Delete old sessions and all forms sent before ``moment``."""
        with self._database.writing() as connection:
            connection.execute(delete(_SESSIONS).where(_SESSIONS.c.created < moment))
            connection.execute(delete(_FORMS).where(_FORMS.c.sent < moment))

    # --- forms ---

    def begin_form(self, session_id: str, form_id: str, moment: float) -> bool:
        """Record that a form is sent; return False if it was sent before."""
        row = {"session": session_id, "id": form_id, "sent": moment, "message": "", "location": ""}
        return self._database.add(insert(_FORMS).values(row))

    def end_form(self, session_id: str, form_id: str, outcome: FormRow) -> None:
        """Record the outcome of a form's action."""
        this = (_FORMS.c.session == session_id, _FORMS.c.id == form_id)
        with self._database.writing() as connection:
            connection.execute(update(_FORMS).where(*this).values(**vars(outcome)))

    def form(self, session_id: str, form_id: str) -> FormRow | None:
        columns = (_FORMS.c.succeeded, _FORMS.c.message, _FORMS.c.location)
        this = (_FORMS.c.session == session_id, _FORMS.c.id == form_id)
        with self._database.statement() as connection:
            found = connection.execute(select(*columns).where(*this)).mappings().first()
        return None if found is None else FormRow(**found)
