"""Reaching an environment for the first time, and putting the package there."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_ibmodels.engine.failures import EnvironmentUnavailable, UploadFailure
from pytest_ibmodels.engine.polling import LOOK_SECONDS, JobTimer
from pytest_ibmodels.instabase import errors
from pytest_ibmodels.instabase.policy import READ, UNAVAILABLE, UNZIP, is_transient
from pytest_ibmodels.instabase.retrying import Retrier

if TYPE_CHECKING:
    from pytest_ibmodels.engine.clock import Clock
    from pytest_ibmodels.engine.limits import Limits
    from pytest_ibmodels.instabase.client import Instabase
    from pytest_ibmodels.packaging import Package

_WITHOUT_END = 1_000_000


async def reach(client: Instabase, root: str, limits: Limits, clock: Clock, place: str) -> None:
    """See that an environment answers, before anything is sent there.

    It is tried for `limits.startup`, but no longer than `limits.upload` is spent on answers that do not end.

    Args:
        client: a client with a retrier.
        root: a drive path in it.
        limits: those of the session.
        clock: tells how long answers took.
        place: where the environment is written down, for the message.

    Raises:
        EnvironmentUnavailable: (of `runs.failures`) it does not.
        InstabaseError: it answers, and will never do what is asked: the token is refused, or it points elsewhere.
    """
    once = replace(READ, tries=1, timeout=min(READ.timeout, limits.startup, limits.upload))
    hanging = 0.0
    advice = f"check `host` ({place}), and whether the network, a VPN or a proxy leads there"

    async def ask() -> None:
        nonlocal hanging
        begun = clock.now()
        try:
            await client.drive.mount_details(root, policy=once)
        except errors.EnvironmentUnavailable as error:
            hanging += clock.now() - begun
            if hanging > 0.95 * limits.upload:  # timers may be a little early
                tried = f"tried for {hanging:.0f} s, as long as an upload may take"
                raise EnvironmentUnavailable(f"{error.reason}; {tried}: {advice}") from error
            raise

    try:
        await Retrier(clock)(replace(READ, tries=_WITHOUT_END, seconds=limits.startup), ask)
    except (errors.ApiError, errors.EnvironmentUnavailable, errors.UnexpectedAnswer) as error:
        if is_transient(error):
            raise EnvironmentUnavailable(f"{error.reason}; tried for {limits.startup:g} s: {advice}") from error


async def push(client: Instabase, folder: str, package: Package, clock: Clock, limits: Limits) -> None:
    """Write a package to the drive and unpack it in ``folder``, all within the upload limit.

    Raises:
        UploadFailure: it could not be unpacked, or not in time.
        InstabaseError: a call failed.
    """
    zip_name = f"{uuid.uuid4().hex}.ibsolution"
    doing, job = "uploading", ""

    async def unpack() -> None:
        nonlocal doing, job
        job_id = await client.drive.start_unzip(folder, zip_name)
        doing, job = "unpacking", f" (job {job_id})"
        problem = await _unpacked(client, job_id, clock, limits)
        if UNAVAILABLE in problem:
            raise errors.ApiError(f"job {job_id}", problem)
        if problem:
            raise UploadFailure(f"the package could not be unpacked (job {job_id}): {problem}")

    try:
        async with asyncio.timeout(limits.upload):
            await client.drive.write(f"{folder}/{zip_name}", package.data)
            await Retrier(clock)(UNZIP, unpack)
            await client.drive.delete(f"{folder}/{zip_name}")
    except TimeoutError:
        raise UploadFailure(f"{doing} the package did not end within {limits.upload:g} s{job}") from None


async def _unpacked(client: Instabase, job_id: str, clock: Clock, limits: Limits) -> str:
    """Wait for a job that unpacks; why it failed, empty if it did not."""
    watch = JobTimer(clock, limits.longest_poll, limit=limits.upload)
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
