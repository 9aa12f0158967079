"""Records of runs, made from a case, its run and the outcomes of its items."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pytest_ibmodels.engine.failures import RunFailure, VerdictFailure, phase_failure
from pytest_ibmodels.engine.repeats import seed_of
from pytest_ibmodels.reports.failure import failure_text
from pytest_ibmodels.reports.placement import restart_notes
from pytest_ibmodels.reports.placement_record import ResourcesRecord
from pytest_ibmodels.reports.record import (
    BaselineRecord,
    CheckRecord,
    ComparisonRecord,
    DifferenceRecord,
    FailureRecord,
    HistoryRecord,
    InferenceRecord,
    Outcome,
    PackageRecord,
    RepeatRecord,
    RunRecord,
    SecondsRecord,
    TestPartRecord,
    TrainingRecord,
    TrendRecord,
    ValueRecord,
)
from pytest_ibmodels.reports.repeats import noise_notes
from pytest_ibmodels.reports.tables import clipped, plain
from pytest_ibmodels.reports.versus import better_notes
from pytest_ibmodels.reports.wrong_record import ChangedRecord, ConfusionRecord, WrongRecord
from pytest_ibmodels.spec.environment_rules import SANDBOX
from pytest_ibmodels.spec.variables import has_variables
from pytest_ibmodels.verdicts.checks import BetterCheck, MetricsVerdict
from pytest_ibmodels.verdicts.metrics import reported_metrics
from pytest_ibmodels.verdicts.predictions import PredictionsVerdict
from pytest_ibmodels.verdicts.repeats import mean_values
from pytest_ibmodels.verdicts.wrong import about_fields_first, confusions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Future

    import pytest

    from pytest_ibmodels.engine.case import Run
    from pytest_ibmodels.engine.placement import Placement
    from pytest_ibmodels.pytest.keys import PhaseOutcome
    from pytest_ibmodels.pytest.nodes import CaseNode
    from pytest_ibmodels.spec import Environment
    from pytest_ibmodels.verdicts.baseline import BaselineVerdict
    from pytest_ibmodels.verdicts.checks import MetricCheck
    from pytest_ibmodels.verdicts.comparison import Comparison
    from pytest_ibmodels.verdicts.reported import Interval
    from pytest_ibmodels.verdicts.results import Results

_LONGEST_LOG_LINE = 1000
_MOST_WRONG, _MOST_CONFUSIONS = 50, 20


def phase_outcome(report: pytest.TestReport, error: BaseException | None) -> PhaseOutcome:
    """Return the outcome of a phase's item; ``report.longrepr`` must be the final text."""
    outcome: Outcome = report.outcome
    reason = ""
    failure = None
    if hasattr(report, "wasxfail"):
        outcome = "xpassed" if report.passed else "xfailed"
        reason = str(report.wasxfail).removeprefix("reason: ")
    elif report.skipped:
        skip = report.longrepr
        reason = (skip[2] if isinstance(skip, tuple) else str(skip)).removeprefix("Skipped: ")
    if error is not None and outcome in {"failed", "xfailed"}:
        failure = _failure(error, report.longreprtext)
    return {"outcome": outcome, "reason": reason, "failure": failure}


def run_record(
    case: CaseNode, location: tuple[str, int], run: Run | None, phases: Mapping[str, PhaseOutcome]
) -> RunRecord:
    """Return the record of a case, as far as it is known.

    Args:
        case: node of the model test on the environment.
        location: file and line of its entry.
        run: None if the case failed before its run was started.
        phases: phase → outcome of its item, for phases that have been reported.
    """
    file, line = location
    facts: dict[str, Any] = {} if run is None else _facts(run, with_inference="inference" in phases)
    facts["host"] = facts.get("host") or _host_as_written(case.environment)
    training = phases.get("training")
    if training is None:
        training = {} if run is None else _outcome_without_item(run, f"{file}:{line}")
    return RunRecord(
        nodeid=case.nodeid,
        test=case.model_test.name,
        environment=case.environment.name,
        file=file,
        line=line,
        training=TrainingRecord(**training, **_trained(run)),
        inference=InferenceRecord(**phases["inference"], **_inferred(run))
        if "inference" in phases
        else InferenceRecord(),
        **facts,
    )


