"""Cases of a history: runs that may be compared, with the repeats of a case taken together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from pytest_ibmodels.history.runs import StoredMetric, StoredRun


@dataclass(frozen=True)
class Value:
    """Value of a metric in a run, or its mean over the repeats of a case."""

    started: datetime
    value: float
    count: int | None


def comparable_runs(runs: Iterable[StoredRun]) -> list[StoredRun]:
    """Return the runs that may be compared with the newest one: same test part and config, without errors."""
    ended = sorted(
        (run for run in runs if run.verdict != "error" and run.metrics),
        key=lambda run: (run.started, run.repeat, run.id),
    )
    return [
        run for run in ended if (run.fingerprint, run.config_hash) == (ended[-1].fingerprint, ended[-1].config_hash)
    ]


def cases_of(runs: Sequence[StoredRun]) -> list[list[StoredRun]]:
    """Group the repeats of each case, whose mean is what its bounds are held to."""
    cases: list[list[StoredRun]] = []
    open_cases: dict[tuple[str, str, int], list[StoredRun]] = {}
    for run in runs:
        if run.repeats == 1:
            cases.append([run])
            continue
        key = (run.ci_run, run.commit, run.repeats)
        case = open_cases.get(key, [])
        if not case or len(case) >= run.repeats or any(other.repeat == run.repeat for other in case):
            case = open_cases[key] = []
            cases.append(case)
        case.append(run)
    return cases


def mean_of(case: Sequence[StoredRun], metric: str, field: str) -> Value | None:
    """Return the mean of a metric over the repeats of a case; None if no repeat has a value."""
    found = [one for run in case for one in run.metrics if (one.metric, one.field) == (metric, field)]
    return _mean(case, found)


def means_of(case: Sequence[StoredRun]) -> dict[tuple[str, str], Value]:
    """Return what :func:`mean_of` returns for each metric and field that has a value."""
    found: dict[tuple[str, str], list[StoredMetric]] = {}
    for run in case:
        for one in run.metrics:
            found.setdefault((one.metric, one.field), []).append(one)
    means = {name: _mean(case, several) for name, several in found.items()}
    return {name: mean for name, mean in means.items() if mean is not None}


def _mean(case: Sequence[StoredRun], found: Sequence[StoredMetric]) -> Value | None:
    values = [one.value for one in found if one.value is not None and math.isfinite(one.value)]
    return Value(case[0].started, fmean(values), found[0].count) if values else None
