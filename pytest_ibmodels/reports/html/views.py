"""Views: the records of runs, prepared for the page's templates."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pytest_ibmodels.reports.html import plots
from pytest_ibmodels.reports.html.baseline_view import BaselineView, baseline_view
from pytest_ibmodels.reports.html.check_view import CheckView, check_view
from pytest_ibmodels.reports.html.curves import Curves, Panel, curves
from pytest_ibmodels.reports.html.formats import duration, utc
from pytest_ibmodels.reports.html.texts import DocumentView, documents
from pytest_ibmodels.reports.html.wrong_view import WrongView
from pytest_ibmodels.reports.placement import node_text, resources_text
from pytest_ibmodels.reports.tables import clipped
from pytest_ibmodels.reports.trends import trend_sentence
from pytest_ibmodels.reports.versus import measured_on

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from markupsafe import Markup

    from pytest_ibmodels.reports.record import (
        CheckRecord,
        InferenceRecord,
        Outcome,
        RepeatRecord,
        RunRecord,
        TrainingRecord,
    )

Tone = Literal["good", "bad", "quiet"]

_OUTCOMES: dict[Outcome, tuple[str, Tone]] = {
    "passed": ("✓", "good"),
    "failed": ("✕", "bad"),
    "xfailed": ("✓", "quiet"),
    "xpassed": ("✓", "good"),
    "skipped": ("○", "quiet"),
    "not run": ("○", "quiet"),
}
_IN_WORDS: dict[Outcome, str] = {"xfailed": "failed as expected", "xpassed": "passed unexpectedly"}
_LONGEST_VALUE = 200
"""Most characters of a value of the config."""
_SHOWN_ABOVE = {"metrics", "baseline", "trend", "predictions differ", "check"}
"""Kinds of failures whose facts the page shows beside the text."""


@dataclass(frozen=True)
class OutcomeView:
    """An outcome as a word, a sign, and a tone that decides its colour."""

    word: str
    sign: str
    tone: Tone


@dataclass(frozen=True)
class MetricView:
    """Checks of one metric, and their plot."""

    name: str
    checks: tuple[CheckView, ...]
    plot: Markup

    @property
    def description(self) -> str:
        """The plot in words, for screen readers."""
        bounds = _bounds_word(check.record for check in self.checks)
        return f"{self.name} against its {bounds}: " + "; ".join(check.description for check in self.checks)


@dataclass(frozen=True)
class CurveView:
    """A panel and its plot."""

    panel: Panel
    plot: Markup


@dataclass(frozen=True)
class PhaseView:
    """A phase of a run."""

    name: str
    record: TrainingRecord | InferenceRecord
    outcome: OutcomeView
    metrics: tuple[MetricView, ...]

    @property
    def has_text_only(self) -> bool:
        """True if nothing but the text of its failure shows what failed."""
        return self.record.failure is not None and self.record.failure.kind not in _SHOWN_ABOVE

    @property
    def bounds(self) -> str:
        return _bounds_word(self.record.checks)

    @property
    def has_maximum(self) -> bool:
        return self.bounds == "bounds"

    @property
    def has_interval(self) -> bool:
        return any(check.interval or check.remark for check in self.record.checks)

    @property
    def problems(self) -> tuple[CheckRecord, ...]:
        """Checks that have a problem in place of a number."""
        return tuple(check for check in self.record.checks if check.problem)


@dataclass(frozen=True)
class RunView:
    """A run with its plots.

    Attributes:
        legend: name, sign and style number of each line.
    """

    record: RunRecord
    anchor: str
    outcome: OutcomeView
    training: PhaseView
    inference: PhaseView
    baseline: BaselineView | None
    wrong: WrongView
    curves: Curves
    curve_plots: tuple[CurveView, ...]
    documents: tuple[DocumentView, ...]
    more_differences: int
    legend: tuple[tuple[str, str, int], ...]

    @property
    def lowest(self) -> CheckView | None:
        """The check with the lowest margin; None without checks."""
        views = [
            check for phase in (self.training, self.inference) for metric in phase.metrics for check in metric.checks
        ]
        return min(views, key=lambda check: check.order, default=None)

    @property
    def facts(self) -> Iterator[tuple[str, str]]:
        """Name and value of each fact about the run."""
        run = self.record
        yield "Model test", f"{run.file}:{run.line}"
        yield "Environment", f"{run.environment} ({run.host})" if run.host else run.environment
        if run.repeats:
            yield "Training jobs", "; ".join(map(_repeat_job, run.repeats))
        elif run.job_id is not None:
            yield "Training job", f"{run.job_id} (re-attached)" if run.reattached else run.job_id
        if not run.repeats and node_text(run):
            yield "Node", node_text(run)
        if run.resources is not None:
            yield "Resources", resources_text(run.resources)
        if run.training.test_part is not None:
            yield "Test part", measured_on(run.training.test_part, run.training.comparison)
        if run.package is not None:
            yield "Package", f"{run.package.name} {run.package.version} ({run.package.content_hash[:12]})"
        if run.config:
            yield "Config", ", ".join(f"{name}: {_value(value)}" for name, value in run.config.items())
        if run.started is not None:
            yield "Started", utc(run.started)
        spent = [f"{name} {duration(value)}" for name, value in run.seconds if value is not None]
        if spent:
            yield "Time", ", ".join(spent)

    @property
    def trends(self) -> tuple[str, ...]:
        """Sentences on metrics that got worse over several runs."""
        return tuple(f"trend: {trend_sentence(trend)}" for trend in self.record.training.trends)

    @property
    def has_repeats(self) -> bool:
        """True if a check has the values of several trainings."""
        return any(check.repeats for metric in self.training.metrics for check in metric.checks)

    @property
    def links(self) -> dict[str, str]:
        return {name: url for name, url in self.record.links.items() if url.startswith(("https://", "http://"))}


def _repeat_job(repeat: RepeatRecord) -> str:
    node = node_text(repeat)
    return f"{repeat.job_id or 'none'} (seed {repeat.seed}{f', node {node}' if node else ''})"


def _value(value: object) -> str:
    return clipped(json.dumps(value, ensure_ascii=False, default=str), _LONGEST_VALUE)


def run_view(run: RunRecord, number: int) -> RunView:
    """View of a run; ``number`` is its position on the page, from 1."""
    arranged = curves(run.training.history, run.training.checks)
    differing, more = documents(run.inference)
    signs = tuple(plots.SYMBOLS.values())
    return RunView(
        record=run,
        anchor=f"run-{number}",
        outcome=_run_outcome(run),
        training=_phase("Training", run.training),
        inference=_phase("Inference", run.inference),
        baseline=baseline_view(run.training.baseline),
        wrong=WrongView(run.training),
        curves=arranged,
        curve_plots=tuple(CurveView(panel, plots.curve(panel, arranged.fields)) for panel in arranged.panels),
        documents=differing,
        more_differences=more,
        legend=tuple((name, signs[index], index + 1) for index, name in enumerate(arranged.fields)),
    )


def outcome_view(outcome: Outcome) -> OutcomeView:
    return OutcomeView(_IN_WORDS.get(outcome, outcome), *_OUTCOMES[outcome])


def _run_outcome(run: RunRecord) -> OutcomeView:
    outcomes = (run.training.outcome, run.inference.outcome)
    for outcome in ("failed", "passed", "xpassed", "xfailed", "skipped"):
        if outcome in outcomes:
            return outcome_view(outcome)
    return outcome_view("not run")


def _phase(name: str, record: TrainingRecord | InferenceRecord) -> PhaseView:
    return PhaseView(name, record, outcome_view(record.outcome), tuple(_metrics(record.checks)))


def _metrics(checks: Sequence[CheckRecord]) -> Iterator[MetricView]:
    for metric in dict.fromkeys(check.metric for check in checks):
        views = tuple(check_view(check) for check in checks if check.metric == metric)
        yield MetricView(metric, views, plots.margins(views))


def _bounds_word(checks: Iterable[CheckRecord]) -> str:
    """Word for the bounds of checks, which are minimums unless one of them has a maximum."""
    return "bounds" if any(check.maximum is not None for check in checks) else "minimums"