def results_of(run: Run) -> list[Results | None]:
    """Return the results per document of each training of a run; None for a training without."""
    return [(one.predicted.results or None) if one.predicted is not None else None for one in run.trainings]


def _facts(run: Run, *, with_inference: bool) -> dict[str, Any]:
    # The run continues while the item of its training is reported: only inference's item reports inference.
    seconds = {name: value for name, value in dict(run.seconds).items() if with_inference or name != "inference"}
    package, seed, checks = run.package, run.case.test.config.get("seed"), _training_verdict(run).checks
    resources = run.case.test.resources
    return {
        "host": run.host,
        "route": run.route,
        "job_id": run.job_id,
        "reattached": run.reattached,
        "package": package
        and PackageRecord(name=package.name, version=package.version, content_hash=package.content_hash),
        "config_hash": run.case.test.config_hash,
        "config": dict(run.case.test.config),
        "seed": seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
        "started": run.started,
        "finished": run.finished,
        "seconds": SecondsRecord(**{name: round(value, 3) for name, value in seconds.items()}),
        "peak_memory": run.peak_memory,
        **_placed(run.placement),
        "resources": resources and ResourcesRecord(cpus=resources.cpus, gpus=resources.gpus, memory=resources.memory),
        "job_log": tuple(clipped(plain(line), _LONGEST_LOG_LINE) for line in run.job_log),
        "notes": (*run.notes, *restart_notes(run), *noise_notes(checks), *better_notes(checks)),
        "repeats": tuple(_repeats(run)),
        "links": dict(run.links),
    }


def _host_as_written(environment: Environment) -> str:
    """Return the host in an environment's entry; empty if the entry alone does not tell it."""
    return "" if environment.host == SANDBOX or has_variables(environment.host) else environment.host.rstrip("/")


def _outcome_without_item(run: Run, location: str) -> PhaseOutcome:
    """Return the outcome of a training that no item waited for, as with ``-m inference``."""
    judged = run.judged.get("training")
    if judged is None and not _has_ended(run.training):
        return {"outcome": "not run"}
    error = judged or phase_failure(run.training)
    if not isinstance(error, BaseException):
        return {"outcome": "passed"}
    text = failure_text(error, location) if isinstance(error, RunFailure) else repr(error)
    return {"outcome": "failed", "failure": _failure(error, text)}


def _trained(run: Run | None) -> dict[str, Any]:
    if run is None:
        return {}
    verdict = _training_verdict(run)
    checks = verdict.checks
    return {
        "checks": tuple(_check(check) for check in checks),
        "values": _values(
            mean_values([(one.metrics, one.intervals) for one in run.trainings if one.metrics is not None])
        ),
        "test_part": run.test_part and TestPartRecord(**vars(run.test_part)),
        "comparison": _comparison(run.comparison, checks),
        "baseline": _baseline(verdict.baseline),
        "trends": tuple(TrendRecord(**vars(trend)) for trend in verdict.trends),
        **_why(run, verdict),
        "history": tuple(HistoryRecord(**vars(point)) for point in run.history.points),
    }


def _why(run: Run, verdict: MetricsVerdict) -> dict[str, Any]:
    """Return what explains a verdict that failed."""
    changed = verdict.changed
    facts: dict[str, Any] = {"changed": changed and ChangedRecord(**vars(changed))}
    if not verdict.passed and run.predicted is not None:
        wrong = about_fields_first(run.predicted.wrong, verdict.failed_fields)
        pairs = confusions(run.predicted.results)
        facts["wrong"] = tuple(WrongRecord(**one._asdict()) for one in wrong[:_MOST_WRONG])
        facts["wrong_count"] = len(wrong)
        facts["confusions"] = tuple(ConfusionRecord(**vars(one)) for one in pairs[:_MOST_CONFUSIONS])
    return facts


