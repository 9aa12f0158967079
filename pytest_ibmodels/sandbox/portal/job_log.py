"""Log of a job: parts of it as pages, the whole file, and its end as it grows."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress

from fastapi.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response, StreamingResponse

from pytest_ibmodels.sandbox.execution.log_parts import (
    LogPart,
    first_error,
    log_size,
    read_end,
    read_part,
    start_before,
)
from pytest_ibmodels.sandbox.portal.jobs import LOG_BYTES, LOG_LINES, the_job
from pytest_ibmodels.sandbox.portal.visits import Portal, Visit, cookie_name, page, redirect

_POLL_SECONDS = 0.5
_STATE_SECONDS = 2.0
"""Interval of asking whether the job has ended."""
_SESSION_SECONDS = 15.0
"""Interval of asking whether the session has ended, and of a sign of life."""
_MOST_BEHIND = 2**20
"""Bytes that a reader may be behind; the lines before are left out, as no page holds so many."""
_LINES_BEFORE_ERROR = 20
_ENDED: dict[tuple[str, str], tuple[float, bool]] = {}
"""Tenant and job → when the database was asked, and whether the job had ended then."""
_MOST_ENDED = 1000


def log_page(visit: Visit) -> Response:
    """Show a part of the log: at a byte offset, at the first error, or the end."""
    job = the_job(visit)
    log = visit.tenant.training.log_of(job.id)
    error: int | None = None
    if visit.query("at") == "error":
        error = first_error(log)
    begin = _offset(visit.query("from"))
    if error is not None:
        begin = start_before(log, error, max_lines=_LINES_BEFORE_ERROR, max_bytes=LOG_BYTES)
    if begin is None:
        part = read_end(log, max_lines=LOG_LINES, max_bytes=LOG_BYTES)
    else:
        part = read_part(log, begin, max_lines=LOG_LINES, max_bytes=LOG_BYTES)
    return visit.render(
        "log.html",
        job=job,
        log=part,
        error=error,
        found_none=visit.query("at") == "error" and error is None,
        earlier=start_before(log, part.begin, max_lines=LOG_LINES, max_bytes=LOG_BYTES) if part.begin else None,
    )


def log_file(visit: Visit) -> Response:
    """Send the whole log as a file."""
    job = the_job(visit)
    log = visit.tenant.training.log_of(job.id)
    if not log.is_file():
        return redirect(f"/portal/jobs/{job.id}")
    return FileResponse(log, media_type="text/plain; charset=utf-8", filename=f"{job.id}.log")


async def log_stream(visit: Visit) -> Response:
    """Send the log from a byte offset on as events, as it grows.

    An event's id is the offset after its lines, so a browser that lost the connection goes on where it was.
    """
    job = await run_in_threadpool(the_job, visit)
    begin = _offset(visit.request.headers.get("last-event-id", "")) or _offset(visit.query("from")) or 0
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    events = _Follower(visit, job.id, begin).events()
    return StreamingResponse(events, headers=headers, media_type="text/event-stream")


class _Follower:
    """Follows a log for one reader."""

    def __init__(self, visit: Visit, job_id: str, begin: int) -> None:
        self._visit = visit
        self._portal: Portal = visit.request.app.state.portal
        self._job_id = job_id
        self._log = visit.tenant.training.log_of(job_id)
        self._offset = begin
        self._size = -1
        self._is_over = False
        self._session_asked = time.monotonic()

    async def events(self) -> AsyncIterator[bytes]:
        yield b"retry: 1000\n\n"
        while not self._portal.is_stopping():
            # Asked before the log is read: all that the job has written is there then.
            self._is_over = await self._has_ended()
            size = log_size(self._log)
            if size != self._size or self._is_over:
                async for event in self._new_lines(size):
                    yield event
                self._size = size
            if self._is_over:
                yield _event("end", {}, self._offset)
                return
            if time.monotonic() - self._session_asked > _SESSION_SECONDS:
                self._session_asked = time.monotonic()
                if not await self._is_signed_in():
                    yield _event("signed-out", {}, self._offset)
                    return
                yield b": still here\n\n"
            await asyncio.sleep(_POLL_SECONDS)

    async def _new_lines(self, size: int) -> AsyncIterator[bytes]:
        if size < self._offset:
            self._offset = 0  # the job has emptied its log
        if size - self._offset > _MOST_BEHIND:
            part = await run_in_threadpool(
                read_end, self._log, max_lines=LOG_LINES, max_bytes=LOG_BYTES, is_complete=self._is_over
            )
            yield _event("skipped", {"bytes": part.begin - self._offset}, part.begin)
            self._offset = part.begin
        while self._offset < size:
            part = await run_in_threadpool(self._read)
            if not part.lines:
                return
            self._offset = part.end
            lines = [[line.text, line.level] for line in part.lines]
            yield _event("lines", lines, part.end)

    def _read(self) -> LogPart:
        return read_part(self._log, self._offset, max_lines=LOG_LINES, max_bytes=LOG_BYTES, is_complete=self._is_over)

    async def _has_ended(self) -> bool:
        store = self._visit.tenant.store
        job = store.kept_job(self._job_id)
        if job is not None:
            return job.state == "DONE"
        # Many readers may follow one job: the first of them asks the database.
        key = self._visit.tenant.name, self._job_id
        asked, is_over = _ENDED.get(key, (0.0, False))
        if time.monotonic() - asked > _STATE_SECONDS:
            _ENDED[key] = time.monotonic(), is_over
            job = await run_in_threadpool(store.job, self._job_id)
            is_over = job is None or job.state == "DONE"
            _ENDED[key] = time.monotonic(), is_over
            while len(_ENDED) > _MOST_ENDED:
                _ENDED.pop(next(iter(_ENDED)))
        return is_over

    async def _is_signed_in(self) -> bool:
        cookie = self._visit.request.cookies.get(cookie_name(self._visit.request), "")
        return await run_in_threadpool(self._portal.sessions.find, cookie, is_use=False) is not None


def _event(name: str, data: object, offset: int) -> bytes:
    # As JSON in ASCII: a line of a log may hold characters that end a line of an event.
    return f"event: {name}\nid: {offset}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def _offset(text: str) -> int | None:
    with suppress(ValueError):
        if text.isascii() and text.isdigit() and len(text) < 16:
            return int(text)
    return None


ROUTES = (
    page("/portal/jobs/{job_id}/log", log_page),
    page("/portal/jobs/{job_id}/log.txt", log_file),
    page("/portal/jobs/{job_id}/log/stream", log_stream),
)
