"""``/classifier/logs``: output of training jobs, not below ``/api/v1`` (Instabase protocol, "Jobs")."""

from fastapi import APIRouter

from pytest_ibmodels.instabase.wire import LogEntry
from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.execution.joblog import read_logs
from pytest_ibmodels.sandbox.http.bodies import TheTenant

router = APIRouter(prefix="/classifier/logs")


@router.get("/{job_id}")
def logs(job_id: str, tenant: TheTenant) -> list[LogEntry]:
    """Read the last lines of a job's log."""
    job = tenant.store.job(job_id)
    if job is None:
        raise SandboxError(f"there is no job {job_id!r}")
    return read_logs(tenant.training.logs_of(job), job.started or job.created)
