"""Progress lines while an item waits for a job, also with captured output and from xdist's workers.

A line is a report of its own class that goes through ``pytest_runtest_logreport``, which xdist forwards to the
controller; no reporter counts its outcome.
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
"""On the config: whether pytest has written letters for a worker's tests on the current line."""


class ProgressReport(pytest.TestReport):
    """Progress line of a run."""

    def __init__(self, nodeid: str, text: str) -> None:
        super().__init__(
            nodeid=nodeid, location=(nodeid, None, ""), keywords={}, outcome="passed", longrepr=None, when="call"
        )
        # No phase of a test: reporters that handle setup, call and teardown ignore it.
        self.when = "progress"  # type: ignore[assignment]
        self.text = text


def emit(config: pytest.Config, nodeid: str, text: str) -> None:
    """Show a redacted line. ``nodeid`` must be the running item's, since xdist's workers accept no other."""
    config.hook.pytest_runtest_logreport(report=ProgressReport(nodeid, redacted(text)))


def to_serializable(report: object) -> dict[str, Any] | None:
    if isinstance(report, ProgressReport):
        return {_TYPE_KEY: _TYPE, "nodeid": report.nodeid, "text": report.text}
    return None


def from_serializable(data: dict[str, Any]) -> ProgressReport | None:
    if data.get(_TYPE_KEY) == _TYPE:
        return ProgressReport(data["nodeid"], data["text"])
    return None


def note_letter(config: pytest.Config, report: pytest.TestReport) -> None:
    """Remember that pytest wrote a letter for a worker's test: it does not end such a line by itself."""
    if hasattr(report, "node") and (report.when == "call" or not report.passed):
        config.stash[_LETTERS] = True


def show(config: pytest.Config, report: ProgressReport) -> None:
    """Print a progress line on a line of its own; pytest then starts a new line."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput"):
        return
    with uncaptured(config):
        if config.stash.get(_LETTERS, False) and reporter.verbosity <= 0:
            reporter.write_line("")
        config.stash[_LETTERS] = False
        reporter.ensure_newline()
        reporter.write_line(f"  {one_line(report.text)}")
        reporter.flush()


def uncaptured(config: pytest.Config) -> AbstractContextManager[None]:
    """Return a context in which output reaches the terminal in the middle of a test."""
    # As in pytest's live logging: there is no documented way for a plugin to write in the middle of a test.
    capture = config.pluginmanager.get_plugin("capturemanager")
    if capture is None:
        return contextlib.nullcontext()
    context: AbstractContextManager[None] = capture.global_and_fixture_disabled()
    return context
