"""``/api/v1/jobs``: state of jobs (Instabase protocol, "Jobs"), and the sandbox's own calls ``list`` and ``cancel``."""

import json
from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool

from pytest_ibmodels.instabase.wire import CancelRequest, JobListing, ListedJob
from pytest_ibmodels.sandbox.http.bodies import JsonRoute, TheTenant
from pytest_ibmodels.sandbox.services.cancelling import cancel_job
from pytest_ibmodels.sandbox.storage.tables import TRAIN, Job

router = APIRouter(prefix="/api/v1/jobs", route_class=JsonRoute)

# A task takes tenths of a second: waiting for its end costs less than another poll.
_TASK_SECONDS = 1.0


# A coroutine, as polls are the most frequent requests: a thread costs more than an answer from memory.
@router.get("/status")
async def status(job_id: str, tenant: TheTenant) -> dict[str, Any]:
    """Poll a job of any kind; the query's ``type`` is ignored."""
    await tenant.tasks.wait_for_end(job_id, _TASK_SECONDS)
    job = tenant.store.kept_job(job_id) or await run_in_threadpool(tenant.store.job, job_id)
    if job is None:
        msg = f"there is no job {job_id!r}"
        return {"status": "ERROR", "msg": msg, "state": "DONE", "results": [{"status": "ERROR", "msg": msg}]}
    failed = job.task_state == "ERROR"
    answer: dict[str, Any] = {
        "status": "ERROR" if failed else "OK",
        "msg": job.message,
        "state": job.state,
        "job_id": job.id,
        "kind": job.kind,
    }
    if job.kind == TRAIN:
        answer["cur_status"] = json.dumps({"task_state": job.task_state, "task_data": job.task_data})
        answer["peak_memory"] = job.peak_memory
        answer |= {"node": job.node or None, "attempt": job.attempt, "attempts_lost": job.lost}
        answer["resources"] = job.resources or None
        if job.task_state == "PENDING":
            position = await run_in_threadpool(tenant.training.queue_position, job)
            answer["queue_position"] = position
            if position is not None:
                answer["msg"] = f"queued, {_ordinal(position)}"
    if job.state == "DONE":
        answer["results"] = job.results
        answer["seconds"] = _seconds(job)
    return answer


@router.get("/list", response_model_exclude_none=True)
def jobs(model_name: str, tenant: TheTenant) -> JobListing:
    """List the training jobs of a model since the server started, oldest first.

    A client that lost the answer to its request finds here whether the job was started.
    """
    found = [ListedJob(job_id=job_id, model_name=model_name) for job_id in tenant.training.jobs_of(model_name)]
    return JobListing(status="OK", jobs=found)


@router.post("/cancel")
def cancel(body: CancelRequest, tenant: TheTenant) -> dict[str, str]:
    """Cancel a training job that waits or runs; an error if the job has ended."""
    cancel_job(tenant, body.job_id, tenant.caller)
    return {"status": "OK", "msg": "cancelled"}


def _ordinal(number: int) -> str:
    suffix = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def _seconds(job: Job) -> float | None:
    if job.started is None or job.finished is None:
        return None
    return round(job.finished - job.started, 3)
