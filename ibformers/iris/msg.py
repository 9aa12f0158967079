"""Short class names of the messages for the test window: `msg.TrainRequest`, if this file is on the path."""

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
