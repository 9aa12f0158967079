"""What a run does with a job besides waiting for it: ending it, and reading the end of its log. Neither ever raises."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pytest_ibmodels.instabase.errors import InstabaseError

if TYPE_CHECKING:
    from pytest_ibmodels.instabase.client import Instabase

CANCEL_SECONDS = 5.0

_LOG_LINES = 20
_LOG_SECONDS = 10.0


async def cancelled(client: Instabase, job_id: str) -> bool:
    """Cancel a job; whether it has ended."""
    try:
        async with asyncio.timeout(CANCEL_SECONDS):
            return await client.jobs.cancel(job_id)
    except TimeoutError:
        return False


async def log_tail(client: Instabase, job_id: str | None) -> tuple[str, ...]:
    """The last lines of a job's log, or why there are none."""
    if job_id is None:
        return ()
    try:
        async with asyncio.timeout(_LOG_SECONDS):
            entries = await client.jobs.log(job_id)
    except (InstabaseError, TimeoutError, ValueError) as error:
        return (f"(the environment gave no log: {error})",)
    return tuple(client.transport.redact(entry.log) for entry in entries[-_LOG_LINES:])
