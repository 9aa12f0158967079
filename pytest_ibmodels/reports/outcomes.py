"""From an item's outcome to its report: failures as text, skips at the YAML line, records for the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels import options
from pytest_ibmodels.reports.live import ProgressReport, show

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_ibmodels.reports.record import PhaseRecord

PLUGIN_NAME = "ibmodels-outcomes"
PHASE_RECORDS = pytest.StashKey["dict[str, PhaseRecord]"]()
"""Where waiting leaves the records of a case's phases, on the case's node."""
_ATTRIBUTE = "model_test_record"


class Outcomes:
    """Part of the plugin that needs the session's configuration; one a process.

    Attributes:
        passed: the records of the phases that passed, in the order of their reports; on xdist's controller those of
            all workers.
        interrupted: whether a person pressed Ctrl-C.
        running: the id of the item that runs.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.passed: list[PhaseRecord] = []
        self.interrupted = False
        self.running = ""
        self._config = config

    def pytest_keyboard_interrupt(self) -> None:
        self.interrupted = True

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.running = nodeid

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if options.is_active(self._config):
            from pytest_ibmodels.collection import PhaseItem

            if isinstance(item, PhaseItem):
                complete_report(item, call, report)
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if isinstance(report, ProgressReport):
            show(self._config, report)
            return
        record: Any = getattr(report, _ATTRIBUTE, None)
        if record is not None and report.passed:
            self.passed.append(record)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.passed:
            from pytest_ibmodels.reports.summary import write_summary

            write_summary(terminalreporter, self.passed)


def outcomes_of(config: pytest.Config) -> Outcomes:
    plugin = config.pluginmanager.get_plugin(PLUGIN_NAME)
    assert isinstance(plugin, Outcomes)  # noqa: S101 - registered when the plugin was configured
    return plugin


def complete_report(item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Give the report of one of our items our wording in place of a traceback."""
    path, line, _ = item.location
    if report.skipped and isinstance(report.longrepr, tuple):
        report.longrepr = (path, (line or 0) + 1, report.longrepr[2])
    if call.excinfo is not None:
        from pytest_ibmodels.reports.failure import failure_text
        from pytest_ibmodels.runs.failures import RunFailure

        if isinstance(call.excinfo.value, RunFailure):
            failure = call.excinfo.value
            report.longrepr = failure_text(failure, f"{path}:{(line or 0) + 1}")
    records = item.parent.stash.get(PHASE_RECORDS, {}) if item.parent is not None else {}
    phase = item.name.removeprefix("test_")
    if report.when == "call" and phase in records:
        setattr(report, _ATTRIBUTE, records[phase])
