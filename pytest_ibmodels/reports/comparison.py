"""Environments side by side: the metrics that the same model test reached on each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ibmodels.verdicts.better import TOLERANCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_ibmodels.reports.record import RunRecord


@dataclass(frozen=True)
class SideBySideRow:
    """A metric of one field of a model test on all environments.

    Attributes:
        observed: one value per environment, in their order; None for no value.
        low_is_better: the metric has a maximum and no minimum.
    """

    test: str
    field: str
    metric: str
    observed: tuple[float | None, ...]
    low_is_better: bool = False

    @property
    def worst(self) -> frozenset[int]:
        """Indices of the lowest values, or of the highest if low is better; empty if all values are equal."""
        values = [value for value in self.observed if value is not None]
        if not values or max(values) - min(values) <= TOLERANCE:
            return frozenset()
        worst = max(values) if self.low_is_better else min(values)
        known = [(index, value) for index, value in enumerate(self.observed) if value is not None]
        return frozenset(index for index, value in known if abs(value - worst) <= TOLERANCE)

    @property
    def sign(self) -> str:
        """Mark of the worst value in plain text."""
        return ">" if self.low_is_better else "<"


@dataclass(frozen=True)
class SideBySide:
    """Table of metrics with a column per environment."""

    environments: tuple[str, ...]
    rows: tuple[SideBySideRow, ...]


def side_by_side(runs: Sequence[RunRecord]) -> SideBySide:
    """Table of the metrics of all model tests that trained on at least two environments."""
    trained: dict[tuple[str, str], list[RunRecord]] = {}
    for run in runs:
        if any(check.observed is not None for check in run.training.checks):
            trained.setdefault((run.file, run.test), []).append(run)
    groups = [group for group in trained.values() if len(group) > 1]
    environments = tuple(sorted({run.environment for group in groups for run in group}))
    return SideBySide(environments, tuple(row for group in groups for row in _rows(group, environments)))


def _rows(group: Sequence[RunRecord], environments: tuple[str, ...]) -> list[SideBySideRow]:
    observed: dict[tuple[str, str], dict[str, float | None]] = {}
    low: set[tuple[str, str]] = set()
    for run in group:
        for check in run.training.checks:
            observed.setdefault((check.field, check.metric), {})[run.environment] = check.observed
            if check.minimum is None and check.maximum is not None:
                low.add((check.field, check.metric))
    return [
        SideBySideRow(
            group[0].test, field, metric, tuple(values.get(name) for name in environments), (field, metric) in low
        )
        for (field, metric), values in observed.items()
    ]
