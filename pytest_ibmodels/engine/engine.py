"""The engine: an event loop in a thread of its own that runs all cases of a session at once."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import signal
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

from pytest_ibmodels.engine.case import FailureLimit, Run
from pytest_ibmodels.engine.case_runner import CaseRunner
from pytest_ibmodels.engine.repeats import add_repeats
from pytest_ibmodels.engine.routes.registry import route_for
from pytest_ibmodels.engine.session import EnvironmentSession
from pytest_ibmodels.instabase.clock import Clock, SystemClock
from pytest_ibmodels.journal.store import Journal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from pytest_ibmodels.engine.case import Case
    from pytest_ibmodels.engine.polling import Limits
    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.spec import Environment

_CLOSING_SECONDS = 60.0
_INTERRUPTED_SECONDS = 2.5  # short, since a user who pressed Ctrl-C waits; the sandbox takes two more to end


class Engine:
    """Starts runs and cleans up after them. Its methods are called in pytest's thread and work in the loop's.

    Args:
        max_failures: failed runs after which no further training is started (``--maxfail``); 0 for no limit.
        journal: journal of what is created in environments; None disables journaling. The engine closes it.
        reattach: whether to continue jobs of sessions that are no longer alive (``--reattach``).
        portal: whether to ask embedded sandboxes for the address of their portal (``--sandbox-portal``).
    """

    def __init__(
        self,
        limits: Limits,
        clock: Clock | None = None,
        *,
        max_failures: int = 0,
        journal: Journal | None = None,
        reattach: bool = False,
        portal: bool = False,
    ) -> None:
        self.clock = clock or SystemClock()
        self.limits = limits
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="ibmodels-engine", daemon=True)
        self._sessions: dict[EnvironmentSession, Environment] = {}
        self._runs: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._task_of: dict[int, asyncio.Task[None]] = {}
        self._runners: dict[int, CaseRunner] = {}
        self._count = 0
        self._failure_limit = FailureLimit(max_failures)
        self._journal = journal or Journal(None)
        self._reattach = reattach
        self._portals: SimpleQueue[tuple[str, str]] | None = SimpleQueue() if portal else None
        self._thread.start()
        # A second Ctrl-C can end pytest before it tears down its fixtures.
        atexit.register(self.close, interrupted=True)

    def start(self, environment: Environment, cases: Mapping[str, Case], package: Package) -> None:
        """Start the runs of an environment's cases, all at once, except those that were started already.

        Args:
            environment: its entry; opened when the first run needs it.
            cases: key → case. The caller chooses the keys; :meth:`run` finds a run by its key.
            package: the package to upload and train with.
        """
        new = {
            key: Run(case, package, route_for(case.test).name) for key, case in cases.items() if key not in self._runs
        }
        self._runs.update(new)
        if new:
            starting = self._start(environment, list(new.values()), package)
            asyncio.run_coroutine_threadsafe(starting, self._loop).result()

    def run(self, key: str) -> Run:
        """The run that was started under a key."""
        return self._runs[key]

    def want(self, run: Run) -> None:
        """Record that an item waits for a run."""
        self._loop.call_soon_threadsafe(run.wanted.set)

    def new_portals(self) -> list[tuple[str, str]]:
        """Environment and address of each portal that was opened since the last call."""
        found = []
        while self._portals is not None and not self._portals.empty():
            found.append(self._portals.get())
        return found

    def unfinished(self, environment: str) -> int:
        """Number of an environment's runs whose training has not ended."""
        return sum(run.case.environment == environment and not run.training.done() for run in self._runs.values())

    def expire(self, run: Run, reason: str) -> None:
        """Cancel a run that no item waits for any longer, with its job; the run fails with ``reason``."""
        if not run.expired:
            run.expired = reason
            self._loop.call_soon_threadsafe(self._task_of[id(run)].cancel)

    def promote(self, run: Run, *, force: bool) -> Future[None]:
        """Promote the model of a run that passed; the future ends with a PromotionFailure if that fails.

        With ``force``, promote also a model that is certainly worse than the one in use.
        """
        return asyncio.run_coroutine_threadsafe(self._runners[id(run)].promote(force=force), self._loop)

    def close(self, *, interrupted: bool = False) -> list[str]:
        """Cancel what still runs, remove what was uploaded, stop the sandboxes.

        Args:
            interrupted: whether a user waits for the prompt; then cleaning up takes seconds at most.

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
        """Reason why the journal could not be written; empty if there was no problem."""
        return self._journal.problem

    async def _start(self, environment: Environment, runs: list[Run], package: Package) -> None:
        # Compared as a whole, since two folders may describe the same environment name with another host or limits.
        session = next((session for session, known in self._sessions.items() if known == environment), None)
        if session is None:
            session = EnvironmentSession(
                environment,
                self.limits,
                self.clock,
                self._journal,
                code=package.folder,
                reattach=self._reattach,
                portals=self._portals,
            )
            self._sessions[session] = environment
        for run in runs:
            add_repeats(run)
            repeats = [self._runner(repeat, session, package) for repeat in run.repeats]
            runner = self._runner(run, session, package, repeats)
            self._runners[id(run)] = runner
            task = asyncio.create_task(runner.run())
            self._tasks.add(task)
            self._task_of[id(run)] = task
            task.add_done_callback(self._tasks.discard)

    def _runner(
        self, run: Run, session: EnvironmentSession, package: Package, repeats: Sequence[CaseRunner] = ()
    ) -> CaseRunner:
        self._count += 1
        route = route_for(run.case.test)()
        limits = session.limits
        return CaseRunner(run, self._count, session, route, package, limits, self.clock, self._failure_limit, repeats)

    async def _close(self, seconds: float) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        # Half the time to cancel jobs, the other half to remove what was uploaded.
        if tasks:
            await asyncio.wait(tasks, timeout=seconds / 2)
        closing = [asyncio.create_task(session.close()) for session in self._sessions]
        if closing:
            _done, late = await asyncio.wait(closing, timeout=seconds / 2)
            for task in late:
                task.cancel()  # an embedded sandbox is still stopped
            await asyncio.gather(*closing, return_exceptions=True)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=0.2)


@contextlib.contextmanager
def _no_sigint() -> Iterator[None]:
    """Ignore Ctrl-C while cleaning up, which takes seconds at most: interrupted, it would leave jobs running."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
