"""``/api/v1/sandbox``: the status of the server (Instabase protocol, "Sandbox")."""

from fastapi import APIRouter

from pytest_ibmodels.instabase.wire_sandbox import SandboxStatus
from pytest_ibmodels.sandbox.http.bodies import JsonRoute, TheTenant

router = APIRouter(prefix="/api/v1/sandbox", route_class=JsonRoute)


@router.get("/status", response_model_exclude_none=True)
def status(tenant: TheTenant) -> SandboxStatus:
    """Show version, machines and queue."""
    return tenant.server.collect()
