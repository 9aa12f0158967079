"""Request bodies: JSON under any content type, and files that are streamed to disk."""

from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from pydantic import ValidationError

from pytest_ibmodels.instabase.wire import DRIVE_ARGS_HEADER, DriveArgs, WireModel
from pytest_ibmodels.sandbox.errors import BodyTooLargeError, SandboxError, refusal
from pytest_ibmodels.sandbox.http.auth import TENANT
from pytest_ibmodels.sandbox.jsontext import loads
from pytest_ibmodels.sandbox.services.tenant import Tenant, Tenants

Model = TypeVar("Model", bound=WireModel)

MAX_JSON_BYTES = 64 * 2**20
_CHUNK = 2**20


# Dependencies are coroutines: FastAPI runs functions in a thread, which costs more than these take.
async def tenant_of(request: Request) -> Tenant:
    """Tenant whose token the request carries; a dependency."""
    tenants: Tenants = request.app.state.tenants
    return tenants.get(request.scope[TENANT])


async def drive_args(request: Request) -> DriveArgs:
    """Arguments of a drive call, from its header; empty without the header.

    Raises:
        SandboxError: the header is not a JSON object of the known types.
    """
    return parse_as(DriveArgs, request.headers.get(DRIVE_ARGS_HEADER, "{}"), f"header {DRIVE_ARGS_HEADER}")


TheTenant = Annotated[Tenant, Depends(tenant_of)]
Args = Annotated[DriveArgs, Depends(drive_args)]


class JsonRoute(APIRoute):
    """Route whose body is JSON, whatever content type the client names."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            headers = [header for header in request.scope["headers"] if header[0] != b"content-type"]
            headers.append((b"content-type", b"application/json"))
            json_request = _JsonRequest({**request.scope, "headers": headers}, request.receive)
            # Read here: FastAPI turns every error of reading into its own status 400.
            await json_request.json()
            return await handle(json_request)

        return handle_json if self.body_field else handle


class _JsonRequest(Request):
    async def body(self) -> bytes:
        """Body in memory; empty if it is blank.

        Raises:
            BodyTooLargeError: it is larger than any JSON body may be.
        """
        if not hasattr(self, "_body"):
            tenant = await tenant_of(self)
            limit, body = min(MAX_JSON_BYTES, tenant.settings.max_body), bytearray()
            async for chunk in self.stream():
                body += chunk
                if len(body) > limit:
                    raise BodyTooLargeError(limit)
            self._body = bytes(body) if body.strip() else b""
        return self._body

    async def json(self) -> Any:
        """Value of the body; None if it is empty."""
        if not hasattr(self, "_json"):
            body = await self.body()
            try:
                self._json = loads(body) if body else None
            except ValueError as error:
                raise SandboxError(f"{self.scope['route'].name}: the body: Invalid JSON: {error}") from None
        return self._json


def parse_as(model: type[Model], text: str | bytes, where: str) -> Model:
    """Check JSON text against a wire model.

    Raises:
        SandboxError: names ``where`` and every invalid key.
    """
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise SandboxError(f"{where}: {problems(error.errors())}") from None


def problems(errors: Iterable[Any]) -> str:
    """Errors of pydantic as one text, each with the path of its key."""
    return "; ".join(f"{'.'.join(map(str, error['loc'])) or 'the body'}: {error['msg']}" for error in errors)


async def body_to_file(request: Request) -> Path:
    """Write a body to a scratch file as it arrives; the caller moves or deletes the file.

    Raises:
        BodyTooLargeError: the body is over the limit.
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
    """JSON object in a file of at most ``limit`` bytes; None if the file is larger or holds something else."""
    if path.stat().st_size > limit:
        return None
    try:
        value = loads(path.read_bytes())
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
