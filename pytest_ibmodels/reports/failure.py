"""Text of a failed item: required and observed values, facts of the run, traceback and log of the job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.engine.failures import (
    NotTrained,
    RunFailure,
    TrainingFailure,
    VerdictFailure,
)
from pytest_ibmodels.engine.repeats import seed_of
from pytest_ibmodels.reports.baselines import baseline_lines
from pytest_ibmodels.reports.figures import figures
from pytest_ibmodels.reports.lines import FailureText, RedLine, failure_lines
from pytest_ibmodels.reports.placement import restart_notes
from pytest_ibmodels.reports.repeats import noise_notes
from pytest_ibmodels.reports.tables import clipped, harmless, table
from pytest_ibmodels.reports.trends import trend_sentence
from pytest_ibmodels.reports.versus import better_notes, measured_on, worse_rows
from pytest_ibmodels.reports.wrong import changed_sentence, confusion_lines, wrong_lines
from pytest_ibmodels.verdicts.checks import MetricsVerdict
from pytest_ibmodels.verdicts.predictions import PredictionsVerdict
from pytest_ibmodels.verdicts.wrong import about_fields_first, confusions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_ibmodels.engine.case import Run
    from pytest_ibmodels.reports.figures import Figures
    from pytest_ibmodels.verdicts.checks import MetricCheck

_MOST_DIFFERENCES = 30
_MOST_FRAMES = 14
_FEW_LOG_LINES = 5


def failure_text(failure: RunFailure, location: str) -> FailureText:
    """The whole text of a failure, in plain lines; ``location`` is FILE:LINE of the model test."""
    run = failure.run
    if isinstance(failure, NotTrained):
        failure = failure.cause
    lines: list[str] = [RedLine(f"{failure.kind}: {failure.reason}")]
    verdict = failure.verdict if isinstance(failure, VerdictFailure) else None
    if isinstance(verdict, PredictionsVerdict) and not verdict.passed:
        lines += ["", *_predictions(verdict)]
    if verdict is not None and verdict.checks:
        checks = verdict.checks
        lines += ["", *_metrics(checks)]
        parts = (list(noise_notes(checks)), list(better_notes(checks)), worse_rows(checks))
        lines += [line for part in parts if part for line in ("", *part)]
    if isinstance(verdict, MetricsVerdict):
        lines += _over_time(verdict)
        lines += [line for part in _why(verdict, run) if part for line in ("", *part)]
    if isinstance(failure, TrainingFailure) and failure.job_traceback:
        lines += ["", "traceback of the job, its last frames (the pushed code, in the environment):"]
        lines += [f"  job | {line}" for line in failure.job_traceback.rstrip().splitlines()[-_MOST_FRAMES:]]
    lines += ["", f"model test: {location}"]
    if run is not None:
        lines += _run_facts(run)
        if run.job_log:
            lines += ["", "log of the training job, its last lines:"]
            # Of a model that trained, and is not good enough, the log says little.
            shown = run.job_log if verdict is None else run.job_log[-_FEW_LOG_LINES:]
            lines += [f"  log | {clipped(line, 200)}" for line in shown]
    return failure_lines(type(line)(harmless(line)) for line in lines)


def _over_time(verdict: MetricsVerdict) -> Iterator[str]:
    """The comparison with earlier runs."""
    if verdict.baseline is not None:
        yield from ("", *baseline_lines(verdict.baseline))
    yield from (line for trend in verdict.trends for line in ("", f"trend: {trend_sentence(trend)}"))


def _why(verdict: MetricsVerdict, run: Run | None) -> Iterator[list[str]]:
    """The worst predictions, confusions of labels, and changes since the last passed run, each as lines."""
    if run is not None and run.predicted is not None:
        predicted = run.predicted
        which = f" of the first repeat (seed {seed_of(run.case)})" if run.repeats else ""
        total = sum(map(len, predicted.results.values()))
        yield wrong_lines(about_fields_first(predicted.wrong, verdict.failed_fields), total, which)
        yield confusion_lines(confusions(predicted.results))
    if verdict.changed is not None:
        yield [changed_sentence(verdict.changed)]


def _metrics(checks: Sequence[MetricCheck]) -> list[str]:
    numbers = [(check, figures(check)) for check in checks]
    rows = [[check.metric, check.field, one.required, one.observed, _shortfall(one)] for check, one in numbers]
    header = ["metric", "field", "required", "observed", ""]
    if any(check.repeats for check in checks):
        header.append("repeats")
        rows = [[*row, one.repeats] for row, (_, one) in zip(rows, numbers, strict=True)]
    head, *lines = table(header, rows, right=frozenset({2, 3}))
    return [head, *(line if check.passed else RedLine(line) for check, line in zip(checks, lines, strict=True))]


def _shortfall(one: Figures) -> str:
    if one.missed and one.interval and one.interval != one.missed:
        return f"{one.missed} ({one.interval})"
    return one.missed or one.interval


def _predictions(verdict: PredictionsVerdict) -> Iterator[str]:
    for document in verdict.documents:
        differing = [
            difference for difference in verdict.differences[:_MOST_DIFFERENCES] if difference.document == document
        ]
        if differing:
            yield f"  document {document}"
            rows = [(row.field, _quoted(row.at_training), _quoted(row.at_inference)) for row in differing]
            yield from table(("field", "at training", "at inference"), rows, indent="    ")
    if len(verdict.differences) > _MOST_DIFFERENCES:
        yield f"  and {len(verdict.differences) - _MOST_DIFFERENCES} more differences"
    unanswered = list(verdict.unanswered.items())
    for document, reason in unanswered[:_MOST_DIFFERENCES]:
        yield f"  document {document}"
        yield from (f"    {line}" for line in reason.splitlines())
    if len(unanswered) > _MOST_DIFFERENCES:
        yield f"  and {len(unanswered) - _MOST_DIFFERENCES} more documents without a prediction"


def _quoted(text: str) -> str:
    return clipped(repr(text), 70)


def _run_facts(run: Run) -> Iterator[str]:
    yield f"environment: {run.case.environment}" + (f" ({run.host})" if run.host else "")
    for one in run.repeats and run.trainings:
        did = "re-attached to job" if one.reattached else "training job"
        yield f"seed {seed_of(one.case)}: {f'{did} {one.job_id}' if one.job_id else 'no training job'}"
    if run.job_id and not run.repeats:
        yield f"{'re-attached to job' if run.reattached else 'training job'}: {run.job_id}"
    if run.seconds:
        yield "seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in run.seconds.items())
    if run.test_part is not None:
        yield measured_on(run.test_part, run.comparison)
    yield from run.notes
    yield from restart_notes(run)
