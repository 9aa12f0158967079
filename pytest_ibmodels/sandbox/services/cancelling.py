"""Cancelling a training job, for the API and the portal."""

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.services.tenant import Tenant
from pytest_ibmodels.sandbox.storage.job_listing import shown_state
from pytest_ibmodels.sandbox.storage.tables import CANCELLED, TRAIN


def cancel_job(tenant: Tenant, job_id: str, who: str) -> None:
    """Cancel a job that waits or runs, and record ``who`` did it.

    Raises:
        SandboxError: There is no such job, it is no training, or it has ended.
    """
    job = tenant.store.job(job_id)
    if job is None:
        msg = f"there is no job {job_id!r}"
        raise SandboxError(msg)
    if job.kind != TRAIN:
        msg = f"job {job_id} is of the kind '{job.kind}'; only training jobs can be cancelled"
        raise SandboxError(msg)
    if not tenant.training.cancel(job_id):
        msg = f"job {job_id} has ended already"
        raise SandboxError(msg)
    before = shown_state(job.task_state, job.message)
    tenant.audit.record(who, "cancel", f"job {job_id}", before=before, after=CANCELLED)
