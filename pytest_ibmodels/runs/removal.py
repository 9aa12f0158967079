"""Removing what a session made, at its end or long afterwards; what is gone already counts as removed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from pytest_ibmodels.instabase.errors import ApiError, UnexpectedAnswer

if TYPE_CHECKING:
    from pytest_ibmodels.instabase.client import Drive, Instabase
    from pytest_ibmodels.runs.journal import Entry

ORDER = ("job", "model", "file", "folder")
"""A job still writes into its folder, and a served model reads from it."""

_ROOT_DEPTH = 4  # OWNER/REPO/fs/DRIVE: above it, there is nothing to list


async def remove(client: Instabase, entry: Entry) -> bool:
    """Remove one thing, and see that it is gone.

    Returns:
        False if it had gone before.

    Raises:
        InstabaseError: it may still be there.
    """
    if entry.kind == "job":
        return await _end_jobs(client, entry)
    if entry.kind == "model":
        await client.models.unload(entry.name)
        return True
    try:
        await client.drive.delete(entry.name, force=entry.kind == "folder")
    except ApiError:
        if await _is_gone(client.drive, entry.name):
            return False
        raise
    return True


async def remove_if_empty(client: Instabase, folder: str) -> None:
    """Remove a folder that sessions share if nothing is in it any more; never by force.

    Raises:
        InstabaseError: it cannot be listed.
    """
    with contextlib.suppress(ApiError):  # another session was faster, or has just begun to use it
        if not await client.drive.list(folder):
            await client.drive.delete(folder, force=False)


async def _end_jobs(client: Instabase, entry: Entry) -> bool:
    if entry.name:
        return await _end_job(client, entry.name)
    # The answer to its start was never read. Not every environment can be asked whether it was started.
    if entry.job is None or not entry.job.model:
        return False
    try:
        job_ids = await client.jobs.named(entry.job.model)
    except (ApiError, UnexpectedAnswer):
        return False
    return any([await _end_job(client, job_id) for job_id in job_ids])


async def _end_job(client: Instabase, job_id: str) -> bool:
    if await client.jobs.cancel(job_id):
        return True
    try:
        status = await client.jobs.status(job_id, kind="async")
    except ApiError:
        return False  # there is no such job
    if status.is_over or status.failure:
        return False
    raise ApiError(f"job {job_id}", "the environment cannot cancel jobs, and this one still runs")


async def _is_gone(drive: Drive, path: str) -> bool:
    parent, _, name = path.rpartition("/")
    if parent.count("/") + 1 < _ROOT_DEPTH:
        return False
    try:
        return name not in [node.name for node in await drive.list(parent)]
    except ApiError:
        return await _is_gone(drive, parent)
