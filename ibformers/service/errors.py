"""What goes wrong when a model is tuned or asked: one class for each decision that a caller makes.

TuningError                  one sentence, no traceback; `field` names the setting or request field, if one is wrong
├── RequestRefused           a setting or a field of a request is wrong: change it
├── DatabaseUnavailable      the database could not be opened or read: try again, or look after it
├── NothingToTake            no model waits, or none was replaced: train first
├── ModelIsWorse             the new model is certainly worse than the one in use: train again, or force it
└── ModelBusy                the model is being trained: wait
"""

from __future__ import annotations

from ibformers.errors import TrainingInputError


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


class NothingToTake(TuningError):
    """There is no model to take the place of the one in use."""


class ModelIsWorse(TuningError):
    """The new model is certainly worse than the one in use, and nobody said that it is to be taken all the same."""


class ModelBusy(TuningError):
    """Another training of this model goes on."""
