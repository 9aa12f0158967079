"""Removing from an environment what the journal still holds of processes that are no longer alive."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from pytest_ibmodels.engine.connection import connected
from pytest_ibmodels.engine.failures import RunFailure
from pytest_ibmodels.engine.publishing import for_each_environment
from pytest_ibmodels.instabase.errors import AccessRefused, InstabaseError
from pytest_ibmodels.instabase.policy import is_transient
from pytest_ibmodels.instabase.retrying import Retrier
from pytest_ibmodels.journal.environment import environment_id
from pytest_ibmodels.journal.removal import (
    ORDER,
    remove,
    remove_if_empty,
)
from pytest_ibmodels.journal.store import JournalError
from pytest_ibmodels.redaction import redacted
from pytest_ibmodels.spec import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_ibmodels.instabase.client import Instabase
    from pytest_ibmodels.journal.store import Entry, Journal
    from pytest_ibmodels.spec import Environment


class SweepStatus(StrEnum):
    """What became of a thing."""

    REMOVED = "removed"
    WOULD_REMOVE = "would be removed"
    LEFT = "left"


@dataclass(frozen=True)
class SweepResult:
    """What became of one thing; ``reason`` says why it was left, else it is empty."""

    entry: Entry
    fate: SweepStatus
    reason: str = ""


def dry(entries: Sequence[Entry]) -> list[SweepResult]:
    """What :func:`sweep` would do, in its order; nothing is asked of an environment."""
    return [SweepResult(entry, SweepStatus.WOULD_REMOVE) for entry in _ordered(entries)]


async def sweep(
    environment: Environment,
    entries: Sequence[Entry],
    journal: Journal,
    *,
    seconds: float | None = None,
    patience: Retrier | None = None,
) -> list[SweepResult]:
    """Remove things of dead processes from their environment, and from the journal.

    Whatever fails is an outcome, not an exception; such a thing stays in the journal.

    Args:
        environment: as `environments.yaml` has it now.
        entries: all of this environment.
        journal: the one that holds them.
        seconds: after which the rest is left; None: when it is done.
        patience: sends calls again after faults that pass; None: as the policies of the calls say.
    """
    try:
        place = environment_id(environment.resolve(os.environ))
    except SpecError as error:
        return _left(entries, "; ".join(str(error).splitlines()))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this environment's, and the others are swept
        return _left(entries, _unforeseen(error))
    here = [entry for entry in entries if entry.place == place]
    outcomes: list[SweepResult] = []
    for other in sorted({entry.place for entry in entries} - {place}):
        now = place or "a temporary sandbox"
        outcomes += _left(
            [one for one in entries if one.place == other], f"it is on {other}; this name now means {now}"
        )
    if not here:
        return outcomes
    errand = _SweepTask(here, journal)
    try:
        patience = patience or Retrier()
        async with asyncio.timeout(seconds), connected(environment, changes=True, patience=patience) as connection:
            await errand.run(connection.client)
    except TimeoutError:
        errand.leave_rest("there was no time for it")
    except (RunFailure, JournalError, InstabaseError) as error:
        errand.leave_rest("; ".join(str(error).splitlines()))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this environment's, and the others are swept
        errand.leave_rest(_unforeseen(error))
    return outcomes + errand.outcomes


class _SweepTask:
    """Sweeping one environment, thing after thing."""

    def __init__(self, entries: Sequence[Entry], journal: Journal) -> None:
        self.outcomes: list[SweepResult] = []
        self._rest = _ordered(entries)
        self._journal = journal
        self._busy: set[str] = set()
        """Folders into which a job may still write."""

    async def run(self, client: Instabase) -> None:
        used = {one.folder: one for one in await asyncio.to_thread(self._journal.in_use) if one.kind == "job"}
        parents = {entry.name.rpartition("/")[0] for entry in self._rest if entry.kind == "folder"}
        while self._rest:
            entry = self._rest[0]
            if entry.kind == "folder" and entry.name in used:
                outcome = SweepResult(
                    entry, SweepStatus.LEFT, f"process {used[entry.name].pid} goes on with a job in it"
                )
            elif entry.kind == "folder" and entry.name in self._busy:
                outcome = SweepResult(entry, SweepStatus.LEFT, "a job may still write into it")
            else:
                outcome = await self._remove(client, entry)
            self.outcomes.append(outcome)
            self._rest.pop(0)
        for parent in parents:
            await remove_if_empty(client, parent)

    async def _remove(self, client: Instabase, entry: Entry) -> SweepResult:
        try:
            await remove(client, entry)
        except InstabaseError as error:
            if is_transient(error) or isinstance(error, AccessRefused):
                raise  # the rest would fare no better
            if entry.kind == "job":
                self._busy.add(entry.folder)
            return SweepResult(entry, SweepStatus.LEFT, str(error))
        await self._journal.remove(entry)
        return SweepResult(entry, SweepStatus.REMOVED)

    def leave_rest(self, reason: str) -> None:
        self.outcomes += _left(self._rest, reason)


def _unforeseen(error: Exception) -> str:
    return str(redacted(f"{type(error).__name__}: {'; '.join(str(error).splitlines())}"))


def _left(entries: Sequence[Entry], reason: str) -> list[SweepResult]:
    return [SweepResult(entry, SweepStatus.LEFT, reason) for entry in _ordered(entries)]


def _ordered(entries: Sequence[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: ORDER.index(entry.kind))


def sweep_environments(
    known: Mapping[str, Environment],
    entries: Sequence[Entry],
    journal: Journal,
    *,
    seconds: float | None = None,
    tell: Callable[[str, str], None] | None = None,
) -> tuple[list[SweepResult], bool]:
    """Remove leftovers from all their environments at once.

    Args:
        known: name → environment of ``environments.yaml``.
        entries: journal entries to remove.
        journal: the journal that holds the entries.
        seconds: timeout; None waits until everything is removed.
        tell: called with an environment's name and a sentence on what takes long there.

    Returns:
        The result of each entry, and whether Ctrl-C or SIGTERM interrupted the removal.
    """
    by_name: dict[str, list[Entry]] = {}
    for entry in entries:
        by_name.setdefault(entry.environment, []).append(entry)

    async def visit(environment: Environment) -> list[SweepResult]:
        def on_retry(_error: BaseException, sentence: str) -> None:
            if tell is not None:
                tell(environment.name, sentence)

        mine = by_name[environment.name]
        return await sweep(environment, mine, journal, seconds=seconds, patience=Retrier(on_retry=on_retry))

    ended, interrupted = for_each_environment([known[name] for name in by_name if name in known], visit)
    outcomes: list[SweepResult] = []
    for name, several in by_name.items():
        reason = "interrupted" if name in known else "environments.yaml no longer names this environment"
        outcomes += ended.get(name) or [SweepResult(entry, SweepStatus.LEFT, reason) for entry in several]
    return outcomes, interrupted
