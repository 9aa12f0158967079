"""How a training went: points of its curves, as the job reported them while it was looked at.

Code that reports its whole history each time (``history`` and ``evaluations`` in the job's ``task_data``, as
``ibformers`` does) gives exact curves. Of other code there is what the looks saw: metrics whenever they changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_ibmodels.verdicts.reported import finite

_MOST_POINTS = 1000
"""Of either list: an environment may report as much as it likes, a report may not grow with it."""


@dataclass(frozen=True)
class HistoryPoint:
    """One point; what was not reported is None, or empty.

    Attributes:
        epoch: epochs done, whole or not; ``step``: optimiser updates done; ``progress``: from 0 to 1.
        loss: of training; ``learning_rate``: at this step.
        metrics: metric → field → value, of the model as it was then; values that are no finite numbers are left out.
    """

    epoch: float | None = None
    step: float | None = None
    progress: float | None = None
    loss: float | None = None
    learning_rate: float | None = None
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def reported_history(task_data: Mapping[str, Any]) -> tuple[HistoryPoint, ...]:
    """Read the curves that a job reports; what does not have their form is passed over: no verdict hangs on it."""
    points: list[HistoryPoint] = []
    for key in ("history", "evaluations"):
        reported = task_data.get(key)
        if isinstance(reported, list):
            kept = [point for point in reported if isinstance(point, Mapping)]
            points += map(_point, kept[:: math.ceil(len(kept) / _MOST_POINTS) or 1])
    return tuple(sorted(points, key=lambda point: point.step or 0.0))


@dataclass
class History:
    """Collects what looks at one job see."""

    _reported: tuple[HistoryPoint, ...] = ()
    _seen: list[HistoryPoint] = field(default_factory=list)

    @property
    def points(self) -> tuple[HistoryPoint, ...]:
        """The job's own history if it reports one, else what was seen."""
        return self._reported or tuple(self._seen)

    def saw(self, progress: float | None, metrics: object, reported: tuple[HistoryPoint, ...]) -> None:
        """Keep what one look saw: progress, ``evaluation_results``, and the job's own history."""
        self._reported = reported or self._reported
        numbers = _numbers(metrics)
        if numbers and (not self._seen or self._seen[-1].metrics != numbers) and len(self._seen) < _MOST_POINTS:
            self._seen.append(HistoryPoint(progress=progress, metrics=numbers))


def _point(reported: Mapping[str, Any]) -> HistoryPoint:
    return HistoryPoint(
        **{name: finite(reported.get(name)) for name in ("epoch", "step", "progress", "loss", "learning_rate")},
        metrics=_numbers(reported.get("metrics")),
    )


def _numbers(metrics: object) -> dict[str, dict[str, float]]:
    if not isinstance(metrics, Mapping):
        return {}
    found: dict[str, dict[str, float]] = {}
    for metric, fields in metrics.items():
        if isinstance(fields, Mapping):
            values = {str(name): number for name, value in fields.items() if (number := finite(value)) is not None}
            if values:
                found[str(metric)] = values
    return found