def _values(found: Sequence[tuple[str, str, float, Interval | None]]) -> tuple[ValueRecord, ...]:
    return tuple(
        ValueRecord(metric=metric, field=field, value=value, interval=interval)
        for metric, field, value, interval in found
    )


def _repeats(run: Run) -> Iterator[RepeatRecord]:
    for one in run.trainings if run.repeats else ():
        seconds = one.seconds.get("training")
        yield RepeatRecord(
            seed=seed_of(one.case),
            job_id=one.job_id,
            reattached=one.reattached,
            seconds=None if seconds is None else round(seconds, 3),
            peak_memory=one.peak_memory,
            **_placed(one.placement),
            passed=None if one.own_verdict is None else one.own_verdict.passed,
            values=_values(reported_metrics(one.metrics, one.intervals)),
            test_part=one.test_part and TestPartRecord(**vars(one.test_part)),
        )


def _placed(placement: Placement) -> dict[str, Any]:
    is_told = bool(placement.node) or placement.was_started_again
    attempt = placement.attempt if is_told else None
    return {"node": placement.node or None, "attempt": attempt, "attempts_lost": placement.lost}


def _training_verdict(run: Run) -> MetricsVerdict:
    """Return the verdict of the training; one without checks if it has none."""
    verdict = _verdict(run.judged.get("training"), run.training)
    return verdict if isinstance(verdict, MetricsVerdict) else MetricsVerdict(())


def _baseline(verdict: BaselineVerdict | None) -> BaselineRecord | None:
    if verdict is None:
        return None
    return BaselineRecord(**asdict(verdict), outcome=verdict.outcome, passed=verdict.passed)


def _check(check: MetricCheck) -> CheckRecord:
    return CheckRecord(
        metric=check.metric,
        field=check.field,
        minimum=check.minimum,
        observed=check.observed,
        margin=None if check.margin is None else round(check.margin, 9) + 0.0,  # not -0.0
        passed=check.passed,
        problem=check.problem,
        maximum=check.maximum,
        interval=check.interval,
        remark=check.remark,
        undecided=check.undecided,
        repeats=check.repeats,
        spread=check.spread,
    )


def _comparison(comparison: Comparison | None, checks: Sequence[MetricCheck]) -> ComparisonRecord | None:
    if comparison is None:
        return None
    facts: dict[str, Any] = asdict(comparison)
    for check in checks:
        if isinstance(check, BetterCheck):
            facts |= {"verdict": check.verdict, "max_drop": check.max_drop, "if_undecided": check.if_undecided}
            facts["rows_to_decide"] = check.needed
    return ComparisonRecord(**facts)


def _inferred(run: Run | None) -> dict[str, Any]:
    if run is None:
        return {}
    verdict = _verdict(run.judged.get("inference"), run.inference)
    if not isinstance(verdict, PredictionsVerdict):
        return {}
    return {
        "checks": tuple(_check(check) for check in verdict.checks),
        "documents": verdict.documents,
        "fields": verdict.fields_compared,
        "texts": verdict.texts_compared,
        "differences": tuple(DifferenceRecord(**vars(difference)) for difference in verdict.differences),
        "unanswered": dict(verdict.unanswered),
    }


def _failure(error: BaseException, text: str) -> FailureRecord:
    kind = error.kind if isinstance(error, RunFailure) else "error"
    reason = error.reason if isinstance(error, RunFailure) else f"{type(error).__name__}: {error}"
    return FailureRecord(kind=kind, reason=(reason.splitlines() or [""])[0], text=text)


def _verdict(judged: object, future: Future[Any]) -> object:
    if isinstance(judged, VerdictFailure):
        return judged.verdict
    return judged or (future.result() if _has_ended(future) and future.exception() is None else None)


def _has_ended(future: Future[Any]) -> bool:
    return future.done() and not future.cancelled()
