"""Progress while a job is waited for: a line now and then, also with captured output, and from xdist's workers.

The line travels as a report of its own class through ``pytest_runtest_logreport``, which xdist forwards to the
controller; it has no outcome that anything counts.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels.redaction import redacted
from pytest_ibmodels.reports.tables import one_line

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_TYPE_KEY = "$report_type"
_TYPE = "ModelTestProgress"
_LETTERS = pytest.StashKey[bool]()


class ProgressReport(pytest.TestReport):
    """One line about a run that goes on."""

    def __init__(self, nodeid: str, text: str) -> None:
        super().__init__(
            nodeid=nodeid, location=(nodeid, None, ""), keywords={}, outcome="passed", longrepr=None, when="call"
        )
        # Not a phase of a test: reporters that look for setup, call and teardown pass it over.
        self.when = "progress"  # type: ignore[assignment]
        self.text = text


def emit(config: pytest.Config, nodeid: str, text: str) -> None:
    """Show a line, without secrets. ``nodeid`` is that of the item that runs: workers of xdist accept no other."""
    config.hook.pytest_runtest_logreport(report=ProgressReport(nodeid, redacted(text)))


def to_serializable(report: object) -> dict[str, Any] | None:
    if isinstance(report, ProgressReport):
        return {_TYPE_KEY: _TYPE, "nodeid": report.nodeid, "text": report.text}
    return None


def from_serializable(data: dict[str, Any]) -> ProgressReport | None:
    if data.get(_TYPE_KEY) == _TYPE:
        return ProgressReport(data["nodeid"], data["text"])
    return None


def began_line(config: pytest.Config, report: pytest.TestReport) -> None:
    """Note that pytest wrote a letter for a test of a worker: such a line is none that it ends by itself."""
    if hasattr(report, "node") and (report.when == "call" or not report.passed):
        config.stash[_LETTERS] = True


def show(config: pytest.Config, report: ProgressReport) -> None:
    """Print the line on a line of its own; pytest then begins its own line anew."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput"):
        return
    with _uncaptured(config):
        if config.stash.get(_LETTERS, False) and reporter.verbosity <= 0:
            reporter.write_line("")
        config.stash[_LETTERS] = False
        reporter.ensure_newline()
        reporter.write_line(f"  {one_line(report.text)}")
        reporter.flush()


def _uncaptured(config: pytest.Config) -> AbstractContextManager[None]:
    # What pytest's own live logging uses; there is no documented way for a plugin to write in the middle of a test.
    capture = config.pluginmanager.get_plugin("capturemanager")
    if capture is None:
        return contextlib.nullcontext()
    context: AbstractContextManager[None] = capture.global_and_fixture_disabled()
    return context
