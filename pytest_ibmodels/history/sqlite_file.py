"""The file of a SQLite history, and the folder that it needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_CACHE_PART = "ibmodels"
"""Folder in pytest's cache; only there a missing cache folder is created, too."""


def sqlite_file(url: URL) -> Path | None:
    """Return the file of a SQLite URL; None for other databases, and for one in memory or with SQLite's own URI."""
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith((":memory:", "file:")):
        return None
    return Path(url.database)


def create_folder(url: URL) -> None:
    """Create the folder of a SQLite history in pytest's cache; other folders must exist.

    Raises:
        OSError: it cannot be created.
    """
    file = sqlite_file(url)
    if file is None or file.parent.exists() or file.parent.name != _CACHE_PART:
        return
    cache = file.parent.parent
    if not cache.exists():
        cache.mkdir(parents=True, exist_ok=True)
        # pytest writes this file when it creates its cache folder, but not into one that exists.
        (cache / ".gitignore").write_text("*\n", encoding="utf-8")
    file.parent.mkdir(exist_ok=True)
