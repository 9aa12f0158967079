"""Training curves, as a job reported them while it was polled.

Code that reports its whole history each time (``history`` and ``evaluations`` in the job's ``task_data``, as
``ibformers`` does) gives exact curves. For other code, the curves are the metrics that polls saw change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_ibmodels.verdicts.reported import finite

_MAX_POINTS = 1000
"""Maximum of either list, so that a report does not grow with what an environment reports."""


@dataclass(frozen=True)
class HistoryPoint:
    """One point of the curves; None, or empty, for values that were not reported.

    Attributes:
        epoch: epochs done, whole or not; ``step``: optimiser updates done; ``progress``: 0..1.
        loss: training loss; ``learning_rate``: at this step.
        metrics: metric → field → value of the model at this point; only finite numbers.
    """

    epoch: float | None = None
    step: float | None = None
    progress: float | None = None
    loss: float | None = None
    learning_rate: float | None = None
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def reported_history(task_data: Mapping[str, Any]) -> tuple[HistoryPoint, ...]:
    """Read the curves that a job reports; malformed points are dropped, since no verdict depends on them."""
    points: list[HistoryPoint] = []
    for key in ("history", "evaluations"):
        reported = task_data.get(key)
        if isinstance(reported, list):
            kept = [point for point in reported if isinstance(point, Mapping)]
            points += map(_point, kept[:: math.ceil(len(kept) / _MAX_POINTS) or 1])
    return tuple(sorted(points, key=lambda point: point.step or 0.0))


@dataclass
class History:
    """Collects the curves of one job, poll by poll."""

    _reported: tuple[HistoryPoint, ...] = ()
    _polled: list[HistoryPoint] = field(default_factory=list)

    @property
    def points(self) -> tuple[HistoryPoint, ...]:
        """The job's own history if it reports one, else the points that polls saw."""
        return self._reported or tuple(self._polled)

    def record(self, progress: float | None, metrics: object, reported: tuple[HistoryPoint, ...]) -> None:
        """Record one poll: progress (0..1), ``evaluation_results``, and the job's own history."""
        self._reported = reported or self._reported
        numbers = _numbers(metrics)
        if numbers and (not self._polled or self._polled[-1].metrics != numbers) and len(self._polled) < _MAX_POINTS:
            self._polled.append(HistoryPoint(progress=progress, metrics=numbers))


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
