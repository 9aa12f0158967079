"""Answers of an environment that were lost on the way: counted, and told in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.instabase.errors import UnexpectedAnswer
from pytest_ibmodels.instabase.policy import is_transient

if TYPE_CHECKING:
    from pytest_ibmodels.engine.case import Run


def is_lost(error: BaseException) -> bool:
    """Whether an answer about a job was lost; an answer of another form than it should have counts as such."""
    return isinstance(error, TimeoutError | UnexpectedAnswer) or is_transient(error)


def asked_to_wait(error: BaseException) -> float:
    """The seconds that the environment asked to wait; 0 if it did not."""
    return getattr(error, "retry_after", None) or 0.0


class LostResponses:
    """Counts the answers that a run lost, and keeps the one note on all of them."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._note = ""

    def add(self, error: BaseException) -> None:
        self._run.lost_answers += 1
        notes, count = self._run.notes, self._run.lost_answers
        if self._note in notes:
            notes.remove(self._note)
        self._note = f"{count} answer{'s' * (count != 1)} lost, the last one so: {str(error) or 'no answer in time'}"
        notes.append(self._note)
