"""Adding the runs of a session to the history, in the process that the user started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.pytest.history_access import NO_EXTRA, history_of
from pytest_ibmodels.pytest.history_rows import has_metrics, stored_runs
from pytest_ibmodels.pytest.reporting import outcomes_of
from pytest_ibmodels.redaction import redacted
from pytest_ibmodels.reports.tables import one_line
from pytest_ibmodels.reports.trends import trend_lines

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_ibmodels.pytest.reporting import Outcomes


def register(config: pytest.Config) -> None:
    """Add the runs of this session to the history at its end; xdist's workers add none."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(HistoryWriter(config), "ibmodels-history-writer")


class HistoryWriter:
    """Plugin that adds the runs whose training ended with metrics. Whatever goes wrong is one line of the summary."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._message = ""

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self) -> Generator[None]:
        yield
        outcomes = outcomes_of(self._config)
        if not any(map(has_metrics, outcomes.attempts.values())):
            return
        from pytest_ibmodels.history.errors import HistoryError

        try:
            self._add(outcomes)
        except ModuleNotFoundError as error:
            self._message = f"history: not kept, as {NO_EXTRA.format(module=error.name)}"
        except HistoryError as error:
            self._message = f"history: this session's runs are not stored: {error}"
        except Exception as error:  # noqa: BLE001 - the history must not change the session's outcome
            self._message = f"history: this session's runs are not stored: {type(error).__name__}: {error}"

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        lines = [line for run in outcomes_of(self._config).sorted_runs() for line in trend_lines(run)]
        for line in [*lines, *filter(None, [self._message])]:
            terminalreporter.write_line(one_line(redacted(line)), yellow=True)

    def _add(self, outcomes: Outcomes) -> None:
        access = history_of(self._config)
        with access.open() as history:
            if history is None:
                return
            origin = access.origin()
            history.add(
                *(
                    run
                    for key, record in outcomes.attempts.items()
                    if has_metrics(record)
                    for run in stored_runs(record, origin, outcomes.results.get(key, ()))
                )
            )
