"""Reaching an environment for the first time, and uploading the package and local data."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_ibmodels.engine.failures import EnvironmentUnavailable, UploadFailure
from pytest_ibmodels.engine.polling import JobTimer, poll_status
from pytest_ibmodels.instabase import errors
from pytest_ibmodels.instabase.policy import READ, UNAVAILABLE, UNZIP, is_transient
from pytest_ibmodels.instabase.retrying import Retrier

if TYPE_CHECKING:
    from pytest_ibmodels.engine.polling import Limits
    from pytest_ibmodels.instabase.client import Instabase
    from pytest_ibmodels.instabase.clock import Clock
    from pytest_ibmodels.packaging import LocalData, Package

_UNLIMITED = 1_000_000


async def check_reachable(client: Instabase, root: str, limits: Limits, clock: Clock, location: str) -> None:
    """Check that an environment answers, before anything is sent there.

    Retries for ``limits.startup``, but spends no more than ``limits.upload`` on answers that do not end. ``root`` is a
    drive path in the environment, ``location`` FILE:LINE of its entry, for the message.

    Raises:
        EnvironmentUnavailable: (of ``engine.failures``) the environment does not answer.
        InstabaseError: it answers and refuses for good: the token is refused, or the host redirects elsewhere.
    """
    once = replace(READ, tries=1, timeout=min(READ.timeout, limits.startup, limits.upload))
    hanging = 0.0
    advice = f"check `host` ({location}), and whether the network, a VPN or a proxy leads there"

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
        await Retrier(clock)(replace(READ, tries=_UNLIMITED, seconds=limits.startup), ask)
    except (errors.ApiError, errors.EnvironmentUnavailable, errors.UnexpectedAnswer) as error:
        if is_transient(error):
            raise EnvironmentUnavailable(f"{error.reason}; tried for {limits.startup:g} s: {advice}") from error


async def upload_package(client: Instabase, folder: str, package: Package, clock: Clock, limits: Limits) -> None:
    """Write a package to the drive and unpack it in ``folder``, all within the upload limit.

    Raises:
        UploadFailure: the package could not be unpacked, or not in time.
        InstabaseError: a call failed.
    """
    await _upload_zip(client, folder, package.data, "the package", clock, limits)


async def upload_data(client: Instabase, folder: str, data: LocalData, clock: Clock, limits: Limits) -> None:
    """Write local data to the drive, as ``folder/NAME``, all within the upload limit.

    Raises:
        DataError: a local file cannot be read.
        UploadFailure, InstabaseError: as :func:`upload_package`.
    """
    if data.is_folder:
        zipped = await asyncio.to_thread(data.zipped)
        await _upload_zip(client, folder, zipped, f"the data {data.name}", clock, limits)
        return
    content = await asyncio.to_thread(data.content)
    try:
        async with asyncio.timeout(limits.upload):
            await client.drive.write(f"{folder}/{data.name}", content)
    except TimeoutError:
        raise UploadFailure(f"uploading the data {data.name} did not end within {limits.upload:g} s") from None


async def _upload_zip(client: Instabase, folder: str, data: bytes, what: str, clock: Clock, limits: Limits) -> None:
    zip_name = f"{uuid.uuid4().hex}.ibsolution"
    doing, job = "uploading", ""

    async def unpack() -> None:
        nonlocal doing, job
        job_id = await client.drive.start_unzip(folder, zip_name)
        doing, job = "unpacking", f" (job {job_id})"
        timer = JobTimer(clock, limits.longest_poll, limit=limits.upload)
        status = await poll_status(lambda: client.jobs.status(job_id), timer)
        if status is None:
            raise TimeoutError
        problem = client.transport.redact(status.failure)
        if UNAVAILABLE in problem:
            raise errors.ApiError(f"job {job_id}", problem)
        if problem:
            raise UploadFailure(f"{what} could not be unpacked (job {job_id}): {problem}")

    try:
        async with asyncio.timeout(limits.upload):
            await client.drive.write(f"{folder}/{zip_name}", data)
            await Retrier(clock)(UNZIP, unpack)
            await client.drive.delete(f"{folder}/{zip_name}")
    except TimeoutError:
        raise UploadFailure(f"{doing} {what} did not end within {limits.upload:g} s{job}") from None
