"""Trend alerts of a model test: metrics that got worse, as of its newest run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.history.cases import cases_of, comparable_runs, means_of
from pytest_ibmodels.history.trend import new_drops, new_shifts
from pytest_ibmodels.verdicts.metrics import is_low_better
from pytest_ibmodels.verdicts.trends import Trend

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_ibmodels.history.runs import StoredRun

TREND_RUNS = 200
"""Number of the newest runs of a case in which trends are looked for."""


def trend_alerts(runs: Iterable[StoredRun], min_shift: float) -> list[Trend]:
    """Return the alerts that the newest run of a case caused; each shift is alerted once, when it becomes significant.

    Args:
        runs: runs of one model test in one environment.
        min_shift: smallest change of a metric that is alerted.
    """
    cases = cases_of(comparable_runs(runs))
    if not cases:
        return []
    newest = cases[-1][-1]
    fields: dict[str, list[str]] = {}
    for metric in newest.metrics:
        fields.setdefault(metric.metric, []).append(metric.field)
    means = [means_of(case) for case in cases]
    found = []
    for name, of_metric in fields.items():
        series = {field: [of_case.get((name, field)) for of_case in means] for field in of_metric}
        values = {
            field: [None if mean is None else mean.value for mean in several] for field, several in series.items()
        }
        counts = {field: last.count for field, several in series.items() if (last := several[-1]) and last.count}
        is_low = is_low_better(name)
        shifts = new_shifts(values, low_is_better=is_low, min_shift=min_shift)
        drops = new_drops(values, low_is_better=is_low, min_shift=min_shift, counts=counts)
        for is_persistent, changes in ((True, shifts), (False, drops)):
            for field, change in changes.items():
                since = cases[change.start][0]
                found.append(
                    Trend(
                        name,
                        field,
                        change.before,
                        change.after,
                        first=change.start + 1,
                        runs=len(cases),
                        started=since.started,
                        commit=since.commit,
                        is_persistent=is_persistent,
                    )
                )
    return found
