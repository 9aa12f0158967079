"""From the record of a run to what the page's template shows of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pytest_ibmodels.reports.html import plots
from pytest_ibmodels.reports.html.curves import Curves, Panel, curves
from pytest_ibmodels.reports.html.formats import duration, plain, signed, utc
from pytest_ibmodels.reports.html.texts import DocumentView, documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from markupsafe import Markup

    from pytest_ibmodels.reports.record import CheckRecord, InferenceRecord, Outcome, RunRecord, TrainingRecord

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
_TOLD_ABOVE = {"metrics", "predictions differ", "check"}
"""Kinds of failure whose facts the page shows by itself; of others the text is what there is to see."""


@dataclass(frozen=True)
class OutcomeView:
    """An outcome in a word, with a sign and a tone, so that it needs no colour."""

    word: str
    sign: str
    tone: Tone


@dataclass(frozen=True)
class MetricView:
    """The checks of one metric, and their plot."""

    name: str
    checks: tuple[CheckRecord, ...]
    plot: Markup

    @property
    def description(self) -> str:
        """What a person who does not see the plot should know."""
        said = [
            f"{check.field} {plain(check.observed)} of at least {plain(check.minimum)}"
            + ("" if check.passed else ", which is too low" if check.observed is not None else ": no number")
            for check in self.checks
        ]
        return f"{self.name} against its minimums: " + "; ".join(said)


@dataclass(frozen=True)
class CurveView:
    """A panel and its plot."""

    panel: Panel
    plot: Markup


@dataclass(frozen=True)
class PhaseView:
    """A phase of a run.

    Attributes:
        tells: whether the failure's text has to be seen at once.
    """

    name: str
    record: TrainingRecord | InferenceRecord
    outcome: OutcomeView
    metrics: tuple[MetricView, ...]

    @property
    def tells(self) -> bool:
        return self.record.failure is not None and self.record.failure.kind not in _TOLD_ABOVE

    @property
    def problems(self) -> tuple[CheckRecord, ...]:
        """Checks without a number."""
        return tuple(check for check in self.record.checks if check.problem)


@dataclass(frozen=True)
class RunView:
    """A run, with all that is drawn of it.

    Attributes:
        legend: name, sign and number of the style of each line.
    """

    record: RunRecord
    anchor: str
    outcome: OutcomeView
    training: PhaseView
    inference: PhaseView
    curves: Curves
    curve_plots: tuple[CurveView, ...]
    documents: tuple[DocumentView, ...]
    more_differences: int
    legend: tuple[tuple[str, str, int], ...]

    @property
    def lowest(self) -> CheckRecord | None:
        """The check with the lowest margin; one without a number is lower than all."""
        checks = (*self.record.training.checks, *self.record.inference.checks)
        return min(checks, key=lambda c: float("-inf") if c.margin is None else c.margin, default=None)

    @property
    def facts(self) -> Iterator[tuple[str, str]]:
        """Name and value of what is to be known about the run."""
        run = self.record
        yield "Model test", f"{run.file}:{run.line}"
        yield "Environment", f"{run.environment} ({run.host})" if run.host else run.environment
        if run.job_id is not None:
            yield "Training job", f"{run.job_id} (re-attached)" if run.reattached else run.job_id
        if run.package is not None:
            yield "Package", f"{run.package.name} {run.package.version} ({run.package.content_hash[:12]})"
        if run.started is not None:
            yield "Started", utc(run.started)
        spent = [f"{name} {duration(value)}" for name, value in run.seconds if value is not None]
        if spent:
            yield "Time", ", ".join(spent)

    @property
    def links(self) -> dict[str, str]:
        return {name: url for name, url in self.record.links.items() if url.startswith(("https://", "http://"))}


def run_view(run: RunRecord, number: int) -> RunView:
    """Draw a run; ``number`` tells it from the others of the page."""
    arranged = curves(run.training.history, run.training.checks)
    differing, more = documents(run.inference)
    signs = tuple(plots.SYMBOLS.values())
    return RunView(
        record=run,
        anchor=f"run-{number}",
        outcome=_of_both(run),
        training=_phase("Training", run.training),
        inference=_phase("Inference", run.inference),
        curves=arranged,
        curve_plots=tuple(CurveView(panel, plots.curve(panel, arranged.fields)) for panel in arranged.panels),
        documents=differing,
        more_differences=more,
        legend=tuple((name, signs[index], index + 1) for index, name in enumerate(arranged.fields)),
    )


def outcome_view(outcome: Outcome) -> OutcomeView:
    return OutcomeView(_IN_WORDS.get(outcome, outcome), *_OUTCOMES[outcome])


def _of_both(run: RunRecord) -> OutcomeView:
    outcomes = (run.training.outcome, run.inference.outcome)
    for outcome in ("failed", "passed", "xpassed", "xfailed", "skipped"):
        if outcome in outcomes:
            return outcome_view(outcome)
    return outcome_view("not run")


def _phase(name: str, record: TrainingRecord | InferenceRecord) -> PhaseView:
    return PhaseView(name, record, outcome_view(record.outcome), tuple(_metrics(record.checks)))


def _metrics(checks: Sequence[CheckRecord]) -> Iterator[MetricView]:
    for metric in dict.fromkeys(check.metric for check in checks):
        mine = tuple(check for check in checks if check.metric == metric)
        yield MetricView(metric, mine, plots.margins(mine))


FILTERS = {"utc": utc, "plain": plain, "signed": signed, "duration": duration}
