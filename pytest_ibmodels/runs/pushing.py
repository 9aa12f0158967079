"""Reaching an environment for the first time, and putting the package there."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_ibmodels.instabase import errors
from pytest_ibmodels.instabase.patience import Patience
from pytest_ibmodels.instabase.policy import READ, UNAVAILABLE, UNZIP, is_transient
from pytest_ibmodels.runs.failures import EnvironmentUnavailable, UploadFailure
from pytest_ibmodels.runs.watch import LOOK_SECONDS, Watch

if TYPE_CHECKING:
    from pytest_ibmodels.instabase.client import Instabase
    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.runs.clock import Clock
    from pytest_ibmodels.runs.limits import Limits

_WITHOUT_END = 1_000_000


async def reach(client: Instabase, root: str, seconds: float, place: str) -> None:
    """See that an environment answers, before anything is sent there.

    Args:
        client: one with patience.
        root: a drive path in it.
        seconds: for how long to try.
        place: where the environment is written down, for the message.

    Raises:
        EnvironmentUnavailable: (of `runs.failures`) it does not.
        InstabaseError: it answers, and will never do what is asked: the token is refused, or it points elsewhere.
    """
    policy = replace(READ, tries=_WITHOUT_END, seconds=seconds, timeout=min(READ.timeout, seconds))
    try:
        await client.drive.mount_details(root, policy=policy)
    except (errors.ApiError, errors.EnvironmentUnavailable, errors.UnexpectedAnswer) as error:
        if is_transient(error):
            advice = f"check `host` ({place}), and whether the network, a VPN or a proxy leads there"
            raise EnvironmentUnavailable(f"{error.reason}; tried for {seconds:g} s: {advice}") from error


async def push(client: Instabase, folder: str, package: Package, clock: Clock, limits: Limits) -> None:
    """Write a package to the drive and unpack it in ``folder``.

    Raises:
        UploadFailure: it could not be unpacked, or not in time.
        InstabaseError: a call failed.
    """
    zip_name = f"{uuid.uuid4().hex}.ibsolution"
    await client.drive.write(f"{folder}/{zip_name}", package.data)

    async def unpack() -> None:
        job_id = await client.drive.start_unzip(folder, zip_name)
        problem = await _unpacked(client, job_id, clock, limits)
        if UNAVAILABLE in problem:
            raise errors.ApiError(f"job {job_id}", problem)
        if problem:
            raise UploadFailure(f"the package could not be unpacked (job {job_id}): {problem}")

    await Patience(clock)(UNZIP, unpack)
    await client.drive.delete(f"{folder}/{zip_name}")


async def _unpacked(client: Instabase, job_id: str, clock: Clock, limits: Limits) -> str:
    """Wait for a job that unpacks; why it failed, empty if it did not."""
    watch = Watch(clock, limits.longest_poll, limit=limits.upload)
    while True:
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                status = await client.jobs.status(job_id)
            watch.saw()
            if status.is_over or status.failure:
                return client.transport.redact(status.failure)
        except (errors.InstabaseError, TimeoutError) as error:
            if isinstance(error, errors.InstabaseError) and not is_transient(error):
                raise
            watch.saw(queued=None)
        if watch.late:
            raise UploadFailure(f"unpacking the package did not end within {limits.upload:g} s (job {job_id})")
        await watch.pause()
