"""Process that uses Ray for a server: it places jobs, follows them, and tells the server what becomes of them.

It is a process of its own because Ray ends the process that uses it when the cluster's head is gone for long, and changes
its signals and logging. The server starts it again, and tells it which jobs to follow.
"""

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from ray.exceptions import ActorDiedError, RayError

from pytest_ibmodels.sandbox.errors import StartError
from pytest_ibmodels.sandbox.execution.channel import Channel, receive_json, send_json
from pytest_ibmodels.sandbox.execution.job_spec import JobRef, JobSpec, Outcome
from pytest_ibmodels.sandbox.execution.ray_cluster.cluster_file import Versions
from pytest_ibmodels.sandbox.execution.ray_cluster.followed import Followed, Node
from pytest_ibmodels.sandbox.execution.ray_cluster.messages import DROP_SECONDS, LEASE_SECONDS, NodeConfig, NodeNews
from pytest_ibmodels.sandbox.execution.ray_cluster.session import RaySession
from pytest_ibmodels.sandbox.execution.runner import STOP_SECONDS

logger = logging.getLogger(__name__)

_HEAD_SECONDS = 15.0
_LOOK_SECONDS = 1.0
_TICK_SECONDS = 0.25
_POLL_SECONDS = 2.0
_SLACK_SECONDS = 5.0
_CALL_SECONDS = 20.0
_ATTACH_SECONDS = 60.0
_SILENT_SECONDS = LEASE_SECONDS + 10.0
_REFUSED_SECONDS = 30.0
_CLEAN_SECONDS = 30.0
_FAILURES = 2
_LEFTOVER_SECONDS = DROP_SECONDS + 30.0
_BOOK_SECONDS = (0.005, 0.25)
_PLACES = 3
"""Nodes that are tried for a job before it is given back to the queue as lost."""


