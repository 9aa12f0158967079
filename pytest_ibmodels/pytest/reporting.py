"""Reports of items: failures as text, skips at the YAML line, and the record for all other reports."""

from __future__ import annotations

import traceback
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from pytest_ibmodels.pytest import keys, options
from pytest_ibmodels.pytest.progress import ProgressReport, note_letter, show
from pytest_ibmodels.redaction import redacted
from pytest_ibmodels.reports.lines import FailureText

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from pytest_ibmodels.pytest.nodes import CaseNode, PhaseItem
    from pytest_ibmodels.reports.record import RunRecord
    from pytest_ibmodels.verdicts.results import Results

PLUGIN_NAME = "ibmodels-outcomes"
_PROPERTIES: pytest.StashKey[list[tuple[str, object]]] = pytest.StashKey()
"""On an item: the properties of its last run."""
_ATTRIBUTE = "model_test_run"
"""Attribute of a report: the record of its run, as values of JSON."""
_RESULTS = "model_test_results"
"""The same for the results per document of each training, for the history."""
_TRUSTED = (
    "nodeid",
    "test",
    "environment",
    "file",
    "line",
    "route",
    "package",
    "config_hash",
    "seed",
    "started",
    "finished",
    "seconds",
)
"""Fields of a record that no environment can influence."""
_WORDS = {"outcome", "kind", "verdict", "if_undecided", "method", "unit"}
"""Fields of the phases in a record that have one of a few words as their value."""
_LAST_FAILED = "cache/lastfailed"
"""Key of pytest's cache for the ids of failed tests, documented with `--cache-show`."""


class Outcomes:
    """Plugin that collects the outcomes of a session; one per process.

    Attributes:
        runs: node id of a case → record of its run, in the order of the first reports; on xdist's controller, records
            of all workers.
        attempts: node id and job of a run → its record; unlike ``runs``, with earlier attempts of a case that was run
            again.
        results: node id and job of a run → results per document of each of its trainings; None for a training without.
        faults: sentences on reports that could not be made.
        interrupted: whether the session ended with Ctrl-C or SIGTERM.
        running: node id of the running item.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.runs: dict[str, RunRecord] = {}
        self.attempts: dict[tuple[str, str | None], RunRecord] = {}
        self.results: dict[tuple[str, str | None], list[Results | None]] = {}
        self.faults: list[str] = []
        self.interrupted = False
        self.running = ""
        self._config = config
        self._untested: dict[str, None] = {}

    def sorted_runs(self) -> list[RunRecord]:
        """Return the records by file, line and environment: the same order with and without workers."""
        return sorted(self.runs.values(), key=lambda run: (run.file, run.line, run.environment))

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
            from pytest_ibmodels.pytest.nodes import PhaseItem

            if isinstance(item, PhaseItem):
                # An exception here would end the session and lose the results of all other tests.
                try:
                    complete_report(item, call, report)
                except Exception:  # noqa: BLE001
                    note_fault(report, "the record of this run could not be made")
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if isinstance(report, ProgressReport):
            show(self._config, report)
            return
        note_letter(self._config, report)
        if type(report.longrepr) is str:  # as it comes from workers
            report.longrepr = FailureText(report.longrepr)
        self._note_untested(report)
        record: Any = getattr(report, _ATTRIBUTE, None)
        if record is not None:
            from pytest_ibmodels.reports.record import RunRecord
            from pytest_ibmodels.verdicts.results import from_json

            try:
                run = RunRecord.model_validate(record)
            except ValueError as error:
                self.faults.append(f"{report.nodeid}: its record cannot be read: {str(error).splitlines()[0]}")
            else:
                self.runs[run.nodeid] = self.attempts[run.nodeid, run.job_id] = run
                given: Any = getattr(report, _RESULTS, [])
                self.results[run.nodeid, run.job_id] = [one and from_json(one) for one in given]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.runs:
            from pytest_ibmodels.reports.summary import write_summary

            try:
                write_summary(terminalreporter, self.sorted_runs())
            except Exception as error:  # noqa: BLE001 - as in makereport
                self.faults.append(f"the summary could not be written: {type(error).__name__}: {error}")
        for fault in self.faults:
            terminalreporter.write_line(f"pytest-ibmodels: {redacted(fault)}")

    def _note_untested(self, report: pytest.TestReport) -> None:
        case = options.case_of(report.nodeid)
        if case is None or hasattr(report, "wasxfail"):
            return
        inference = f"{case[0]}::test_inference"
        if case[2] == "training" and report.failed:
            self._untested[inference] = None
        elif case[2] == "inference" and report.when == "call" and report.passed:
            self._untested.pop(inference, None)

    def keep_untested_for_last_failed(self) -> None:
        """Let ``--lf`` select the inference of a failed training, too: it was skipped, so it has not run.

        pytest stores failed tests in its cache, and no skipped ones.
        """
        cache = self._config.cache if hasattr(self._config, "cache") else None
        is_mine = not hasattr(self._config, "workerinput") and not self._config.getoption("cacheshow", default=False)
        if cache is None or not self._untested or not is_mine:
            return
        failed = cache.get(_LAST_FAILED, {})
        if isinstance(failed, dict) and not set(self._untested) <= set(failed):
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", pytest.PytestWarning
                )  # pytest has warned that it cannot write its cache
                cache.set(_LAST_FAILED, failed | dict.fromkeys(self._untested, True))


def outcomes_of(config: pytest.Config) -> Outcomes:
    plugin = config.pluginmanager.get_plugin(PLUGIN_NAME)
    assert isinstance(plugin, Outcomes)  # noqa: S101 - registered when the plugin was configured
    return plugin


def reported(case: CaseNode) -> Mapping[str, keys.PhaseOutcome]:
    """Return phase → outcome of its item, for phases that have been reported."""
    return case.stash.get(keys.OUTCOMES, {})


def hide_secrets(report: pytest.TestReport) -> None:
    """Redact a report: traceback, captured output and log, reason, properties and record."""
    hide_in_collection(report)
    if hasattr(report, "wasxfail"):
        report.wasxfail = redacted(report.wasxfail)
    report.user_properties = [(name, redacted(value)) for name, value in report.user_properties]
    record: dict[str, Any] | None = getattr(report, _ATTRIBUTE, None)
    if record is not None:
        setattr(report, _ATTRIBUTE, _hidden_record(record))
        setattr(report, _RESULTS, redacted(getattr(report, _RESULTS, [])))


def hide_in_collection(report: pytest.CollectReport | pytest.TestReport) -> None:
    """Redact the reason and the captured output of a report."""
    if isinstance(report.longrepr, tuple):
        report.longrepr = redacted(report.longrepr)
    elif (hidden := redacted(report.longreprtext)) != report.longreprtext:
        report.longrepr = FailureText(hidden)
    report.sections = redacted(report.sections)


def _hidden_record(record: dict[str, Any]) -> dict[str, Any]:
    """Return a redacted record. Keys and names by which reports compare stay, since a short password may be a word."""
    hidden = {**redacted(record), **{name: record[name] for name in _TRUSTED}}
    for phase in ("training", "inference"):
        before, after = record[phase], hidden[phase]
        checks = [
            {**new, "metric": old["metric"], "field": old["field"]}
            for old, new in zip(before["checks"], after["checks"], strict=True)
        ]
        hidden[phase] = {**_with_words(before, after), "checks": checks}
        if "history" in before:
            hidden[phase]["history"] = before["history"]
    return hidden


def _with_words(before: Any, after: Any) -> Any:
    """Return redacted values in which the words of the record's model stay, as no other words are valid there."""
    if isinstance(before, dict):
        return {
            new: value if name in _WORDS else _with_words(value, hidden)
            for (name, value), (new, hidden) in zip(before.items(), after.items(), strict=True)
        }
    if isinstance(before, list):
        return [_with_words(old, new) for old, new in zip(before, after, strict=True)]
    return after


