"""Sending the runs of a session to MLflow, in the process that the user started."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.pytest import options
from pytest_ibmodels.pytest.history_rows import stored_run
from pytest_ibmodels.pytest.reporting import outcomes_of
from pytest_ibmodels.redaction import redacted
from pytest_ibmodels.reports.tables import one_line

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from pytest_ibmodels.reports.record import RunRecord

_NOT_STORED = "this session's runs are not stored"
_NO_EXTRA = (
    f"{_NOT_STORED}: mlflow is not installed: pip install 'pytest-ibmodels[mlflow]', or set ibmodels_mlflow = none"
)


def register(config: pytest.Config) -> None:
    """Send the runs of this session at its end if MLflow is set; xdist's workers send none."""
    setting = str(config.getini("ibmodels_mlflow")).strip()
    is_set = bool(os.environ.get("MLFLOW_TRACKING_URI")) if setting.lower() == "auto" else setting.lower() != "none"
    if is_set:
        config.pluginmanager.register(MlflowWriter(config, setting), "ibmodels-mlflow")


class MlflowWriter:
    """Plugin that sends every run that was started. Whatever goes wrong is one line of the summary."""

    def __init__(self, config: pytest.Config, setting: str) -> None:
        self._config = config
        self._setting = setting
        self._message = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self) -> None:
        """Hide MLflow's credentials before a run can show them; in workers, too."""
        if options.is_active(self._config):
            from pytest_ibmodels.history.errors import HistoryError

            with contextlib.suppress(HistoryError):  # reported at the end, if there are runs
                self._uri()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self) -> Generator[None]:
        yield
        outcomes = outcomes_of(self._config)
        records = [record for record in outcomes.attempts.values() if record.started is not None]
        if not records or hasattr(self._config, "workerinput"):
            return
        if outcomes.interrupted:
            self._message = f"mlflow: {_NOT_STORED}: the session was interrupted"
            return
        from pytest_ibmodels.history.errors import HistoryError

        try:
            sentence = self._send(records)
        except HistoryError as error:
            sentence = f"{_NOT_STORED}: {error}"
        except KeyboardInterrupt:  # the wait is over, and the summary is still to come
            sentence = f"{_NOT_STORED}: interrupted"
        except Exception as error:  # noqa: BLE001 - MLflow must not change the session's outcome
            sentence = f"{_NOT_STORED}: {type(error).__name__}: {error}"
        self._message = f"mlflow: {sentence}" if sentence else ""

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._message:
            terminalreporter.write_line(one_line(redacted(self._message)))

    def _uri(self) -> str:
        from pytest_ibmodels.history.mlflow_sink import tracking_uri

        return tracking_uri(self._setting, os.environ)

    def _send(self, records: Sequence[RunRecord]) -> str:
        from pytest_ibmodels.history.mlflow_runs import mlflow_run
        from pytest_ibmodels.history.mlflow_sink import AUTO, Target, is_installed, send
        from pytest_ibmodels.history.origin import origin_of

        if not is_installed():
            return _NO_EXTRA
        uri, root = self._uri(), self._config.rootpath
        origin = origin_of(root, os.environ)
        experiment = str(self._config.getini("ibmodels_mlflow_experiment")).strip() or origin.project
        folder = self._config.invocation_params.dir if self._setting.lower() == AUTO else root
        runs = [mlflow_run(stored_run(record, origin), redacted(record.model_dump(mode="json"))) for record in records]
        return send(runs, Target(uri, folder, experiment), os.environ)
