"""``/api/v1/marketplace`` and ``/api/v1/solution``: packages (protocol section 6)."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

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
from pytest_ibmodels.sandbox.http.bodies import json_body, tenant_of
from pytest_ibmodels.sandbox.http.openapi import takes
from pytest_ibmodels.sandbox.services.tenant import Tenant
from pytest_ibmodels.sandbox.storage.paths import DrivePath

router = APIRouter(prefix="/api/v1")

TheTenant = Annotated[Tenant, Depends(tenant_of)]


@router.get("/marketplace/list", response_model_exclude_none=True)
def list_apps(tenant: TheTenant) -> MarketplaceListing:
    """What is published."""
    return MarketplaceListing(status="OK", apps=tenant.marketplace.apps())


@router.post("/marketplace/publish", response_model_exclude_none=True, openapi_extra=takes(PublishRequest))
def publish(body: Annotated[PublishRequest, Depends(json_body(PublishRequest))], tenant: TheTenant) -> PublishAnswer:
    """Publish an archive of the drive, at once or as a job."""
    path = DrivePath.parse(body.ibsolution_path)
    if body.async_:
        job_id = tenant.tasks.start("publish", lambda: tenant.marketplace.publish(path))
        return PublishAnswer(status="OK", job_id=job_id)
    tenant.marketplace.publish(path)
    return PublishAnswer(status="OK")


@router.post("/marketplace/unpublish", response_model_exclude_none=True, openapi_extra=takes(UnpublishRequest))
def unpublish(body: Annotated[UnpublishRequest, Depends(json_body(UnpublishRequest))], tenant: TheTenant) -> Envelope:
    """Take a version back."""
    tenant.marketplace.unpublish(body.name, body.version)
    return Envelope(status="OK")


@router.post("/marketplace/install", response_model_exclude_none=True, openapi_extra=takes(InstallRequest))
def install(body: Annotated[InstallRequest, Depends(json_body(InstallRequest))], tenant: TheTenant) -> Envelope:
    """Unpack a published version."""
    tenant.marketplace.install(body.name, body.version)
    return Envelope(status="OK")


@router.post("/solution/create", response_model_exclude_none=True, openapi_extra=takes(CreateSolutionRequest))
def create(
    body: Annotated[CreateSolutionRequest, Depends(json_body(CreateSolutionRequest))], tenant: TheTenant
) -> SolutionAnswer:
    """Pack a folder of the drive, at once or as a job."""
    content, output = DrivePath.parse(body.content_folder), DrivePath.parse(body.output_folder)

    def create_now() -> dict[str, Any]:
        return {"solution_path": str(tenant.marketplace.create_solution(content, output))}

    if body.async_:
        return SolutionAnswer(status="OK", job_id=tenant.tasks.start("solution", create_now))
    return SolutionAnswer(status="OK", **create_now())
