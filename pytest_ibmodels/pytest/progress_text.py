"""Progress of a run as texts: one line for logs, and the parts of a bar for terminals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from pytest_ibmodels.redaction import redacted
from pytest_ibmodels.reports.figures import number
from pytest_ibmodels.reports.tables import clipped, one_line
from pytest_ibmodels.verdicts.metrics import ALL
from pytest_ibmodels.verdicts.reported import finite

if TYPE_CHECKING:
    from pytest_ibmodels.engine.case import Progress
    from pytest_ibmodels.spec import ModelTest

_LEAST_FRACTION = 0.02
"""Progress from which on the remaining time is estimated."""
_LONGEST_MESSAGE = 60


class ProgressText(NamedTuple):
    """Progress of a run in words.

    Attributes:
        title: run and phase.
        state: newest loss and metric, or else the environment's word for the state.
        fraction: 0 to 1; None if unknown.
        seconds: since the phase began.
        left: estimated seconds until it ends; None if unknown.
        message: what the job says itself.
        lost: how many answers of the environment were lost, in words; empty for none.
        others: how many runs are to train, in words; empty for none.
    """

    title: str
    state: str
    fraction: float | None
    seconds: float
    left: float | None = None
    message: str = ""
    lost: str = ""
    others: str = ""

    def line(self) -> str:
        """The progress as one line, for logs."""
        percent = "" if self.fraction is None else f"{self.fraction:.0%}"
        parts = [self.title, self.state, percent, self.lost, f"{self.seconds:.0f} s", self.others]
        return ", ".join(filter(None, parts))

    def heading(self) -> str:
        """The words before a bar."""
        return _safe(self.title)

    def status(self) -> str:
        """The words after a bar."""
        seconds = f"{self.seconds:.0f} s" + ("" if self.left is None else f", about {self.left:.0f} s left")
        message = clipped(_safe(self.message), _LONGEST_MESSAGE)
        return _safe(", ".join(filter(None, [seconds, self.state, self.lost, self.others, message])))


def _safe(text: str) -> str:
    hidden: str = redacted(one_line(text))
    return hidden


class RemainingTime:
    """Estimate of the seconds that are left, which falls between two polls that report progress."""

    def __init__(self) -> None:
        self._fraction: float | None = None
        self._end: float | None = None

    def seconds(self, fraction: float | None, elapsed: float) -> float | None:
        """Return the seconds that are left; None if too little is known.

        Args:
            fraction: newest progress of the phase.
            elapsed: seconds since the phase began.
        """
        if fraction != self._fraction:
            self._fraction = fraction
            is_usable = fraction is not None and _LEAST_FRACTION <= fraction <= 1
            self._end = elapsed / fraction if fraction and is_usable else None
        return None if self._end is None else max(0.0, self._end - elapsed)


def state_words(progress: Progress, test: ModelTest) -> str:
    """Newest loss and metric of a training; the environment's word for its state if it reported neither."""
    figures = [] if progress.loss is None else [f"loss {number(progress.loss)}"]
    figures += _metric(progress.metrics, test)
    return ", ".join(filter(None, [", ".join(figures) or progress.state, progress.repeats]))


def _metric(reported: Mapping[str, object] | None, test: ModelTest) -> list[str]:
    """The first metric of the model test that has a value; without any, the first F1 or accuracy."""
    reported = reported or {}
    bounded = [(metric, field) for metric, fields in test.metrics.items() for field in fields]
    others = [(metric, field) for metric in ("f1", "accuracy") for field in _fields(reported.get(metric))]
    for metric, field in (*bounded, *others):
        value = finite(_fields(reported.get(metric)).get(field))
        if value is not None:
            return [f"{metric} {number(value)}" if field == ALL else f"{metric} {field} {number(value)}"]
    return []


def _fields(given: object) -> Mapping[str, object]:
    return given if isinstance(given, Mapping) else {}
