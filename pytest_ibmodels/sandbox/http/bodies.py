"""Request bodies: JSON whatever the content type says, and files that go to disk as they come."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError

from pytest_ibmodels.instabase.wire import DRIVE_ARGS_HEADER, DriveArgs, WireModel
from pytest_ibmodels.sandbox.errors import BodyTooLargeError, SandboxError, refusal
from pytest_ibmodels.sandbox.http.auth import TENANT
from pytest_ibmodels.sandbox.jsontext import loads
from pytest_ibmodels.sandbox.services.tenant import Tenant, Tenants

Model = TypeVar("Model", bound=WireModel)

MAX_JSON_BYTES = 64 * 2**20
_CHUNK = 2**20


# Dependencies are coroutines: FastAPI sends functions to a thread, which takes longer than they do.
async def tenant_of(request: Request) -> Tenant:
    """The sandbox of the token that the request came with, as a dependency."""
    tenants: Tenants = request.app.state.tenants
    return tenants.get(request.scope[TENANT])


async def drive_args(request: Request) -> DriveArgs:
    """The arguments of a drive call, from its header; without one there are none.

    Raises:
        SandboxError: if the header is not a JSON object of the known types.
    """
    return parse_as(DriveArgs, request.headers.get(DRIVE_ARGS_HEADER, "{}"), f"header {DRIVE_ARGS_HEADER}")


def json_body(model: type[Model]) -> Callable[[Request], Awaitable[Model]]:
    """A dependency that reads the body as ``model``."""

    async def read(request: Request) -> Model:
        return parse_as(model, await body_bytes(request), request.url.path.rpartition("/")[2])

    return read


def parse_as(model: type[Model], text: str | bytes, where: str) -> Model:
    """Check JSON text against a wire model.

    Raises:
        SandboxError: names ``where`` and every key that does not fit.
    """
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in item['loc']) or 'the body'}: {item['msg']}" for item in error.errors()
        )
        msg = f"{where}: {problems}"
        raise SandboxError(msg) from None


async def body_bytes(request: Request) -> bytes:
    """A whole body in memory.

    Raises:
        BodyTooLargeError: if it is larger than any JSON body need be.
    """
    limit = min(MAX_JSON_BYTES, (await tenant_of(request)).settings.max_body)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise BodyTooLargeError(limit)
        chunks.append(chunk)
    return b"".join(chunks)


async def body_to_file(request: Request) -> Path:
    """Write a body to a scratch file as it comes; the caller moves or deletes the file.

    Raises:
        BodyTooLargeError: if it is over the limit.
    """
    path = (await tenant_of(request)).drive.new_scratch()
    try:
        await _store(request, path)
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise refusal("the body could not be stored", error) from error
        raise
    return path


async def _store(request: Request, path: Path) -> None:
    limit, size, pending = (await tenant_of(request)).settings.max_body, 0, bytearray()
    file = await run_in_threadpool(path.open, "wb")
    with file:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise BodyTooLargeError(limit)
            pending += chunk
            if len(pending) >= _CHUNK:
                await run_in_threadpool(file.write, bytes(pending))
                pending.clear()
        await run_in_threadpool(file.write, bytes(pending))


def json_object(path: Path, limit: int = 65_536) -> dict[str, object] | None:
    """The JSON object in a small file, or None if there is none."""
    if path.stat().st_size > limit:
        return None
    try:
        value = loads(path.read_bytes())
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
