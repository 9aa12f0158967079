"""The limits that the engine keeps, apart from a model test's own time limit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Seconds: the longest interval between two looks at a job, and what unpacking and inference may take."""

    longest_poll: float = 10.0
    upload: float = 300.0
    inference: float = 300.0
