"""Application factory."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from pytest_ibmodels.sandbox.errors import (
    BodyTooLargeError,
    BusyError,
    SandboxError,
    StoreError,
    TooManyCallsError,
    refusal,
)
from pytest_ibmodels.sandbox.http.auth import AuthMiddleware
from pytest_ibmodels.sandbox.http.bodies import problems
from pytest_ibmodels.sandbox.http.openapi import REFUSALS, DescribedApp
from pytest_ibmodels.sandbox.http.routers import (
    annotator,
    drives,
    jobs,
    logs,
    marketplace,
    model_service,
    refiner,
    tuning,
)
from pytest_ibmodels.sandbox.http.tokens import Tokens
from pytest_ibmodels.sandbox.services.tenant import Tenants
from pytest_ibmodels.sandbox.settings import Settings

logger = logging.getLogger(__name__)

_MODULES = (drives, jobs, model_service, annotator, refiner, marketplace, tuning, logs)
ROUTERS = tuple(module.router for module in _MODULES)


def create_app(settings: Settings, tokens: Tokens) -> FastAPI:
    """Create the application, and lock the data folder of ``settings``; each tenant has its own root in it.

    Raises:
        StartError: the data folder or the database cannot be used.
    """
    tenants = Tenants(settings, tokens.names)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        tenants.start()
        yield
        await run_in_threadpool(tenants.close)

    app = DescribedApp(lifespan=lifespan, title="The sandbox", docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.tenants = tenants
    app.state.is_stopping = False
    app.add_middleware(AuthMiddleware, tokens=tokens, max_body=settings.max_body)
    for router in ROUTERS:
        app.include_router(router, responses=REFUSALS)

    @app.exception_handler(SandboxError)
    async def refused(request: Request, error: SandboxError) -> JSONResponse:
        if isinstance(error, StoreError) or isinstance(error.__cause__, OSError):
            # The client is not to blame.
            logger.error("%s %s: %s", request.method, request.url.path, error)
        return _refused(error)

    @app.exception_handler(OSError)
    async def failed(request: Request, error: OSError) -> JSONResponse:
        logger.error("%s %s", request.method, request.url.path, exc_info=error)
        return _refused(refusal("the sandbox could not do this", error, error.strerror or type(error).__name__))

    @app.exception_handler(RecursionError)
    async def too_deep(_request: Request, _error: RecursionError) -> JSONResponse:
        return _envelope("the request, or a file that it names, is nested too deep", 200)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        # The first part of a location is `body` or `query`.
        found = [{**item, "loc": item["loc"][1:]} for item in error.errors()]
        return _envelope(f"{request.scope['route'].name}: {problems(found)}", 200)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        msg = f"{request.method} {request.url.path}: {error.detail}; the sandbox has no such endpoint"
        headers = {"Allow": ", ".join(_methods(request))} if error.status_code == 405 else None
        return _envelope(msg, error.status_code, headers)

    return app


def _methods(request: Request) -> list[str]:
    """Methods of all routes at the path of a request; GET implies HEAD."""
    there = [*request.app.routes, *(route for router in ROUTERS for route in router.routes)]
    matching = [r for r in there if isinstance(r, Route) and r.matches(request.scope)[0] is not Match.NONE]
    found = {method for route in matching for method in route.methods or ()}
    return sorted(found | ({"HEAD"} if "GET" in found else set()))


def _refused(error: SandboxError) -> JSONResponse:
    if isinstance(error, BusyError):
        return _envelope(str(error), 503, {"Retry-After": "1"})
    if isinstance(error, TooManyCallsError):
        return _envelope(str(error), 429, {"Retry-After": str(error.retry_after)})
    return _envelope(str(error), 413 if isinstance(error, BodyTooLargeError) else 200)


def _envelope(msg: str, status: int, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"status": "ERROR", "msg": msg}, status, headers)
