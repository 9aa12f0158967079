"""A check with its numbers and words as the page shows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_ibmodels.reports.figures import figures
from pytest_ibmodels.reports.html.formats import typeset

if TYPE_CHECKING:
    from pytest_ibmodels.reports.record import CheckRecord


@dataclass(frozen=True)
class CheckView:
    """A check with its numbers as text. A missing number is a dash, a missing margin is empty."""

    record: CheckRecord
    observed: str
    minimum: str
    maximum: str
    margin: str
    interval: str
    repeats: tuple[str, ...] = ()

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
        text = f"{record.field} {self.observed} of {' and '.join(bounds) or 'an unknown minimum'}"
        if record.observed is None:
            return f"{text}: no number"
        if record.passed:
            return text
        too_low = record.minimum is not None and record.observed < record.minimum
        return f"{text}, which is too {'low' if too_low else 'high'}"

    @property
    def order(self) -> float:
        """The margin, to sort by; a check that failed without a number sorts below all others."""
        if self.record.margin is None:
            return float("inf") if self.record.passed else float("-inf")
        return self.record.margin


def check_view(check: CheckRecord) -> CheckView:
    numbers = figures(check)
    observed, minimum, maximum = map(typeset, (numbers.observed, numbers.minimum, numbers.maximum))
    margin = "" if check.margin is None else typeset(numbers.margin)
    repeats = tuple(map(typeset, numbers.repeats.split(", "))) if check.repeats else ()
    return CheckView(check, observed, minimum, maximum, margin, numbers.interval, repeats)
