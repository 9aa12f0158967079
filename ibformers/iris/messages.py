"""The messages of the operations. Requests take whatever fields they are sent, as the production's test window does.

What the fields mean, and whether they can be used, is said by `ibformers.tuning`. An answer has the fields of its
operation's answer there, or `error`, and `field` where one is wrong.
"""

from __future__ import annotations

from typing import Any

from iop import PydanticMessage
from pydantic import ConfigDict, Field


class _Free(PydanticMessage):
    """A message with any fields."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    @property
    def given(self) -> dict[str, Any]:
        """The fields as they were sent."""
        return dict(self.model_extra or {})


class TrainRequest(_Free):
    """Fields of `ibformers.tuning.TrainRequest`, and arguments of `transformers.TrainingArguments`."""


class OverrideRequest(_Free):
    """Lets the model that waits take the place of the one in use; fields of `ibformers.tuning.OverrideRequest`."""


class RollbackRequest(_Free):
    """Brings back the model that the one in use took the place of. It has no fields."""


class MLRequest(_Free):
    """Fields of `ibformers.tuning.MLRequest`, and arguments of the pipeline."""


class Response(_Free):
    """An answer.

    Attributes:
        error: why nothing was done; absent where something was.
        field: the setting or request field that is wrong; absent where none is.
    """

    error: str | None = Field(default=None, exclude_if=lambda value: value is None)
    field: str | None = Field(default=None, exclude_if=lambda value: value is None)


class TrainResponse(Response):
    """Fields of `ibformers.tuning.TrainAnswer`."""


class OverrideResponse(Response):
    """Fields of `ibformers.tuning.TakeAnswer`."""


class RollbackResponse(Response):
    """Fields of `ibformers.tuning.TakeAnswer`."""


class MLResponse(Response):
    """What the pipeline says, in `outputs`, and the `version` of the model that said it."""
