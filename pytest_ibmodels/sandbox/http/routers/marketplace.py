"""``/api/v1/marketplace`` and ``/api/v1/solution``: packages (Instabase protocol, "Marketplace")."""

from typing import Any

from fastapi import APIRouter

from pytest_ibmodels.instabase.wire import Envelope
from pytest_ibmodels.instabase.wire_marketplace import (
    CreateSolutionRequest,
    InstallRequest,
    MarketplaceListing,
    PublishAnswer,
    PublishRequest,
    SolutionAnswer,
    UnpublishRequest,
)
from pytest_ibmodels.sandbox.http.bodies import JsonRoute, TheTenant
from pytest_ibmodels.sandbox.storage.paths import DrivePath

router = APIRouter(prefix="/api/v1", route_class=JsonRoute)


@router.get("/marketplace/list", response_model_exclude_none=True)
def list_apps(tenant: TheTenant) -> MarketplaceListing:
    """List published packages."""
    return MarketplaceListing(status="OK", apps=tenant.marketplace.apps())


@router.post("/marketplace/publish", response_model_exclude_none=True)
def publish(body: PublishRequest, tenant: TheTenant) -> PublishAnswer:
    """Publish an archive of the drive, at once or as a job."""
    path = DrivePath.parse(body.ibsolution_path)
    if body.async_:
        job_id = tenant.tasks.start("publish", lambda: tenant.marketplace.publish(path, tenant.caller))
        return PublishAnswer(status="OK", job_id=job_id)
    tenant.marketplace.publish(path, tenant.caller)
    return PublishAnswer(status="OK")


@router.post("/marketplace/unpublish", response_model_exclude_none=True)
def unpublish(body: UnpublishRequest, tenant: TheTenant) -> Envelope:
    """Remove a published version."""
    tenant.marketplace.unpublish(body.name, body.version, tenant.caller)
    return Envelope(status="OK")


@router.post("/marketplace/install", response_model_exclude_none=True)
def install(body: InstallRequest, tenant: TheTenant) -> Envelope:
    """Install a published version."""
    tenant.marketplace.install(body.name, body.version, tenant.caller)
    return Envelope(status="OK")


@router.post("/solution/create", response_model_exclude_none=True)
def create(body: CreateSolutionRequest, tenant: TheTenant) -> SolutionAnswer:
    """Pack a folder of the drive, at once or as a job."""
    content, output = DrivePath.parse(body.content_folder), DrivePath.parse(body.output_folder)

    def create_now() -> dict[str, Any]:
        return {"solution_path": str(tenant.marketplace.create_solution(content, output))}

    if body.async_:
        return SolutionAnswer(status="OK", job_id=tenant.tasks.start("solution", create_now))
    return SolutionAnswer(status="OK", **create_now())
