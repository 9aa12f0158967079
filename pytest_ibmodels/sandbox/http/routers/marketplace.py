"""``/api/v1/marketplace`` and ``/api/v1/solution``: packages (Instabase protocol, "Marketplace")."""

from typing import Any

from fastapi import APIRouter

from pytest_ibmodels.instabase.wire import (
    CreateSolutionRequest,
    Envelope,
    InstallRequest,
    MarketplaceListing,
    PublishAnswer,
    PublishRequest,
    SolutionAnswer,
    UnpublishRequest,
)
from pytest_ibmodels.sandbox.http.bodies import JsonRoute, TheSandbox
from pytest_ibmodels.sandbox.storage.paths import DrivePath

router = APIRouter(prefix="/api/v1", route_class=JsonRoute)


@router.get("/marketplace/list", response_model_exclude_none=True)
def list_apps(sandbox: TheSandbox) -> MarketplaceListing:
    """List published packages."""
    return MarketplaceListing(status="OK", apps=sandbox.marketplace.apps())


@router.post("/marketplace/publish", response_model_exclude_none=True)
def publish(body: PublishRequest, sandbox: TheSandbox) -> PublishAnswer:
    """Publish an archive of the drive, at once or as a job."""
    path = DrivePath.parse(body.ibsolution_path)
    if body.async_:
        job_id = sandbox.tasks.start("publish", lambda: sandbox.marketplace.publish(path))
        return PublishAnswer(status="OK", job_id=job_id)
    sandbox.marketplace.publish(path)
    return PublishAnswer(status="OK")


@router.post("/marketplace/unpublish", response_model_exclude_none=True)
def unpublish(body: UnpublishRequest, sandbox: TheSandbox) -> Envelope:
    """Remove a published version."""
    sandbox.marketplace.unpublish(body.name, body.version)
    return Envelope(status="OK")


@router.post("/marketplace/install", response_model_exclude_none=True)
def install(body: InstallRequest, sandbox: TheSandbox) -> Envelope:
    """Install a published version."""
    sandbox.marketplace.install(body.name, body.version)
    return Envelope(status="OK")


@router.post("/solution/create", response_model_exclude_none=True)
def create(body: CreateSolutionRequest, sandbox: TheSandbox) -> SolutionAnswer:
    """Pack a folder of the drive, at once or as a job."""
    content, output = DrivePath.parse(body.content_folder), DrivePath.parse(body.output_folder)

    def create_now() -> dict[str, Any]:
        return {"solution_path": str(sandbox.marketplace.create_solution(content, output))}

    if body.async_:
        return SolutionAnswer(status="OK", job_id=sandbox.tasks.start("solution", create_now))
    return SolutionAnswer(status="OK", **create_now())
