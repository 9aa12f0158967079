"""What one session makes in one environment, as it stands in the journal."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pytest_ibmodels.journal.store import Journal

if TYPE_CHECKING:
    from pytest_ibmodels.journal.store import (
        Entry,
        Kind,
        TrainingJob,
    )
    from pytest_ibmodels.spec import ResolvedEnvironment


def environment_id(environment: ResolvedEnvironment) -> str:
    """Which environment that is, whatever it is called; empty for a sandbox that ends with its session.

    A user name or password in the address is left out.
    """
    if environment.is_embedded:
        return f"sandbox:{environment.data}" if environment.data is not None else ""
    address = urlsplit(environment.host)
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}"


class EnvironmentJournal:
    """The entries of this process for one environment; each is on the disk when the method that made it returns.

    Args:
        place: see :func:`environment_id`; empty where nothing outlives the session: then nothing is kept.
    """

    def __init__(self, journal: Journal, environment: str, place: str) -> None:
        self.journal = journal if place else Journal(None)
        self.environment = environment
        self.place = place
        self._entries: dict[str, Entry] = {}

    async def make(self, kind: Kind, name: str, *, folder: str = "", job: TrainingJob | None = None) -> Entry:
        """Write down what is about to be made."""
        entry = self.journal.entry(self.environment, self.place, kind, name, folder=folder, job=job)
        self._entries[entry.key] = entry
        await self.journal.write(entry)
        return entry

    async def accepted(self, entry: Entry, job_id: str) -> Entry:
        """Write down the id of a job, and the time, which is that of the environment's answer."""
        job = entry.job and replace(entry.job, accepted=datetime.now(UTC).isoformat())
        return await self._change(replace(entry, name=job_id, job=job))

    async def ended(self, entry: Entry) -> Entry:
        """Write down that a job has ended well; its model is there until the folder goes."""
        return await self._change(replace(entry, job=entry.job and replace(entry.job, ended=True)))

    async def gone(self, *entries: Entry) -> None:
        """Take out what is not there any more."""
        for entry in entries:
            self._entries.pop(entry.key, None)
        await self.journal.remove(*entries)

    def take(self, entry: Entry) -> Entry | None:
        """Answer for what another process made; None if a third was faster. Raises: JournalError."""
        taken = self.journal.take(entry)
        if taken is not None:
            self._entries[taken.key] = taken
        return taken

    def of_kind(self, kind: Kind) -> list[Entry]:
        """What is written down here, in the order in which it was made."""
        return [entry for entry in self._entries.values() if entry.kind == kind]

    def left(self) -> list[Entry]:
        """What dead processes made in this environment. Raises: JournalError."""
        return [
            entry for entry in self.journal.left() if (entry.environment, entry.place) == (self.environment, self.place)
        ]

    async def _change(self, entry: Entry) -> Entry:
        self._entries[entry.key] = entry
        await self.journal.write(entry)
        return entry
