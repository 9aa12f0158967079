"""Pages of jobs: the list, and one job."""

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from pytest_ibmodels.sandbox.execution.log_parts import read_end
from pytest_ibmodels.sandbox.portal.earlier_training import tuning_request
from pytest_ibmodels.sandbox.portal.formats import url_part
from pytest_ibmodels.sandbox.portal.forms import Done
from pytest_ibmodels.sandbox.portal.plots import plot
from pytest_ibmodels.sandbox.portal.reported import reported
from pytest_ibmodels.sandbox.portal.tuned import code_of
from pytest_ibmodels.sandbox.portal.visits import NotHereError, Visit, page
from pytest_ibmodels.sandbox.services.cancelling import cancel_job
from pytest_ibmodels.sandbox.services.job_requests import request_of
from pytest_ibmodels.sandbox.storage.job_listing import (
    JOB_STATES,
    JobState,
    ListedJobRow,
    shown_state,
)
from pytest_ibmodels.sandbox.storage.tables import TRAIN, Job

PAGE_JOBS = 50
LOG_LINES = 1000
"""Lines of a log that a page holds at most."""
LOG_BYTES = 256 * 1024
_LIST_SECONDS = 3.0
_JOB_SECONDS = 2.0
_MOST_MODELS = 500


@dataclass(frozen=True)
class _ShownJob:
    """A job in the list; times in seconds."""

    row: ListedJobRow
    state: JobState
    age: float
    seconds: float | None
    queue_position: int | None


def job_list(visit: Visit) -> Response:
    """Show a page of the list, filtered by state and model."""
    listing = visit.tenant.job_listing
    model = visit.query("model")
    state = next((known for known in JOB_STATES if known == visit.query("state")), None)
    found = listing.page(
        PAGE_JOBS, state=state, model=model or None, before=visit.query("before"), after=visit.query("after")
    )
    rows = found.rows
    filters = {name: value for name, value in (("state", state or ""), ("model", model)) if value}
    now = time.time()
    positions = visit.tenant.training.queue_positions(rows)
    shown = [_shown(row, positions.get(row.id), now) for row in rows]
    return visit.render_live(
        "jobs.html",
        "jobs_live.html",
        _LIST_SECONDS,
        jobs=shown,
        has_nodes=any(row.node for row in rows),
        models=listing.models(_MOST_MODELS),
        states=JOB_STATES,
        chosen_state=state or "",
        chosen_model=model,
        has_filter=bool(filters),
        older_url=_url(filters, before=rows[-1].key) if rows and found.older else "",
        newer_url=_url(filters, after=rows[0].key) if rows and found.newer else "",
        newest_url=_url(filters),
        is_newest=not found.newer,
    )


def one_job(visit: Visit) -> Response:
    """Show one job, with its reports, its log and its request."""
    job = the_job(visit)
    facts = reported(job)
    is_over = job.state == "DONE"
    log = read_end(visit.tenant.training.log_of(job), max_lines=LOG_LINES, max_bytes=LOG_BYTES, is_complete=is_over)
    return visit.render_live(
        "job.html",
        "job_live.html",
        None if is_over else _JOB_SECONDS,
        job=job,
        state=shown_state(job.task_state, job.message),
        is_over=is_over,
        took=_seconds(job.started, job.finished, time.time()),
        queue_position=visit.tenant.training.queue_position(job),
        facts=facts,
        plots=[(panel, plot(panel)) for panel in facts.panels],
        failure=_failure(job),
        result=_result(job),
        request=request_of(job),
        tuned=_tuned(job),
        log=log,
        most_lines=LOG_LINES,
        is_training=job.kind == TRAIN,
    )


def ask_to_cancel(visit: Visit) -> Response:
    """Ask once whether to cancel a job."""
    return _ask_to_cancel(visit, "")


def cancel(visit: Visit) -> Response:
    """Cancel a job."""
    job_id = visit.path("job_id")

    def action() -> Done:
        cancel_job(visit.tenant, job_id, visit.who)
        return Done("The job is cancelled.", f"/portal/jobs/{job_id}")

    the_job(visit)
    return visit.act(action, lambda problem: _ask_to_cancel(visit, problem))


def the_job(visit: Visit) -> Job:
    """Return the job that the path names.

    Raises:
        NotHereError: There is no such job.
    """
    job = visit.tenant.store.job(visit.path("job_id"))
    if job is None:
        days = visit.tenant.settings.keep_jobs / 86_400
        msg = f"there is no job {visit.path('job_id')[:100]!r}; a job is kept for {days:g} days after its end"
        raise NotHereError(msg)
    return job


def _ask_to_cancel(visit: Visit, problem: str) -> Response:
    job = the_job(visit)
    state = shown_state(job.task_state, job.message)
    return visit.render("cancel.html", 409 if problem else 200, job=job, state=state, problem=problem)


def _shown(row: ListedJobRow, position: int | None, now: float) -> _ShownJob:
    return _ShownJob(row, row.shown_state, now - row.created, _seconds(row.started, row.finished, now), position)


def _seconds(started: float | None, finished: float | None, now: float) -> float | None:
    return None if started is None else (finished or now) - started


def _failure(job: Job) -> dict[str, str]:
    """Reason and stack trace of a failed job; empty for others."""
    if job.task_state != "ERROR" or not job.results:
        return {}
    return {key: str(job.results[0].get(key) or "") for key in ("msg", "strace")}


def _result(job: Job) -> Any:
    """Result of a training, or of another job; None if there is none."""
    if job.task_state != "DONE" or not job.results:
        return None
    first = {key: value for key, value in job.results[0].items() if key != "status"}
    return first.get("result") if set(first) == {"result"} else first or None


def _tuned(job: Job) -> dict[str, str]:
    """Paths of the pages where a person goes on after a tuning job; empty for other jobs."""
    request = tuning_request(job)
    if request is None:
        return {}
    model = str(request.arguments.get("model_name") or "")
    again = urlencode({"job": job.id, "code": code_of(request)}, errors="replace")
    return {"model": f"/portal/models/{url_part(model)}", "again": f"/portal/train?{again}"}


def _url(filters: dict[str, str], **place: str) -> str:
    query = urlencode({**filters, **place}, errors="replace")
    return f"/portal/jobs?{query}" if query else "/portal/jobs"


ROUTES = (
    page("/portal/jobs", job_list),
    page("/portal/jobs/{job_id}", one_job),
    page("/portal/jobs/{job_id}/cancel", ask_to_cancel),
    page("/portal/jobs/{job_id}/cancel", cancel, method="POST"),
)