class Driver:
    """The cluster, as one server sees it."""

    def __init__(
        self, session: RaySession, channel: Channel, data: str, data_id: str, settings: dict[str, Any]
    ) -> None:
        self._session = session
        self._channel = channel
        self._data, self._data_id, self._settings = data, data_id, settings
        self._nodes: dict[str, Node] = {}
        self._jobs: dict[JobRef, Followed] = {}
        self._told: dict[JobRef, dict[str, Any]] = {}
        self._told_nodes: list[dict[str, Any]] | None = None
        self._leftovers: dict[JobRef, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Work until the server closes the channel."""
        await self._look()
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._receive, args=(loop,), name="server", daemon=True).start()
        self._spawn(self._clean_up())
        self._spawn(self._tick())
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._look()

    # --- the server ---

    def _receive(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            try:
                message = receive_json(self._channel)
            except (EOFError, OSError):
                os._exit(0)  # the server has ended
            loop.call_soon_threadsafe(self._handle, message)

    def _handle(self, message: dict[str, Any]) -> None:
        operations: dict[str, Callable[[dict[str, Any]], Awaitable[None]]] = {
            "start": self._start,
            "find": self._find,
            "begin": self._begin,
            "cancel": self._cancel,
            "forget": self._forget,
        }
        self._spawn(operations[message["op"]](message))

    def _tell(self) -> None:
        """Tell the server what has changed."""
        for ref, job in self._jobs.items():
            status = job.as_json()
            if self._told.get(ref) != status:
                self._told[ref] = status
                send_json(self._channel, {"event": "status", "ref": ref, "status": status})
        nodes = [node.as_json() for node in self._nodes.values() if node.found.cpus]
        if nodes != self._told_nodes:
            self._told_nodes = nodes
            send_json(self._channel, {"event": "nodes", "nodes": nodes})

    def _spawn(self, work: Any) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    def _finish(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.error("the driver", exc_info=task.exception())
            _leave(f"the driver failed: {task.exception()}")
        self._tell()

    # --- nodes ---

    async def _look(self) -> None:
        """Look which nodes there are."""
        try:
            found = await asyncio.wait_for(asyncio.to_thread(self._session.nodes), _HEAD_SECONDS)
        except Exception as error:  # noqa: BLE001 - Ray's clients raise what they like
            _leave(f"the cluster's head does not answer: {error or type(error).__name__}")
        for each in found:
            node = self._nodes.get(each.id)
            if node is None:
                if not each.alive and not self._is_used(each.id):
                    continue
                node = self._nodes[each.id] = Node(each.id, each)
                if each.alive and each.cpus:
                    self._spawn(self._attend(node))
            node.found = each
            if not each.alive and node.gone_since is None:
                node.gone_since, node.actor = time.monotonic(), None
                node.taken = {}
                node.attached.set()
        known = {each.id for each in found}
        for node_id in [node_id for node_id in self._nodes if node_id not in known]:
            del self._nodes[node_id]
        self._tell()

    def _is_used(self, node_id: str) -> bool:
        return any(job.node_name.endswith(f"-{node_id[:6]}") for job in self._jobs.values())

    async def _attend(self, node: Node) -> None:
        """Keep a supervisor on a node, and follow its jobs."""
        failures = 0
        while node.found.alive and node.id in self._nodes:
            try:
                await self._attach(node)
                failures = 0
                while not node.refused:
                    await self._follow(node)
            except (RayError, TimeoutError, ValueError) as error:
                logger.warning("node %s: its supervisor has ended: %s", node.name, error)
                if node.attached.is_set():
                    node.gone_since = time.monotonic()
                failures += 1
                if failures > _FAILURES:
                    node.refused = f"its supervisor cannot be started: {_first_line(error)}"
            node.actor, node.taken = None, {}
            node.attached.clear()
            if node.refused:
                logger.error("node %s is not used: %s", node.name, node.refused)
                node.attached.set()
                await asyncio.sleep(_REFUSED_SECONDS)
            else:
                await asyncio.sleep(_TICK_SECONDS)

    async def _attach(self, node: Node) -> None:
        config = NodeConfig(
            node.name, node.found.address, node.id, self._data, self._data_id, int(node.found.gpus), self._settings
        )
        actor = await asyncio.to_thread(self._session.supervisor, config)
        theirs = await self._session.call(actor, "versions", seconds=_ATTACH_SECONDS)
        node.refused = Versions.model_validate(theirs).differences(Versions.here())
        if not node.refused:
            node.actor, node.silent_since, node.gone_since = actor, None, None
        node.attached.set()

    async def _follow(self, node: Node) -> None:
        """Ask a node once what is new.

        Raises:
            RayError: Its supervisor has ended.
        """
        watched = {job.spec.ref: job for job in self._jobs.values() if job.node_name == node.name and not job.is_over}
        asked = [job.watched() for job in watched.values()]
        try:
            news: NodeNews = await self._session.call(
                node.actor, "poll", asked, _POLL_SECONDS, seconds=_POLL_SECONDS + _SLACK_SECONDS, group="poll"
            )
        except ActorDiedError:
            raise
        except (RayError, TimeoutError):
            await self._bear_silence(node)
            return
        node.silent_since, node.instance, node.age, node.taken = None, news.instance, news.age, news.taken
        await asyncio.to_thread(_apply, watched, news)
        for job in watched.values():
            if job.is_over:
                self._spawn(self._release(job.spec.ref))
        self._tell()
        if any(each.state == "missing" for each in news.jobs):
            await asyncio.sleep(_TICK_SECONDS)

    async def _bear_silence(self, node: Node) -> None:
        now = time.monotonic()
        node.silent_since = node.silent_since or now
        if now - node.silent_since > _SILENT_SECONDS and node.found.alive:
            # Its lease has ended, or it is stuck: its node's raylet can still end it.
            logger.error("node %s: its supervisor does not answer, and is killed", node.name)
            await asyncio.to_thread(self._session.kill, node.actor)
        await asyncio.sleep(_TICK_SECONDS)

    async def _tick(self) -> None:
        """Find out what became of jobs whose nodes do not answer."""
        while True:
            for job in self._jobs.values():
                if job.node_name and not job.is_over:
                    job.miss(self._node_of(job))
            self._tell()
            await asyncio.sleep(_TICK_SECONDS)

    def _node_of(self, job: Followed) -> Node | None:
        return next((node for node in self._nodes.values() if node.name == job.node_name), None)

    # --- jobs ---

    async def _start(self, message: dict[str, Any]) -> None:
        spec = JobSpec.model_validate(message["spec"])
        if spec.ref not in self._jobs:
            job = self._jobs[spec.ref] = Followed(spec)
            job.starting = self._spawn(self._place(job))

    async def _place(self, job: Followed) -> None:
        """Find a node that takes a job."""
        for _place in range(_PLACES):
            node = await self._booked(job)
            if node is None:
                return
            try:
                problem = await self._session.call(
                    node.actor, "accept", job.spec.model_dump_json(), seconds=_CALL_SECONDS
                )
            except (RayError, TimeoutError) as error:
                # If it has taken the job all the same, it drops it: it is not told to begin.
                logger.warning("job %s: node %s does not take it: %s", job.spec.job_id, node.name, _first_line(error))
                await self._release(job.spec.ref)
                continue
            if problem:
                await self._release(job.spec.ref)
                outcome = Outcome(msg=f"the sandbox could not run this job: {problem}", fault=True)
                job.node_name, job.state, job.outcome = node.name, "ended", outcome
            else:
                job.taken_by(node.name)
                job.state = "placed"
                node.taken = {**node.taken, job.spec.ref: job.spec.resources}
            return
        job.state, job.reason = "lost", f"{_PLACES} nodes did not take it"

    async def _booked(self, job: Followed) -> Node | None:
        """Wait for a place on a node that can be used; None if the job is cancelled meanwhile."""
        ref = job.spec.ref
        pause, longest = _BOOK_SECONDS
        await self._book(job)
        while not job.is_stopping:
            node_id = await asyncio.to_thread(self._session.booked_node, ref)
            node = None if node_id is None else self._nodes.get(node_id)
            if node is not None and node.attached.is_set():
                if node.actor is not None:
                    return node
                await self._release(ref)
                await self._book(job)
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)
        return None

    async def _book(self, job: Followed) -> None:
        refused = [node.id for node in self._nodes.values() if node.refused]
        await asyncio.to_thread(self._session.book, job.spec.ref, job.spec.resources, refused)

    async def _find(self, message: dict[str, Any]) -> None:
        spec = JobSpec.model_validate(message["spec"])
        if spec.ref not in self._jobs:
            job = self._jobs[spec.ref] = Followed(spec)
            job.taken_by(message["node"])
            job.state, job.reason = "unknown", f"node {job.node_name} was not asked yet"

    async def _begin(self, message: dict[str, Any]) -> None:
        job = self._jobs.get(JobRef(*message["ref"]))
        node = None if job is None else self._node_of(job)
        if job is not None and node is not None and node.actor is not None and job.state == "placed":
            with suppress(RayError, TimeoutError):
                await self._session.call(node.actor, "begin", *job.spec.ref, seconds=_CALL_SECONDS)

    async def _cancel(self, message: dict[str, Any]) -> None:
        ref = JobRef(*message["ref"])
        job = self._jobs.get(ref)
        problem = "" if job is None or job.is_over else await self._stop(job, message["reason"])
        self._tell()
        send_json(self._channel, {"event": "answer", "id": message["id"], "problem": problem})

    async def _stop(self, job: Followed, reason: str) -> str:
        """Stop a job; return a clause that says why it may still run."""
        job.is_stopping = True
        if job.starting is not None:
            await asyncio.wait([job.starting])
        if job.state == "pending":
            await self._release(job.spec.ref)
            job.state, job.outcome = "ended", Outcome(msg=reason)
        if job.is_over:
            return ""
        node = self._node_of(job)
        if node is None or node.actor is None:
            return job.unknown or f"node {job.node_name} does not answer"
        try:
            stopped = await self._session.call(
                node.actor, "stop", *job.spec.ref, reason, seconds=STOP_SECONDS + _SLACK_SECONDS, group="stop"
            )
        except (RayError, TimeoutError):
            return f"node {job.node_name} does not answer"
        return "" if stopped else "it was killed, but its process has not ended yet"

    async def _forget(self, message: dict[str, Any]) -> None:
        ref = JobRef(*message["ref"])
        job = self._jobs.pop(ref, None)
        self._told.pop(ref, None)
        await self._release(ref)
        node = None if job is None else self._node_of(job)
        if node is not None and node.actor is not None:
            with suppress(RayError, TimeoutError):
                await self._session.call(node.actor, "forget", *ref, seconds=_CALL_SECONDS)

    async def _release(self, ref: JobRef) -> None:
        try:
            await asyncio.to_thread(self._session.release, ref)
        except Exception as error:  # noqa: BLE001 - what is left over is removed later
            logger.warning("job %s: its place is not given back yet: %s", ref.job_id, _first_line(error))

    async def _clean_up(self) -> None:
        """Give back places of jobs that no node knows, which a server left behind."""
        while True:
            await asyncio.sleep(_CLEAN_SECONDS)
            slots = await asyncio.to_thread(self._session.slots)
            now = time.monotonic()
            used = {ref for node in self._nodes.values() for ref in node.taken} | set(self._jobs)
            silent = {node.id for node in self._nodes.values() if node.actor is None or node.silent_since is not None}
            left = {ref for ref, node_id in slots.items() if ref not in used and node_id not in silent}
            self._leftovers = {ref: self._leftovers.get(ref, now) for ref in left}
            for ref, since in self._leftovers.items():
                if now - since > _LEFTOVER_SECONDS:
                    await self._release(ref)


def _apply(watched: dict[JobRef, Followed], news: NodeNews) -> None:
    for each in news.jobs:
        job = watched.get(each.ref)
        if job is not None:
            job.apply(each, news)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _leave(reason: str) -> NoReturn:
    """End this process; the server starts another one."""
    logger.error("%s", reason)
    logging.shutdown()
    os._exit(1)


def main() -> None:
    """Run with the number of the channel's file as the only argument."""
    channel: Channel = Connection(int(sys.argv[1]))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True)
    hello = receive_json(channel)
    try:
        session = RaySession(hello["address"], hello["data_id"])
    except StartError as error:
        send_json(channel, {"event": "refused", "reason": str(error)})
        return
    send_json(channel, {"event": "connected"})
    asyncio.run(Driver(session, channel, hello["data"], hello["data_id"], hello["settings"]).run())


if __name__ == "__main__":
    main()
