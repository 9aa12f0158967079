"""Differences between a run and the newest run before it that passed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class ChangedSince:
    """Changes since the newest run that passed.

    Attributes:
        started: start of that run.
        commit: its git commit; empty if unknown.
        facts: what changed, as short phrases; empty if nothing that the history knows changed.
    """

    started: datetime
    commit: str = ""
    facts: tuple[str, ...] = ()
