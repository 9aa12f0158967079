"""Removing what a session created, at its end or later. A thing that no longer exists counts as removed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pytest_ibmodels.instabase.errors import ApiError, UnexpectedAnswer
from pytest_ibmodels.instabase.policy import is_transient

if TYPE_CHECKING:
    from pytest_ibmodels.instabase.client import Drive, Instabase
    from pytest_ibmodels.journal.store import Entry

ORDER = ("job", "model", "file", "folder")
"""Folders last, since jobs write into them and served models read from them."""

_ROOT_DEPTH = 4  # OWNER/REPO/fs/DRIVE, the highest folder that can be listed


async def remove(client: Instabase, entry: Entry) -> None:
    """Remove the thing of an entry, and check that it is gone.

    Raises:
        InstabaseError: the thing may still exist.
    """
    if entry.kind == "job":
        for job_id in await _job_ids(client, entry):
            await _cancel_job(client, job_id)
    elif entry.kind == "model":
        await client.models.unload(entry.name)
    else:
        try:
            await client.drive.delete(entry.name, force=entry.kind == "folder")
        except ApiError:
            if not await _is_gone(client.drive, entry.name):
                raise


async def remove_if_empty(client: Instabase, folder: str) -> None:
    """Remove a folder that sessions share if it is empty.

    Raises:
        InstabaseError: the folder cannot be listed.
    """
    with contextlib.suppress(ApiError):  # another session removed the folder, or has just begun to use it
        if not await client.drive.list(folder):
            await client.drive.delete(folder, force=False)


async def _job_ids(client: Instabase, entry: Entry) -> list[str]:
    if entry.name:
        return [entry.name]
    # The answer to its start was never read, and not every environment can list jobs.
    if entry.job is None or not entry.job.model:
        return []
    try:
        return await client.jobs.named(entry.job.model)
    except (ApiError, UnexpectedAnswer) as error:
        if is_transient(error):
            raise
        return []


async def _cancel_job(client: Instabase, job_id: str) -> None:
    if await client.jobs.cancel(job_id):
        return
    try:
        status = await client.jobs.status(job_id, kind="async")
    except ApiError as error:
        if is_transient(error):
            raise
        return  # the job does not exist
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
