"""Adding the runs of a session to the history, in the process that the user started."""

from __future__ import annotations

import contextlib
import importlib
import os
import threading
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from pytest_ibmodels.pytest import options
from pytest_ibmodels.pytest.reporting import outcomes_of
from pytest_ibmodels.redaction import redacted
from pytest_ibmodels.reports.figures import distinct_figures
from pytest_ibmodels.reports.tables import one_line

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from pytest_ibmodels.history.alerts import TrendAlert
    from pytest_ibmodels.history.origin import Origin
    from pytest_ibmodels.history.runs import StoredMetric, StoredRun
    from pytest_ibmodels.history.store import History
    from pytest_ibmodels.reports.record import CheckRecord, RunRecord, TrainingRecord, ValueRecord

_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}
_NO_EXTRA = (
    "history: not kept, as {module} is not installed: pip install 'pytest-ibmodels[history]', "
    "or set ibmodels_history = none"
)


def register(config: pytest.Config) -> None:
    """Add the runs of this session to the history at its end; xdist's workers add none."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(HistoryWriter(config), "ibmodels-history")


class HistoryWriter:
    """Plugin that adds the runs whose training ended with metrics. Whatever goes wrong is one line of the summary."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._messages: list[str] = []
        self._preparation: threading.Thread | None = None
        self._origin: Origin | None = None

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Import SQLAlchemy and ask git while the first training is waited for, not at the end of the session."""
        if self._preparation is None and options.case_of(nodeid) is not None:
            self._preparation = threading.Thread(target=self._prepare, name="ibmodels-history", daemon=True)
            self._preparation.start()

    def _prepare(self) -> None:
        from pytest_ibmodels.history.location import NONE
        from pytest_ibmodels.spec.project import history_setting

        if history_setting(self._config).strip().lower() != NONE:
            # Errors are reported by the write, which tries again.
            with contextlib.suppress(Exception):
                importlib.import_module("pytest_ibmodels.history.store")
                self._origin = self._read_origin()

    def _read_origin(self) -> Origin:
        from pytest_ibmodels.history.origin import origin_of

        return origin_of(self._config.rootpath, os.environ)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self) -> Generator[None]:
        yield
        runs = [run for run in outcomes_of(self._config).attempts.values() if has_metrics(run)]
        if not runs:
            return
        from pytest_ibmodels.history.errors import HistoryError

        try:
            self._add(runs)
        except ModuleNotFoundError as error:
            self._messages.append(_NO_EXTRA.format(module=error.name))
        except HistoryError as error:
            self._messages.append(f"history: this session's runs are not stored: {error}")
        except Exception as error:  # noqa: BLE001 - the history must not change the session's outcome
            self._messages.append(f"history: this session's runs are not stored: {type(error).__name__}: {error}")

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for message in self._messages:
            terminalreporter.write_line(one_line(redacted(message)), yellow=True)

    def _add(self, records: Sequence[RunRecord]) -> None:
        from pytest_ibmodels.history.location import database_url
        from pytest_ibmodels.spec.project import history_file, history_setting

        folder = self._config.rootpath
        url = database_url(history_setting(self._config), history_file(self._config), folder, os.environ)
        if url is None:
            return
        from pytest_ibmodels.history.store import History

        if self._preparation is not None:
            self._preparation.join()
        origin = self._origin or self._read_origin()
        with History.open(url) as history:
            history.add(*(run for record in records for run in stored_runs(record, origin)))
            self._find_trends(history, origin.project, {(record.test, record.environment) for record in records})

    def _find_trends(self, history: History, project: str, cases: Iterable[tuple[str, str]]) -> None:
        from pytest_ibmodels.history.alerts import TREND_RUNS, trend_alerts

        min_shift = options.positive_number(self._config, "ibmodels_trend_min_shift")
        for test, environment in sorted(cases):
            alerts = trend_alerts(history.runs(project, test, environment, last=TREND_RUNS), min_shift)
            self._messages += [trend_line(alert) for alert in alerts]


def has_metrics(record: RunRecord) -> bool:
    """Return whether the training of a run ended with metrics."""
    return record.started is not None and bool(record.training.values)


def stored_runs(record: RunRecord, origin: Origin) -> list[StoredRun]:
    """Return a run, or each of its repeats, as the history stores them; :func:`has_metrics` must be true."""
    run = stored_run(record, origin)
    return [
        replace(
            run,
            id=uuid.uuid4().hex,
            seed=repeat.seed,
            seconds=repeat.seconds,
            repeat=number,
            repeats=len(record.repeats),
            metrics=tuple(_metrics(record.training, repeat.values)),
        )
        for number, repeat in enumerate(record.repeats)
    ] or [run]


def stored_run(record: RunRecord, origin: Origin) -> StoredRun:
    """Return a run as the history stores it; :func:`has_metrics` must be true."""
    from pytest_ibmodels.history.origin import local_hardware
    from pytest_ibmodels.history.runs import StoredRun

    assert record.started is not None  # noqa: S101 - see has_metrics
    package, part = record.package, record.training.test_part
    return StoredRun(
        id=uuid.uuid4().hex,
        project=origin.project,
        test=record.test,
        environment=record.environment,
        started=record.started,
        verdict=_verdict(record),
        package=package.name if package else "",
        version=package.version if package else "",
        content_hash=package.content_hash if package else "",
        config_hash=record.config_hash,
        fingerprint=part.fingerprint if part else "",
        seed=record.seed,
        commit=origin.commit,
        branch=origin.branch,
        is_dirty=origin.is_dirty,
        ci_run=origin.ci_run,
        hardware=local_hardware() if urlsplit(record.host).hostname in _THIS_MACHINE else "",
        seconds=record.seconds.training,
        metrics=tuple(_metrics(record.training)),
    )


def _verdict(record: RunRecord) -> str:
    phases = (record.training, record.inference)
    if any(phase.failure is not None and phase.failure.kind == "error" for phase in phases):
        return "error"
    return "failed" if any(phase.outcome in {"failed", "xfailed"} for phase in phases) else "passed"


def _metrics(training: TrainingRecord, repeat: Sequence[ValueRecord] | None = None) -> Generator[StoredMetric]:
    """Yield every reported value with its bounds, then values that only have bounds, such as undefined ones.

    Args:
        training: the training of a run.
        repeat: values of one repeat; None for the values of the run.
    """
    from pytest_ibmodels.history.runs import StoredMetric
    from pytest_ibmodels.verdicts.paired import NAME

    # The bound against the model in use changes from run to run, and its value is that of another metric.
    bounds = {(check.metric, check.field): check for check in training.checks if check.metric != NAME}
    count = training.test_part.count if training.test_part else None
    for value in training.values if repeat is None else repeat:
        low, high = value.interval or (None, None)
        check = bounds.pop((value.metric, value.field), None)
        observed = value.value if check is None or repeat is not None else check.observed
        yield StoredMetric(value.metric, value.field, observed, low, high, *_bounds(check), count)
    for check in bounds.values() if repeat is None else ():
        low, high = check.interval or (None, None)
        yield StoredMetric(check.metric, check.field, check.observed, low, high, *_bounds(check), count)


def trend_line(alert: TrendAlert) -> str:
    """Return the warning about a metric that got worse."""
    change, since = alert.change, alert.since
    before, after = distinct_figures([change.before, change.after])
    name = f"{alert.metric} of {alert.field}"
    when = f"{since.started:%Y-%m-%d %H:%M} UTC" + (f", commit {since.commit[:9]}" if since.commit else "")
    if alert.is_persistent:
        how = f"got worse and stays so: {before} before, {after} since run {change.start + 1} of {alert.runs} ({when})"
    else:
        how = f"is worse than {alert.runs - 1} earlier runs let expect: {after}, with a mean of {before} before"
    return f"trend: {alert.test} on {alert.environment}: {name} {how}"


def _bounds(check: CheckRecord | None) -> tuple[float | None, float | None]:
    return (None, None) if check is None else (check.minimum, check.maximum)
