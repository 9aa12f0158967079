"""Annotations in GitHub Actions on the lines of model tests: trends, and baselines that do not hold.

They are workflow commands, lines such as `::warning file=FILE,line=LINE::MESSAGE` on stdout (GitHub, "Workflow commands
for GitHub Actions").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pytest_ibmodels.reports.baselines import cells, verdict_sentence
from pytest_ibmodels.reports.tables import one_line
from pytest_ibmodels.reports.trends import trend_sentence
from pytest_ibmodels.verdicts.metrics import ALL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_ibmodels.reports.record import BaselineRecord, RunRecord

Level = Literal["warning", "error"]

_MOST_CHANGES = 10


def annotation_commands(
    run: RunRecord, file: str, hidden: Callable[[str], str], *, with_failures: bool
) -> Iterator[str]:
    """Yield the commands that annotate the line of a run's model test.

    Args:
        run: the run.
        file: its file as GitHub knows it, relative to the repository.
        hidden: removes secrets from a text.
        with_failures: also annotate what failed the training; False if another plugin annotates failed items.
    """
    training = run.training
    has_failed = training.outcome == "failed"
    if training.baseline is not None and training.baseline.outcome != "holds":
        level: Level = "error" if has_failed and not training.baseline.passed else "warning"
        if with_failures or level == "warning":
            yield _command(level, file, run, hidden, list(_baseline_lines(training.baseline)))
    level = "error" if has_failed and training.failure is not None and training.failure.kind == "trend" else "warning"
    if with_failures or level == "warning":
        for trend in training.trends:
            yield _command(level, file, run, hidden, [trend_sentence(trend)])


def _baseline_lines(baseline: BaselineRecord) -> Iterator[str]:
    yield verdict_sentence(baseline)
    changes = [change for change in baseline.changes if change.outcome != "holds"]
    for change in changes[:_MOST_CHANGES]:
        metric, field, new, old, difference, interval, verdict = cells(change)
        name = metric if change.field == ALL else f"{metric} of {field}"
        yield f"{name}: {new}, baseline {old}, difference {difference} (90 % interval {interval}): {verdict}"
    if len(changes) > _MOST_CHANGES:
        yield f"and {len(changes) - _MOST_CHANGES} more metrics"


def _command(level: Level, file: str, run: RunRecord, hidden: Callable[[str], str], lines: list[str]) -> str:
    message = "\n".join(one_line(hidden(line)) for line in lines)
    title = one_line(hidden(run.title))
    return f"::{level} file={_property(file)},line={run.line},title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
