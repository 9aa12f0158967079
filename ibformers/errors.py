"""Errors of the training code. Their messages are for the user, who needs no traceback.

DocumentError                an OCR document is malformed
TrainingInputError           dataset, documents or hyperparameters are unusable
└── TuningError              an operation on a model failed; `field` names the setting or request field
    ├── RequestRefused       a setting or a field of a request is invalid: change it
    ├── DatabaseUnavailable  the database could not be opened or read: retry
    ├── NoCandidate          there is no candidate, or no previous model: train first
    ├── ModelChanged         another version is in use, or waits, than the request expects: look again
    ├── ModelIsWorse         the candidate is certainly worse than the model in use: train again, or use force
    └── ModelBusy            another training of this model is running: wait
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class DocumentError(ValueError):
    """An OCR document is malformed; the message is one sentence that names the document."""


class TrainingInputError(ValueError):
    """The dataset, a document or a hyperparameter is unusable for training.

    Attributes:
        user_message: one sentence that says what is wrong, where, and what to do.
    """

    def __init__(self, user_message: str) -> None:
        super().__init__(user_message)
        self.user_message = user_message


class TuningError(TrainingInputError):
    """An operation on a model failed; the model in use is unchanged.

    Attributes:
        user_message: one sentence that says what is wrong, where, and what to do.
        field: invalid setting or request field; empty if there is none.
    """

    def __init__(self, user_message: str, field: str = "") -> None:
        super().__init__(user_message)
        self.field = field


class RequestRefused(TuningError):
    """A setting or a field of a request is invalid."""


class DatabaseUnavailable(TuningError):
    """The database could not be opened or read."""


class NoCandidate(TuningError):
    """There is no candidate to promote, or no previous model to roll back to."""


class ModelChanged(TuningError):
    """Another version is in use, or waits, than the request expects."""


class ModelIsWorse(TuningError):
    """The candidate is certainly worse than the model in use, and `force` is not set."""


class ModelBusy(TuningError):
    """Another training of this model is running."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class if the message is empty."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean NAME?)` with the most similar known name, or an empty text."""
    close = difflib.get_close_matches(name, [*known], n=1)
    return f" (did you mean {close[0]}?)" if close else ""
