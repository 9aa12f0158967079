"""The engine: one event loop in a thread of its own, in which all runs of a session go on at once."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import signal
import threading
from typing import TYPE_CHECKING

from pytest_ibmodels.engine.case import Case, Run
from pytest_ibmodels.engine.case_runner import CaseRunner
from pytest_ibmodels.engine.clock import Clock, SystemClock
from pytest_ibmodels.engine.failure_limit import FailureLimit
from pytest_ibmodels.engine.routes.annotator import AnnotatorRoute
from pytest_ibmodels.engine.routes.table import TableRoute
from pytest_ibmodels.engine.session import EnvironmentSession
from pytest_ibmodels.journal.store import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future

    from pytest_ibmodels.engine.limits import Limits
    from pytest_ibmodels.engine.routes.base import Route
    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.spec import Environment

_CLOSING_SECONDS = 60.0
_INTERRUPTED_SECONDS = 2.5  # and the sandbox two more to end: a user who pressed Ctrl-C waits for it


class Engine:
    """Starts runs and cleans up after them. Used by pytest's thread; all work is done in the loop's.

    Args:
        max_failures: after so many failed runs no training is begun that no item waits for; 0 for no such limit.
        journal: where what is made in environments is written down; None: nowhere. The engine closes it.
        reattach: whether to go on with jobs of sessions that are no longer alive.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Clock | None = None,
        *,
        max_failures: int = 0,
        journal: Journal | None = None,
        reattach: bool = False,
    ) -> None:
        self.clock = clock or SystemClock()
        self.limits = limits
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ibmodels-engine", daemon=True)
        self._sessions: dict[EnvironmentSession, Environment] = {}
        self._runs: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._tellers: dict[int, asyncio.Task[None]] = {}
        self._stories: dict[int, CaseRunner] = {}
        self._count = 0
        self._brake = FailureLimit(max_failures)
        self._journal = journal or Journal(None)
        self._reattach = reattach
        self._thread.start()
        # An impatient user's second Ctrl-C can end pytest before it tears down its fixtures.
        atexit.register(self.close, interrupted=True)

    def start(self, environment: Environment, cases: Mapping[str, Case], package: Package) -> None:
        """Start the runs of an environment's cases, all at once; what is started already goes on.

        Args:
            environment: the entry; it is opened when the first run needs it.
            cases: key → case. The key is the caller's own; :meth:`run` finds the run by it.
            package: what is pushed and trained with.
        """
        new = {key: Run(case, package, _route_class(case).name) for key, case in cases.items() if key not in self._runs}
        self._runs.update(new)
        if new:
            starting = self._start(environment, list(new.values()), package)
            asyncio.run_coroutine_threadsafe(starting, self._loop).result()

    def run(self, key: str) -> Run:
        return self._runs[key]

    def want(self, run: Run) -> None:
        """Say that an item waits for a run."""
        self._loop.call_soon_threadsafe(run.wanted.set)

    def unfinished(self, environment: str) -> int:
        """How many runs of an environment have not ended their training."""
        return sum(run.case.environment == environment and not run.training.done() for run in self._runs.values())

    def expire(self, run: Run, reason: str) -> None:
        """End a run for which nobody waits any longer: its job is cancelled, and it fails for ``reason``."""
        if not run.expired:
            run.expired = reason
            self._loop.call_soon_threadsafe(self._tellers[id(run)].cancel)

    def promote(self, run: Run, *, force: bool) -> Future[None]:
        """Let the model of a run that passed take the place of the one in use; ends with a PromotionFailure if not.

        With `force`, also one that is certainly worse than the one in use.
        """
        return asyncio.run_coroutine_threadsafe(self._stories[id(run)].promote(force=force), self._loop)

    def close(self, *, interrupted: bool = False) -> list[str]:
        """Cancel what still runs, remove what was pushed, end the sandboxes.

        Args:
            interrupted: a person waits for the prompt: do in seconds what can be done in seconds.

        Returns:
            Sentences on what could not be removed or cancelled.
        """
        if not self._thread.is_alive():
            return []
        seconds = _INTERRUPTED_SECONDS if interrupted else _CLOSING_SECONDS
        with _no_sigint() if interrupted else contextlib.nullcontext():
            asyncio.run_coroutine_threadsafe(self._close(seconds), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
            self._journal.close()
        atexit.unregister(self.close)
        return [sentence for session in self._sessions for sentence in session.left_behind]

    @property
    def journal_problem(self) -> str:
        """Why the journal could not be written; empty if it could."""
        return self._journal.problem

    async def _start(self, environment: Environment, runs: list[Run], package: Package) -> None:
        # By all that the entry says: two folders may each have their own idea of an environment's host or limits.
        session = next((session for session, known in self._sessions.items() if known == environment), None)
        if session is None:
            session = EnvironmentSession(environment, self.limits, self.clock, self._journal, reattach=self._reattach)
            self._sessions[session] = environment
        for run in runs:
            self._count += 1
            route: Route = _route_class(run.case)()
            story = CaseRunner(run, self._count, session, route, package, session.limits, self.clock, self._brake)
            self._stories[id(run)] = story
            task = asyncio.create_task(story.tell())
            self._tasks.add(task)
            self._tellers[id(run)] = task
            task.add_done_callback(self._tasks.discard)

    async def _close(self, seconds: float) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        # Half the time for the stories to cancel their jobs; the rest to remove what was pushed, whatever came of that.
        if tasks:
            await asyncio.wait(tasks, timeout=seconds / 2)
        closing = [asyncio.create_task(session.close()) for session in self._sessions]
        if closing:
            _done, late = await asyncio.wait(closing, timeout=seconds / 2)
            for task in late:
                task.cancel()  # which still ends the sandbox, if it is one of ours
            await asyncio.gather(*closing, return_exceptions=True)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=0.2)


@contextlib.contextmanager
def _no_sigint() -> Iterator[None]:
    """Cleaning up after Ctrl-C takes seconds at most; another one must not leave jobs running."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _route_class(case: Case) -> type[AnnotatorRoute | TableRoute]:
    return AnnotatorRoute if case.test.table is None else TableRoute
