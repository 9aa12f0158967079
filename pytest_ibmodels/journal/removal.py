"""Removing what a session made, at its end or long afterwards; what is gone already counts as removed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pytest_ibmodels.instabase.errors import ApiError, UnexpectedAnswer
from pytest_ibmodels.instabase.policy import is_transient

if TYPE_CHECKING:
    from pytest_ibmodels.instabase.client import Drive, Instabase
    from pytest_ibmodels.journal.store import Entry

ORDER = ("job", "model", "file", "folder")
"""A job still writes into its folder, and a served model reads from it."""

_ROOT_DEPTH = 4  # OWNER/REPO/fs/DRIVE: above it, there is nothing to list


async def remove(client: Instabase, entry: Entry) -> None:
    """Remove one thing, and see that it is gone; if it had gone before, that is as well.

    Raises:
        InstabaseError: it may still be there.
    """
    if entry.kind == "job":
        for job_id in await _job_ids(client, entry):
            await _end_job(client, job_id)
    elif entry.kind == "model":
        await client.models.unload(entry.name)
    else:
        try:
            await client.drive.delete(entry.name, force=entry.kind == "folder")
        except ApiError:
            if not await _is_gone(client.drive, entry.name):
                raise


async def remove_if_empty(client: Instabase, folder: str) -> None:
    """Remove a folder that sessions share if nothing is in it any more; never by force.

    Raises:
        InstabaseError: it cannot be listed.
    """
    with contextlib.suppress(ApiError):  # another session was faster, or has just begun to use it
        if not await client.drive.list(folder):
            await client.drive.delete(folder, force=False)


async def _job_ids(client: Instabase, entry: Entry) -> list[str]:
    if entry.name:
        return [entry.name]
    # The answer to its start was never read. Not every environment can be asked whether it was started.
    if entry.job is None or not entry.job.model:
        return []
    try:
        return await client.jobs.named(entry.job.model)
    except (ApiError, UnexpectedAnswer) as error:
        if is_transient(error):
            raise
        return []


async def _end_job(client: Instabase, job_id: str) -> None:
    if await client.jobs.cancel(job_id):
        return
    try:
        status = await client.jobs.status(job_id, kind="async")
    except ApiError as error:
        if is_transient(error):
            raise
        return  # there is no such job
    if not status.is_over and not status.failure:
        raise ApiError(f"job {job_id}", "the environment cannot cancel jobs, and this one still runs")


async def _is_gone(drive: Drive, path: str) -> bool:
    parent, _, name = path.rpartition("/")
    if parent.count("/") + 1 < _ROOT_DEPTH:
        return False
    try:
        return name not in [node.name for node in await drive.list(parent)]
    except ApiError:
        return await _is_gone(drive, parent)
