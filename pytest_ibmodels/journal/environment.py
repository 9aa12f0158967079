"""The journal of one session in one environment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pytest_ibmodels.journal.store import Journal

if TYPE_CHECKING:
    from pytest_ibmodels.journal.store import Entry, Kind, TrainingJob
    from pytest_ibmodels.spec import ResolvedEnvironment


def environment_id(environment: ResolvedEnvironment) -> str:
    """Identity of an environment, whatever its name: its address without user name and password.

    Empty for a sandbox that ends with its session.
    """
    if environment.is_embedded:
        return f"sandbox:{environment.data}" if environment.data is not None else ""
    address = urlsplit(environment.host)
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}"


class EnvironmentJournal:
    """The entries of this process for one environment; each change is on disk when its method returns.

    Args:
        identity: see :func:`environment_id`; empty disables journaling, since nothing outlives the session.
    """

    def __init__(self, store: Journal, environment: str, identity: str) -> None:
        self.store = store if identity else Journal(None)
        self.environment = environment
        self.identity = identity
        self._entries: dict[str, Entry] = {}

    async def add(self, kind: Kind, name: str, *, folder: str = "", job: TrainingJob | None = None) -> Entry:
        """Add an entry for a thing that is about to be created."""
        return await self._write(
            self.store.new_entry(self.environment, self.identity, kind, name, folder=folder, job=job)
        )

    async def record_accepted(self, entry: Entry, job_id: str) -> Entry:
        """Record a job's id, and the current time as that of its acceptance."""
        job = entry.job and replace(entry.job, accepted=datetime.now(UTC).isoformat())
        return await self._write(replace(entry, name=job_id, job=job))

    async def record_ended(self, entry: Entry) -> Entry:
        """Record that a job has ended well; its model exists until its folder is removed."""
        return await self._write(replace(entry, job=entry.job and replace(entry.job, ended=True)))

    async def remove(self, *entries: Entry) -> None:
        """Remove the entries of things that no longer exist."""
        for entry in entries:
            self._entries.pop(entry.key, None)
        await self.store.remove(*entries)

    def take_over(self, entry: Entry) -> Entry | None:
        """Take over another process's entry; None if a third process was faster. Raises: JournalError."""
        taken = self.store.take_over(entry)
        if taken is not None:
            self._entries[taken.key] = taken
        return taken

    def entries(self, kind: Kind) -> list[Entry]:
        """This process's entries of one kind, oldest first."""
        return [entry for entry in self._entries.values() if entry.kind == kind]

    def left(self) -> list[Entry]:
        """Entries of dead processes in this environment. Raises: JournalError."""
        mine = (self.environment, self.identity)
        return [entry for entry in self.store.left() if (entry.environment, entry.identity) == mine]

    async def _write(self, entry: Entry) -> Entry:
        self._entries[entry.key] = entry
        await self.store.write(entry)
        return entry
