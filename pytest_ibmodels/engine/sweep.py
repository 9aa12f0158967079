"""Removing from environments what processes that are no longer alive left in the journal."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from pytest_ibmodels.engine.connection import connect, for_each_environment
from pytest_ibmodels.engine.failures import RunFailure
from pytest_ibmodels.instabase.errors import AccessRefused, InstabaseError
from pytest_ibmodels.instabase.policy import is_transient
from pytest_ibmodels.instabase.retrying import Retrier
from pytest_ibmodels.journal.environment import environment_id
from pytest_ibmodels.journal.removal import ORDER, remove, remove_if_empty
from pytest_ibmodels.journal.store import JournalError
from pytest_ibmodels.redaction import redacted
from pytest_ibmodels.spec import SpecError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_ibmodels.instabase.client import Instabase
    from pytest_ibmodels.journal.store import Entry, Journal
    from pytest_ibmodels.spec import Environment


class SweepStatus(StrEnum):
    """Outcome for one journal entry."""

    REMOVED = "removed"
    WOULD_REMOVE = "would be removed"
    LEFT = "left"


@dataclass(frozen=True)
class SweepResult:
    """Outcome for one journal entry; ``reason`` says why it was left, else it is empty."""

    entry: Entry
    status: SweepStatus
    reason: str = ""


def plan(entries: Sequence[Entry]) -> list[SweepResult]:
    """Results that :func:`sweep` would have, in its order, without a call to an environment."""
    return [SweepResult(entry, SweepStatus.WOULD_REMOVE) for entry in _ordered(entries)]


async def sweep(
    environment: Environment,
    entries: Sequence[Entry],
    journal: Journal,
    *,
    seconds: float | None = None,
    retrier: Retrier | None = None,
) -> list[SweepResult]:
    """Remove what dead processes left from an environment, and then from the journal.

    A failure is an outcome, not an exception; the entry stays in the journal.

    Args:
        environment: its entry in `environments.yaml`.
        entries: entries of this environment.
        journal: the journal that holds the entries.
        seconds: seconds after which the rest is left; None for no limit.
        retrier: retries calls after transient faults; None for the default.
    """
    try:
        identity = environment_id(environment.resolve(os.environ))
    except SpecError as error:
        return _left(entries, "; ".join(str(error).splitlines()))
    except Exception as error:  # noqa: BLE001 - an outcome of this environment; the others are swept
        return _left(entries, _unforeseen(error))
    here = [entry for entry in entries if entry.identity == identity]
    outcomes: list[SweepResult] = []
    for other in sorted({entry.identity for entry in entries} - {identity}):
        now = identity or "a temporary sandbox"
        outcomes += _left(
            [one for one in entries if one.identity == other], f"it is on {other}; this name now means {now}"
        )
    if not here:
        return outcomes
    task = _SweepTask(here, journal)
    try:
        retrier = retrier or Retrier()
        async with asyncio.timeout(seconds), connect(environment, changes=True, retrier=retrier) as connection:
            await task.run(connection.client)
    except TimeoutError:
        task.leave_rest("there was no time for it")
    except (RunFailure, JournalError, InstabaseError) as error:
        task.leave_rest("; ".join(str(error).splitlines()))
    except Exception as error:  # noqa: BLE001 - an outcome of this environment; the others are swept
        task.leave_rest(_unforeseen(error))
    return outcomes + task.outcomes


class _SweepTask:
    """Sweeps one environment, entry by entry."""

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
                reason = f"process {used[entry.name].pid} continues a job in it"
                outcome = SweepResult(entry, SweepStatus.LEFT, reason)
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
                raise  # the remaining entries would fail, too
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
        return await sweep(environment, mine, journal, seconds=seconds, retrier=Retrier(on_retry=on_retry))

    ended, interrupted = for_each_environment([known[name] for name in by_name if name in known], visit)
    outcomes: list[SweepResult] = []
    for name, several in by_name.items():
        reason = "interrupted" if name in known else "environments.yaml no longer names this environment"
        outcomes += ended.get(name) or [SweepResult(entry, SweepStatus.LEFT, reason) for entry in several]
    return outcomes, interrupted
