"""``/api/v1/refiner-v5``: runs of Refiner programs (Instabase protocol, "Refiner")."""

from fastapi import APIRouter

from pytest_ibmodels.instabase.wire import JobStarted, RefinerRequest
from pytest_ibmodels.sandbox.http.bodies import JsonRoute, TheTenant

router = APIRouter(prefix="/api/v1/refiner-v5", route_class=JsonRoute)


@router.post("/run", response_model_exclude_none=True)
def run(
    body: RefinerRequest,
    tenant: TheTenant,
) -> JobStarted:
    """Start a job that runs the given program on the named records."""
    return JobStarted(status="OK", job_id=tenant.refiner.start(body))
