"""``/api/v1/annotator``: a Refiner program for a trained model (Instabase protocol, "Annotator projects")."""

from fastapi import APIRouter

from pytest_ibmodels.instabase.wire import Exported, ExportRequest
from pytest_ibmodels.sandbox.http.bodies import JsonRoute, TheTenant

router = APIRouter(prefix="/api/v1/annotator", route_class=JsonRoute)


@router.post("/export_model", response_model_exclude_none=True)
def export_model(body: ExportRequest, tenant: TheTenant) -> Exported:
    """Register a model package under its name and write its Refiner program."""
    return Exported(status="OK", refiner_path=tenant.refiner.export(body))
