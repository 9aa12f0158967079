"""The application: settings in, ASGI application out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from pytest_ibmodels.sandbox.errors import BodyTooLargeError, SandboxError
from pytest_ibmodels.sandbox.gate import Gate
from pytest_ibmodels.sandbox.routers import annotator, drives, jobs, logs, marketplace, model_service, refiner
from pytest_ibmodels.sandbox.services import Sandbox
from pytest_ibmodels.sandbox.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """An application over the data folder of ``settings``, which it claims at once.

    Raises:
        StartError: if the data folder or the database cannot be used.
    """
    sandbox = Sandbox(settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        sandbox.start()
        yield
        await run_in_threadpool(sandbox.close)

    app = FastAPI(lifespan=lifespan, openapi_url=None, redirect_slashes=False)
    app.state.sandbox = sandbox
    app.add_middleware(Gate, token=settings.token, max_body=settings.max_body)
    for module in (drives, jobs, model_service, annotator, refiner, marketplace, logs):
        app.include_router(module.router)

    @app.exception_handler(SandboxError)
    async def refused(_request: Request, error: SandboxError) -> JSONResponse:
        return _envelope(str(error), 413 if isinstance(error, BodyTooLargeError) else 200)

    @app.exception_handler(RequestValidationError)
    async def misformed(_request: Request, error: RequestValidationError) -> JSONResponse:
        problems = "; ".join(f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors())
        return _envelope(f"the request does not fit: {problems}", 200)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        return _envelope(
            f"{request.method} {request.url.path}: {error.detail}; the sandbox has no such call", error.status_code
        )

    return app


def _envelope(msg: str, status: int) -> JSONResponse:
    return JSONResponse({"status": "ERROR", "msg": msg}, status)
