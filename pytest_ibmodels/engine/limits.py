"""The limits that the engine keeps, apart from a model test's own time limit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Seconds.

    Attributes:
        longest_poll: between two looks at a job.
        startup: that an environment may take until it answers for the first time.
        upload: that putting the code there and unpacking it may take.
        queue: that a training job may wait in the environment's queue.
        inference: that inference of one model test may take.
    """

    longest_poll: float = 10.0
    startup: float = 60.0
    upload: float = 300.0
    queue: float = 3600.0
    inference: float = 300.0
