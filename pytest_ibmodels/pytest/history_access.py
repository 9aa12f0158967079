"""The history of the session's project, opened for reading and writing in pytest's processes."""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
from typing import TYPE_CHECKING

from pytest_ibmodels.pytest import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from pytest_ibmodels.history.origin import Origin
    from pytest_ibmodels.history.store import History

_PLUGIN_NAME = "ibmodels-history"
NO_EXTRA = "{module} is not installed: pip install 'pytest-ibmodels[history]', or set ibmodels_history = none"


def register(config: pytest.Config) -> None:
    """Give every process of the session its access to the history."""
    config.pluginmanager.register(HistoryAccess(config), _PLUGIN_NAME)


def history_of(config: pytest.Config) -> HistoryAccess:
    plugin = config.pluginmanager.get_plugin(_PLUGIN_NAME)
    assert isinstance(plugin, HistoryAccess)  # noqa: S101 - registered when the plugin was configured
    return plugin


class HistoryAccess:
    """Plugin that prepares the history while the first training is waited for."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._preparation: threading.Thread | None = None
        self._origin: Origin | None = None

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Import SQLAlchemy and ask git now, not when a result is waited for."""
        if self._preparation is None and options.case_of(nodeid) is not None:
            self._preparation = threading.Thread(target=self._prepare, name="ibmodels-history", daemon=True)
            self._preparation.start()

    def _prepare(self) -> None:
        from pytest_ibmodels.history.location import NONE
        from pytest_ibmodels.spec.project import history_setting

        if history_setting(self._config).strip().lower() != NONE:
            # Errors are reported by the use, which tries again.
            with contextlib.suppress(Exception):
                importlib.import_module("pytest_ibmodels.history.store")
                self._origin = self._read_origin()

    def origin(self) -> Origin:
        """Return where this session's runs come from."""
        if self._preparation is not None:
            self._preparation.join()
        if self._origin is None:
            self._origin = self._read_origin()
        return self._origin

    def _read_origin(self) -> Origin:
        from pytest_ibmodels.history.origin import origin_of

        return origin_of(self._config.rootpath, os.environ)

    @contextlib.contextmanager
    def open(self) -> Iterator[History | None]:
        """Open the history; None if none is kept.

        Raises:
            ModuleNotFoundError: a package of the extra `history` is missing.
            HistoryError: the setting is wrong, or the database cannot be used.
        """
        from pytest_ibmodels.history.location import database_url
        from pytest_ibmodels.spec.project import history_file, history_setting

        config = self._config
        url = database_url(history_setting(config), history_file(config), config.rootpath, os.environ)
        if url is None:
            yield None
            return
        from pytest_ibmodels.history.store import History

        if self._preparation is not None:
            self._preparation.join()
        with History.open(url) as history:
            yield history
