"""Short names of the messages: with this file on the path, the test window takes `msg.TrainRequest` as class name."""

from __future__ import annotations

from ibformers.iris.messages import (
    MLRequest,
    MLResponse,
    OverrideRequest,
    OverrideResponse,
    RollbackRequest,
    RollbackResponse,
    TrainRequest,
    TrainResponse,
)

__all__ = [
    "MLRequest",
    "MLResponse",
    "OverrideRequest",
    "OverrideResponse",
    "RollbackRequest",
    "RollbackResponse",
    "TrainRequest",
    "TrainResponse",
]
