"""From the record of a run to what the page's template shows of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pytest_ibmodels.reports.figures import figures, span
from pytest_ibmodels.reports.html import plots
from pytest_ibmodels.reports.html.curves import Curves, Panel, curves
from pytest_ibmodels.reports.html.formats import MINUS, NOTHING, apart, duration, plain, signed, utc
from pytest_ibmodels.reports.html.texts import DocumentView, documents
from pytest_ibmodels.reports.versus import measured_on

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
class CheckView:
    """A check with its numbers as the page shows them; empty or a dash is what it has not."""

    record: CheckRecord
    observed: str
    minimum: str
    maximum: str
    margin: str
    interval: str

    @property
    def sign(self) -> str:
        return "✓" if self.record.passed else "✕"

    @property
    def verdict(self) -> str:
        if self.record.undecided:
            return f"{self.sign} undecided"
        return f"{self.sign} reached" if self.record.passed else f"{self.sign} not reached"

    @property
    def description(self) -> str:
        """The check in words."""
        record = self.record
        bounds = [f"at least {self.minimum}"] if record.minimum is not None else []
        bounds += [f"at most {self.maximum}"] if record.maximum is not None else []
        said = f"{record.field} {self.observed} of {' and '.join(bounds) or 'an unknown minimum'}"
        if record.observed is None:
            return f"{said}: no number"
        if record.passed:
            return said
        too_low = record.minimum is not None and record.observed < record.minimum
        return f"{said}, which is too {'low' if too_low else 'high'}"


@dataclass(frozen=True)
class MetricView:
    """The checks of one metric, and their plot."""

    name: str
    checks: tuple[CheckView, ...]
    plot: Markup

    @property
    def description(self) -> str:
        """What a person who does not see the plot should know."""
        bounds = "bounds" if any(check.record.maximum is not None for check in self.checks) else "minimums"
        return f"{self.name} against its {bounds}: " + "; ".join(check.description for check in self.checks)


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
    def bounds(self) -> str:
        """The word for what the metrics are held to."""
        return "bounds" if any(check.maximum is not None for check in self.record.checks) else "minimums"

    @property
    def has_maximum(self) -> bool:
        return any(check.maximum is not None for check in self.record.checks)

    @property
    def has_interval(self) -> bool:
        return any(check.interval or check.remark for check in self.record.checks)

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
    def lowest(self) -> CheckView | None:
        """The check with the lowest margin; one that failed without a number is lower than all."""
        views = [
            check for phase in (self.training, self.inference) for metric in phase.metrics for check in metric.checks
        ]
        return min(views, key=_lowness, default=None)

    @property
    def facts(self) -> Iterator[tuple[str, str]]:
        """Name and value of what is to be known about the run."""
        run = self.record
        yield "Model test", f"{run.file}:{run.line}"
        yield "Environment", f"{run.environment} ({run.host})" if run.host else run.environment
        if run.job_id is not None:
            yield "Training job", f"{run.job_id} (re-attached)" if run.reattached else run.job_id
        if run.training.test_part is not None:
            yield "Test part", measured_on(run.training.test_part, run.training.comparison)
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
        mine = tuple(_check_view(check) for check in checks if check.metric == metric)
        yield MetricView(metric, mine, plots.margins(mine))


def _check_view(check: CheckRecord) -> CheckView:
    written = figures(check)
    observed, minimum, maximum = map(_number, (written.observed, written.minimum, written.maximum))
    margin = "" if check.margin is None else written.margin.replace("-", MINUS)
    return CheckView(check, observed, minimum, maximum, margin, written.interval)


def _number(text: str) -> str:
    return NOTHING if text == "-" else text.replace("-", MINUS)


def _lowness(check: CheckView) -> float:
    record = check.record
    if record.margin is None:
        return float("inf") if record.passed else float("-inf")
    return record.margin


FILTERS = {"utc": utc, "plain": plain, "apart": apart, "duration": duration, "span": span, "signed": signed}
