"""Jobs that run in threads of the server: file work and Refiner runs."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.storage.job_store import Store

logger = logging.getLogger(__name__)


class TaskRunner:
    """Runs tasks as jobs, several at once; those that wait for models have threads of their own."""

    def __init__(self, store: Store, threads: int = 32) -> None:
        self._store = store
        self._closing = False
        self._pools = {
            waits: ThreadPoolExecutor(threads, thread_name_prefix=name)
            for waits, name in ((False, "task"), (True, "model-task"))
        }
        self._unfinished: dict[str, Future[None]] = {}

    def start(self, kind: str, task: Callable[[], dict[str, Any] | None], *, waits_for_model: bool = False) -> str:
        """Start ``task``, whose value is the job's result; returns the job's id."""
        job_id = self._store.new_job(kind)
        running = self._unfinished[job_id] = self._pools[waits_for_model].submit(self._run, job_id, task)
        running.add_done_callback(lambda _: self._unfinished.pop(job_id, None))
        return job_id

    async def ended(self, job_id: str, seconds: float) -> None:
        """Return when a task has ended, or after so many seconds; at once if it is none, or has ended before."""
        running = self._unfinished.get(job_id)
        if running is not None:
            await asyncio.wait([asyncio.wrap_future(running)], timeout=seconds)

    def close(self) -> None:
        """Start nothing more; what runs is not waited for, and what the store says of it is left to the next start."""
        self._closing = True
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, job_id: str, task: Callable[[], dict[str, Any] | None]) -> None:
        try:
            self._store.start(job_id)
            self._store.succeed(job_id, task() or {})
        except SandboxError as error:
            logger.warning("job %s: %s", job_id, error)
            self._fail(job_id, str(error))
        except Exception as error:
            logger.exception("job %s", job_id)
            self._fail(job_id, f"the sandbox failed: {type(error).__name__}: {error}")

    def _fail(self, job_id: str, msg: str) -> None:
        if not self._closing:
            self._store.fail(job_id, msg)
