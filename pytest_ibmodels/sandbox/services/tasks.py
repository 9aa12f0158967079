"""Jobs that run in threads of the server: file operations and Refiner runs."""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pytest_ibmodels.sandbox.errors import BusyError, SandboxError
from pytest_ibmodels.sandbox.storage.job_store import Store

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 0.5


class TaskRunner:
    """Thread pool that runs tasks as jobs; tasks that wait for models have a second pool."""

    def __init__(self, store: Store, threads: int = 32) -> None:
        self._store = store
        self._closing = False
        self._pools = {
            waits: ThreadPoolExecutor(threads, thread_name_prefix=name)
            for waits, name in ((False, "task"), (True, "model-task"))
        }
        self._unfinished: dict[str, Future[None]] = {}

    def start(self, kind: str, task: Callable[[], dict[str, Any] | None], *, waits_for_model: bool = False) -> str:
        """Start ``task``, whose return value is the job's result, and return the job's id."""
        job_id, _is_new = self._store.new_job(kind)
        running = self._unfinished[job_id] = self._pools[waits_for_model].submit(self._run, job_id, task)
        running.add_done_callback(lambda _: self._unfinished.pop(job_id, None))
        return job_id

    async def wait_for_end(self, job_id: str, seconds: float) -> None:
        """Wait up to ``seconds`` for the end of a task; return at once if no such task is unfinished."""
        running = self._unfinished.get(job_id)
        if running is not None:
            await asyncio.wait([asyncio.wrap_future(running)], timeout=seconds)

    def close(self) -> None:
        """Start no more tasks, without waiting for running ones; the next start marks those as failed."""
        self._closing = True
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, job_id: str, task: Callable[[], dict[str, Any] | None]) -> None:
        owner = self._store.owner
        try:
            self._record(lambda: self._store.confirm(job_id, 1, owner, None))
            result = task() or {}
            self._record(lambda: self._store.succeed(job_id, 1, owner, result))
        except SandboxError as error:
            logger.warning("job %s: %s", job_id, error)
            self._fail(job_id, str(error))
        except Exception as error:
            logger.exception("job %s", job_id)
            self._fail(job_id, f"the sandbox failed: {type(error).__name__}: {error}")

    def _fail(self, job_id: str, msg: str) -> None:
        if not self._closing:
            self._record(lambda: self._store.fail(job_id, 1, self._store.owner, msg))

    def _record(self, write: Callable[[], bool]) -> None:
        """Write the state of a job, and wait for a database that does not answer for a moment."""
        while True:
            try:
                write()
            except BusyError:
                if self._closing:
                    raise
                time.sleep(_RETRY_SECONDS)
            else:
                return
