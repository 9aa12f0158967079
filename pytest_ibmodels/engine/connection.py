"""An environment for one errand, such as publishing: resolved, started if it is a sandbox of ours, and let go of."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import SecretStr

from pytest_ibmodels.engine.failures import ConfigFailure
from pytest_ibmodels.engine.sandbox_process import EmbeddedSandbox
from pytest_ibmodels.instabase.client import Instabase
from pytest_ibmodels.instabase.errors import ClientSetupError
from pytest_ibmodels.journal.environment import environment_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pytest_ibmodels.instabase.retrying import Retrier
    from pytest_ibmodels.spec import Environment, ResolvedEnvironment


@dataclass(frozen=True)
class Connection:
    """An open environment.

    Attributes:
        client: its calls.
        place: which environment it is, as the journal writes it.
        root: the drive folder below which files may be written.
        is_embedded: whether it is a sandbox of ours.
        is_temporary: whether it is a sandbox that ends with the connection, and keeps nothing.
    """

    client: Instabase
    place: str
    root: str
    is_embedded: bool
    is_temporary: bool


@contextlib.asynccontextmanager
async def connected(
    environment: Environment, *, changes: bool, retrier: Retrier | None = None
) -> AsyncIterator[Connection]:
    """Open an environment.

    Args:
        environment: its entry in `environments.yaml`.
        changes: whether something is to be left there. If not, an embedded sandbox that has no data yet gets none.
        retrier: sends calls again after faults that pass; None: that is left to the caller.

    Raises:
        SpecError: a variable is not set, or a value cannot be used.
        ConfigFailure: the host is no address, or a variable of this machine spoils every request to it.
        EnvironmentUnavailable: (of `runs.failures`) the embedded sandbox did not start.
    """
    resolved = environment.resolve(os.environ)
    async with _running(resolved, changes=changes) as (host, token, is_temporary):
        try:
            client = Instabase(host, token, retrier=retrier, verify=resolved.verification)
        except ClientSetupError as error:
            raise ConfigFailure(f"environment `{environment.name}`: {error.reason}") from None
        try:
            yield Connection(client, environment_id(resolved), resolved.path, resolved.is_embedded, is_temporary)
        finally:
            await client.close()


@contextlib.asynccontextmanager
async def _running(resolved: ResolvedEnvironment, *, changes: bool) -> AsyncIterator[tuple[str, SecretStr, bool]]:
    """Where the environment answers, its token, and whether it keeps nothing."""
    if not resolved.is_embedded:
        yield resolved.host, resolved.token or SecretStr(""), False
        return
    data = resolved.data if changes or (resolved.data is not None and resolved.data.is_dir()) else None
    # Nothing is trained on an errand: neither data sets nor a warm interpreter are needed.
    sandbox = await EmbeddedSandbox.start(mounts={}, data=data, preload=False)
    try:
        yield sandbox.url, sandbox.token, sandbox.is_temporary
    finally:
        await sandbox.stop()
