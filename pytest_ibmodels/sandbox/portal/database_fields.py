"""Fields of a form that name a database: its URL is shown without passwords."""

from collections.abc import Iterable

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.execution.secrets import Secrets
from pytest_ibmodels.sandbox.storage.mounts import SAMPLE_PREFIX

DATABASE, PASSWORD = "database", "password"
"""Names of the fields with the URL, and with the password that is put into it."""


def complete_url(database: str, password: str) -> str:
    """Return the URL with the password of its own field, if there is one.

    Raises:
        SandboxError: There is a password, and the text before it is not a URL; the message leaves both out.
    """
    if not password or database.startswith(SAMPLE_PREFIX):
        return database
    url = _parsed(database)
    if url is None:
        msg = "the database is not a URL, such as postgresql+psycopg://ada@db.example.com/reviews"
        raise SandboxError(msg)
    return url.set(password=password).render_as_string(hide_password=False)


def shown_database(database: str) -> str:
    """Return the URL without passwords, for a page; empty if it is not certain where they are."""
    if database.startswith(SAMPLE_PREFIX):
        return database
    url = _parsed(database)
    if url is None:
        # A password may be anywhere in it.
        return ""
    secrets = Secrets.from_url(database)
    if not secrets.forms:
        return database
    query = {name: value for name, value in url.query.items() if not set(_texts(value)) & set(secrets.forms)}
    bare = URL.create(url.drivername, url.username, host=url.host, port=url.port, database=url.database, query=query)
    shown = bare.render_as_string(hide_password=False)
    # An @ beside that of the user may stand in a password that is not quoted.
    return "" if "@" in f"{bare.host}{bare.database}" else shown


def shown_fields(fields: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the fields of a form as a page may show them."""
    return [(name, shown_database(value) if name == DATABASE else value) for name, value in fields if name != PASSWORD]


def _parsed(database: str) -> URL | None:
    try:
        return make_url(database)
    except (ArgumentError, ValueError):
        return None


def _texts(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