def hide_in_warning(warning: warnings.WarningMessage) -> None:
    """Redact a warning, which pytest shows at the end of the session."""
    hidden = redacted(str(warning.message))
    if hidden != str(warning.message):
        warning.message = hidden


def note_fault(report: pytest.TestReport, what: str) -> None:
    """Add the traceback of the handled exception to a report."""
    title = f"pytest-ibmodels: {what}"
    report.sections.append((title, traceback.format_exc()))


def complete_report(item: PhaseItem, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    """Replace a failure's traceback by its text, and attach the record of the run."""
    path, line = item.location[0], (item.location[1] or 0) + 1
    error = call.excinfo.value if call.excinfo is not None else None
    if report.skipped and isinstance(report.longrepr, tuple):
        report.longrepr = (path, line, report.longrepr[2])
    if error is not None:
        from pytest_ibmodels.engine.failures import RunFailure
        from pytest_ibmodels.reports.failure import failure_text

        if isinstance(error, RunFailure):
            report.longrepr = FailureText(failure_text(error, f"{path}:{line}"))
    if report.when == "call" or not report.passed:
        _attach_record(item, (path, line), report, error)


def _attach_record(
    item: PhaseItem, location: tuple[str, int], report: pytest.TestReport, error: BaseException | None
) -> None:
    from pytest_ibmodels.pytest.records import phase_outcome, results_of, run_record
    from pytest_ibmodels.reports.junit import properties
    from pytest_ibmodels.verdicts.results import as_json

    stash = item.case.stash
    phases = stash.setdefault(keys.OUTCOMES, {})
    run = stash.get(keys.RUN, None)
    phases[item.phase] = phase_outcome(report, error)
    if report.passed and (run is None or item.phase not in run.judged):
        # The item's body did not run (`--trace` without a terminal, a hook of the project).
        phases[item.phase] = {"outcome": "not run", "reason": "pytest did not run the body of this item"}
    record = run_record(item.case, location, run, phases)
    setattr(report, _ATTRIBUTE, record.model_dump(mode="json"))
    if run is not None:
        setattr(report, _RESULTS, [one and as_json(one) for one in results_of(run)])
    # If a plugin runs an item again, the item keeps the properties of its last run only.
    before = item.stash.get(_PROPERTIES, [])
    mine = item.stash[_PROPERTIES] = list(properties(record, item.nodeid))
    item.user_properties[:] = [given for given in item.user_properties if given not in before] + mine
    report.user_properties = list(item.user_properties)
