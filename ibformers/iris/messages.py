"""Messages of the operations.

Requests accept any field; `ibformers.tuning` defines and checks the fields. A response has the fields of the answer in
`ibformers.tuning`, or `error`, and `field` if a single field is wrong.
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
        """The fields of the message."""
        return dict(self.model_extra or {})


class TrainRequest(_Free):
    """Request with the fields of `ibformers.tuning.TrainRequest` and arguments of `transformers.TrainingArguments`."""


class OverrideRequest(_Free):
    """Request to put the candidate in use, with the fields of `ibformers.tuning.OverrideRequest`."""


class RollbackRequest(_Free):
    """Request to put the previous model in use, with the fields of `ibformers.tuning.RollbackRequest`."""


class MLRequest(_Free):
    """Request with the fields of `ibformers.tuning.MLRequest` and arguments of the pipeline."""


class Response(_Free):
    """Response of an operation.

    Attributes:
        error: error message; absent if the operation succeeded.
        field: the setting or request field that is wrong; absent if there is none.
    """

    error: str | None = Field(default=None, exclude_if=lambda value: value is None)
    field: str | None = Field(default=None, exclude_if=lambda value: value is None)


class TrainResponse(Response):
    """Response with the fields of `ibformers.tuning.TrainAnswer`."""


class OverrideResponse(Response):
    """Response with the fields of `ibformers.tuning.TakeAnswer`."""


class RollbackResponse(Response):
    """Response with the fields of `ibformers.tuning.TakeAnswer`."""


class MLResponse(Response):
    """Response with the pipeline's answer in `outputs`, and the `version` of the model."""
