"""Records of runs as the history stores them."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_ibmodels.history.origin import Origin
    from pytest_ibmodels.history.runs import StoredMetric, StoredRun
    from pytest_ibmodels.reports.record import CheckRecord, RunRecord, TrainingRecord, ValueRecord
    from pytest_ibmodels.verdicts.results import Results

_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}


def has_metrics(record: RunRecord) -> bool:
    """Return whether the training of a run ended with metrics."""
    return record.started is not None and bool(record.training.values)


def stored_runs(record: RunRecord, origin: Origin, documents: Sequence[Results | None] = ()) -> list[StoredRun]:
    """Return a run, or each of its repeats, as the history stores them; :func:`has_metrics` must be true.

    Args:
        record: the run.
        origin: where it comes from.
        documents: results per document of each training, as far as they are known.
    """
    run = replace(stored_run(record, origin), documents=documents[0] if documents else None)
    return [
        replace(
            run,
            id=uuid.uuid4().hex,
            documents=documents[number] if number < len(documents) else None,
            seed=repeat.seed,
            seconds=repeat.seconds,
            memory=repeat.peak_memory,
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
        memory=record.peak_memory,
        metrics=tuple(_metrics(record.training)),
    )


def _verdict(record: RunRecord) -> str:
    phases = (record.training, record.inference)
    if any(phase.failure is not None and phase.failure.kind == "error" for phase in phases):
        return "error"
    return "failed" if any(phase.outcome in {"failed", "xfailed"} for phase in phases) else "passed"


def _metrics(training: TrainingRecord, repeat: Sequence[ValueRecord] | None = None) -> Iterator[StoredMetric]:
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


def _bounds(check: CheckRecord | None) -> tuple[float | None, float | None]:
    return (None, None) if check is None else (check.minimum, check.maximum)
