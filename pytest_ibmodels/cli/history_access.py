"""The project's history, opened for a command."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from pytest_ibmodels.history.errors import HistoryError
from pytest_ibmodels.history.location import database_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_ibmodels.history.store import History
    from pytest_ibmodels.spec.project import Project


class NoHistory(Exception):
    """The history cannot be used; the text says why."""


@contextlib.contextmanager
def open_history(project: Project) -> Iterator[History]:
    """Open the history of a project.

    Raises:
        NoHistory: no history is kept, a package is missing, or the history cannot be used.
    """
    try:
        url = database_url(project.history, project.history_file, project.folder, os.environ)
        if url is None:
            raise NoHistory(
                "this project keeps no history: ibmodels_history, or the variable IBMODELS_HISTORY, is none"
            )
        from pytest_ibmodels.history.store import History

        with History.open(url) as history:
            yield history
    except ModuleNotFoundError as error:
        raise NoHistory(missing_package(error)) from None
    except HistoryError as error:
        raise NoHistory(str(error)) from None


def missing_package(error: ModuleNotFoundError) -> str:
    """Return the message about a package that the extra `history` brings."""
    return f"the history needs {error.name}, which is not installed: pip install 'pytest-ibmodels[history]'"
