"""Where the history is kept: from the setting to the URL of a database."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from pytest_ibmodels.history.errors import HistoryError
from pytest_ibmodels.redaction import remember
from pytest_ibmodels.spec.databases import fill_in, passwords, resolve_sqlite_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CACHE, NONE = "cache", "none"
"""Values of the setting that are no URL: a SQLite file in pytest's cache folder, and no history."""


def database_url(setting: str, file: Path, folder: Path, environ: Mapping[str, str]) -> str | None:
    """Return the URL of the history's database; None if no history is kept.

    Passwords in the URL are hidden from now on in everything that this process shows.

    Args:
        setting: `cache`, `none`, or a URL of SQLAlchemy, in which `${VARIABLE}` is filled in.
        file: file of the history in pytest's cache folder.
        folder: folder that the file of a SQLite URL is relative to.
        environ: variables of the process.

    Raises:
        HistoryError: the setting is none of these, or a variable is not set.
    """
    setting = setting.strip()
    if setting.lower() == NONE:
        return None
    if setting.lower() == CACHE:
        return f"sqlite:///{quote(str(file), safe='/ +')}"
    filled = fill_in(setting, environ)
    if filled.missing:
        raise HistoryError(
            f"the URL of the history needs the variable {filled.missing[0]}, which is not set: set it, "
            "or IBMODELS_HISTORY=none to keep no history"
        )
    remember(*passwords(filled.text))
    if "://" not in filled.text:
        raise HistoryError(
            f"ibmodels_history = {setting!r}: should be `cache`, `none`, or a URL of SQLAlchemy, "
            "such as sqlite:///history.db or postgresql+psycopg://user:${PASSWORD}@host/database"
        )
    return resolve_sqlite_file(filled.text, folder)
