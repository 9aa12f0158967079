"""A metric that got worse over several runs, as the history shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class Trend:
    """A metric that got worse.

    Attributes:
        before: mean of the values before.
        after: mean of the values since, or the single value beyond the prediction bound.
        first: number of the first run with worse values, from 1.
        runs: number of runs in the series, with the newest.
        started, commit: start and commit of the first run with worse values; the commit may be empty.
        is_persistent: True for a shift of the mean, False for a single value beyond the prediction bound.
    """

    metric: str
    field: str
    before: float
    after: float
    first: int
    runs: int
    started: datetime
    commit: str
    is_persistent: bool
