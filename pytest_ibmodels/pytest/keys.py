"""Stash keys that several modules of this room share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_ibmodels.engine.case import Run
    from pytest_ibmodels.pytest.hook_calls import HookCalls

PhaseOutcome = dict[str, Any]
"""The fields ``outcome``, ``reason`` and ``failure`` of a phase's record."""

# On the config.
ACTIVE = pytest.StashKey[bool]()
"""Present once a file of model tests is collected."""
NOT_OURS = pytest.StashKey[list[str]]()
"""Files that are named like model tests and belong to another tool."""
SHORT_OPTIONS = pytest.StashKey[frozenset[str]]()
"""Options that also have their short name."""
HOOK_CALLS: pytest.StashKey[list[HookCalls]] = pytest.StashKey()
"""Hook calls of every run that was started."""

# On the node of a case.
RUN: pytest.StashKey[Run] = pytest.StashKey()
"""The latest run of the case."""
OUTCOMES: pytest.StashKey[dict[str, PhaseOutcome]] = pytest.StashKey()
"""Phase → outcome of its item, for phases that have been reported."""
