"""Opening environments for one task, such as publishing, and closing them afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pydantic import SecretStr

from pytest_ibmodels.engine.failures import ConfigFailure
from pytest_ibmodels.engine.sandbox_process import EmbeddedSandbox
from pytest_ibmodels.instabase.client import Instabase
from pytest_ibmodels.instabase.errors import ClientSetupError
from pytest_ibmodels.journal.environment import environment_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from pytest_ibmodels.instabase.retrying import Retrier
    from pytest_ibmodels.spec import Environment, ResolvedEnvironment

T = TypeVar("T")


@dataclass(frozen=True)
class Connection:
    """An open environment.

    Attributes:
        client: the environment's client.
        identity: see :func:`environment_id`.
        root: the drive folder below which files may be written.
        is_embedded: whether the environment is an embedded sandbox.
        is_temporary: whether it is a sandbox that ends with the connection and keeps nothing.
    """

    client: Instabase
    identity: str
    root: str
    is_embedded: bool
    is_temporary: bool


@contextlib.asynccontextmanager
async def connect(
    environment: Environment, *, changes: bool, retrier: Retrier | None = None
) -> AsyncIterator[Connection]:
    """Open an environment; start it first if it is an embedded sandbox.

    Args:
        environment: its entry in `environments.yaml`.
        changes: whether the task changes the environment. If not, no data folder of an embedded sandbox is created.
        retrier: retries calls after transient faults; None leaves retries to the caller.

    Raises:
        SpecError: a variable is not set, or a value cannot be used.
        ConfigFailure: the host is not an address, or a variable of this machine spoils every request to it.
        EnvironmentUnavailable: (of ``engine.failures``) the embedded sandbox did not start.
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
    """Yield host, token and whether the environment is temporary."""
    if not resolved.is_embedded:
        yield resolved.host, resolved.token or SecretStr(""), False
        return
    data = resolved.data if changes or (resolved.data is not None and resolved.data.is_dir()) else None
    # Such a task trains nothing: the sandbox needs neither data sets nor a warm interpreter.
    sandbox = await EmbeddedSandbox.start(mounts={}, data=data)
    try:
        yield sandbox.url, sandbox.token, sandbox.is_temporary
    finally:
        await sandbox.stop()


def for_each_environment(
    environments: Sequence[Environment], visit: Callable[[Environment], Awaitable[T]]
) -> tuple[Mapping[str, T], bool]:
    """Visit all environments at once, in a new event loop. Ctrl-C and SIGTERM cancel the visits, which clean up.

    Returns:
        Environment → result of each visit that was not cancelled, and whether there was an interrupt.
    """
    results: dict[str, T] = {}

    async def visit_one(environment: Environment) -> None:
        results[environment.name] = await visit(environment)

    async def visit_all() -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker: asyncio.run makes a task
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # only the main thread gets signals
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        async with asyncio.TaskGroup() as group:
            for environment in environments:
                group.create_task(visit_one(environment))

    try:
        asyncio.run(visit_all())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return results, True
    return results, False
