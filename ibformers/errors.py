"""Errors of the training code, in words for the person who passed something in.

TuningError                  one sentence, no traceback; `field` names the setting or request field, if one is wrong
├── RequestRefused           a setting or a field of a request is wrong: change it
├── DatabaseUnavailable      the database could not be opened or read: try again, or look after it
├── NoCandidate              no model waits, or none was replaced: train first
├── ModelIsWorse             the new model is certainly worse than the one in use: train again, or force it
└── ModelBusy                the model is being trained: wait
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class DocumentError(ValueError):
    """An OCR document does not have the form that it must have. The text is one sentence that names the document."""


class TrainingInputError(ValueError):
    """Training cannot go on with what it was given: dataset, documents or hyperparameters.

    Attributes:
        user_message: one sentence that says what, where, and what to do; enough without a traceback.
    """

    def __init__(self, user_message: str) -> None:
        super().__init__(user_message)
        self.user_message = user_message


class TuningError(TrainingInputError):
    """An operation did not do what it was asked to do, and changed nothing of the model in use.

    Attributes:
        user_message: one sentence that says what, where, and what to do.
        field: the setting or request field that is wrong; empty where none is.
    """

    def __init__(self, user_message: str, field: str = "") -> None:
        super().__init__(user_message)
        self.field = field


class RequestRefused(TuningError):
    """A setting or a field of a request cannot be used as it is."""


class DatabaseUnavailable(TuningError):
    """The database could not be opened or read."""


class NoCandidate(TuningError):
    """There is no model to take the place of the one in use."""


class ModelIsWorse(TuningError):
    """The new model is certainly worse than the one in use, and nobody said that it is to be taken all the same."""


class ModelBusy(TuningError):
    """Another training of this model goes on."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or the name of its class where it has none."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean NAME?)` with the most similar known name, or an empty text."""
    close = difflib.get_close_matches(name, [*known], n=1)
    return f" (did you mean {close[0]}?)" if close else ""
