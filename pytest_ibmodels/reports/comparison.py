"""Environments side by side: what the same model test reached on each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_ibmodels.reports.record import RunRecord


@dataclass(frozen=True)
class ComparisonRow:
    """A field of a model test by one metric.

    Attributes:
        observed: a value per environment, in the order of the comparison; None where there is none.
    """

    test: str
    field: str
    metric: str
    observed: tuple[float | None, ...]

    @property
    def lowest(self) -> frozenset[int]:
        """Indices of the lowest values; none if all are the same."""
        values = [value for value in self.observed if value is not None]
        if len(set(values)) < 2:
            return frozenset()
        return frozenset(index for index, value in enumerate(self.observed) if value == min(values))


@dataclass(frozen=True)
class Comparison:
    """``environments`` are the columns."""

    environments: tuple[str, ...]
    rows: tuple[ComparisonRow, ...]


def compare(runs: Sequence[RunRecord]) -> Comparison:
    """Put the metrics of model tests that trained on at least two environments side by side."""
    trained: dict[tuple[str, str], list[RunRecord]] = {}
    for run in runs:
        if any(check.observed is not None for check in run.training.checks):
            trained.setdefault((run.file, run.test), []).append(run)
    compared = [group for group in trained.values() if len(group) > 1]
    environments = tuple(sorted({run.environment for group in compared for run in group}))
    return Comparison(environments, tuple(row for group in compared for row in _rows(group, environments)))


def _rows(group: Sequence[RunRecord], environments: tuple[str, ...]) -> list[ComparisonRow]:
    observed: dict[tuple[str, str], dict[str, float | None]] = {}
    for run in group:
        for check in run.training.checks:
            observed.setdefault((check.field, check.metric), {})[run.environment] = check.observed
    return [
        ComparisonRow(group[0].test, field, metric, tuple(values.get(name) for name in environments))
        for (field, metric), values in observed.items()
    ]
