"""Process that uses Ray for a server: it places jobs, follows them, and tells the server what becomes of them.

It is a process of its own because Ray ends the process that uses it when the cluster's head is gone for long, and
changes its signals and logging. The server starts it again, and tells it which jobs to follow.
"""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from ray.exceptions import RayError

from pytest_ibmodels.sandbox.errors import StartError
from pytest_ibmodels.sandbox.execution.channel import Channel, receive_json, send_json
from pytest_ibmodels.sandbox.execution.job_spec import JobRef, JobSpec
from pytest_ibmodels.sandbox.execution.ray_cluster.followed import Cluster, Followed, Node
from pytest_ibmodels.sandbox.execution.ray_cluster.messages import NodeConfig
from pytest_ibmodels.sandbox.execution.ray_cluster.node_keeper import HeadError, NodeKeeper
from pytest_ibmodels.sandbox.execution.ray_cluster.placer import Placer
from pytest_ibmodels.sandbox.execution.ray_cluster.session import RaySession
from pytest_ibmodels.sandbox.execution.served import Answer

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_TICK_SECONDS = 0.25
_ATTACH_SECONDS = 30.0

Work = Coroutine[Any, Any, None]


class Driver:
    """The cluster, as one server sees it. Its methods run in one thread, that of the event loop."""

    def __init__(self, session: RaySession, channel: Channel, hello: dict[str, Any]) -> None:
        """Make a driver; ``hello`` is the server's first message."""
        self._session = session
        self._channel = channel
        self._hello = hello
        self._cluster = Cluster(hello["lease"])
        self._keeper = NodeKeeper(self._cluster, session, self._config, self._spawn, self._take_news)
        self._placer = Placer(self._cluster, session)
        self._told: dict[JobRef, dict[str, Any]] = {}
        self._told_nodes: list[dict[str, Any]] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Work until the server closes the channel."""
        try:
            await self._keeper.look()
            loop = asyncio.get_running_loop()
            threading.Thread(target=self._receive, args=(loop,), name="server", daemon=True).start()
            self._spawn(self._placer.clean_up())
            self._spawn(self._tick())
            while True:
                self._tell()
                await asyncio.sleep(_LOOK_SECONDS)
                await self._keeper.look()
        except HeadError as error:
            self._leave(str(error))

    def _config(self, node: Node) -> NodeConfig:
        return NodeConfig(
            name=node.name,
            address=node.found.address,
            node_id=node.id,
            data=self._hello["data"],
            data_id=self._hello["data_id"],
            lease=self._hello["lease"],
            gpus=int(node.found.gpus),
            settings=self._hello["settings"],
        )

    # --- the server ---

    def _receive(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            try:
                message = receive_json(self._channel)
            except (EOFError, OSError):
                os._exit(0)  # the server has ended
            loop.call_soon_threadsafe(self._handle, message)

    def _handle(self, message: dict[str, Any]) -> None:
        operations: dict[str, Callable[[dict[str, Any]], Work]] = {
            "start": self._start,
            "find": self._find,
            "begin": self._begin,
            "cancel": self._cancel,
            "forget": self._forget,
            "ask": self._ask,
            "unload": self._unload,
        }
        self._spawn(operations[message["op"]](message))

    def _tell(self) -> None:
        """Tell the server what has changed."""
        for ref, job in self._cluster.jobs.items():
            status = job.as_json()
            if self._told.get(ref) != status:
                self._told[ref] = status
                self._send({"event": "status", "ref": ref, "status": status})
        nodes = [node.as_json() for node in self._cluster.nodes.values() if node.found.cpus]
        if nodes != self._told_nodes:
            self._told_nodes = nodes
            self._send({"event": "nodes", "nodes": nodes})

    def _send(self, message: dict[str, Any]) -> None:
        try:
            send_json(self._channel, message)
        except OSError:
            os._exit(0)  # the server has ended

    def _spawn(self, work: Work) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    def _finish(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("the driver", exc_info=error)
            self._leave(f"{type(error).__name__}: {error}")
        self._tell()

    def _leave(self, reason: str) -> NoReturn:
        """End this process; the server starts another one."""
        self._send({"event": "leaving", "reason": reason})
        logging.shutdown()
        os._exit(1)

    def _take_news(self, jobs: list[Followed]) -> None:
        for job in jobs:
            if job.is_over:
                job.over.set()
                self._spawn(self._placer.release(job.spec.ref))
        self._tell()

    async def _tick(self) -> None:
        """Find out what became of jobs whose nodes do not answer."""
        while True:
            for job in self._cluster.jobs.values():
                if job.node_name and not job.is_over:
                    job.miss(self._cluster.node_of(job), self._cluster.lease)
            self._tell()
            await asyncio.sleep(_TICK_SECONDS)

    # --- jobs ---

    async def _start(self, message: dict[str, Any]) -> None:
        spec = JobSpec.model_validate(message["spec"])
        if spec.ref not in self._cluster.jobs:
            job = self._cluster.jobs[spec.ref] = Followed(spec)
            job.starting = self._spawn(self._placer.place(job))

    async def _find(self, message: dict[str, Any]) -> None:
        spec = JobSpec.model_validate(message["spec"])
        if spec.ref not in self._cluster.jobs:
            job = self._cluster.jobs[spec.ref] = Followed(spec)
            job.taken_by(message["node"])
            job.state, job.reason = "unknown", f"node {job.node_name} was not asked yet"

    async def _begin(self, message: dict[str, Any]) -> None:
        job = self._cluster.jobs.get(JobRef(*message["ref"]))
        if job is not None:
            await self._placer.begin(job)

    async def _cancel(self, message: dict[str, Any]) -> None:
        job = self._cluster.jobs.get(JobRef(*message["ref"]))
        problem = "" if job is None or job.is_over else await self._placer.stop(job, message["reason"])
        self._tell()
        self._send({"event": "answer", "id": message["id"], "answer": problem})

    async def _forget(self, message: dict[str, Any]) -> None:
        ref = JobRef(*message["ref"])
        job = self._cluster.jobs.pop(ref, None)
        self._told.pop(ref, None)
        if job is not None:
            await self._placer.forget(job)

    # --- models ---

    async def _ask(self, message: dict[str, Any]) -> None:
        """Have a node answer for a model."""
        name, seconds = message["name"], message["seconds"]
        node = await self._cluster.node_for_model(name, _ATTACH_SECONDS)
        if node is None:
            answer = Answer(fault="no node of the cluster answers", while_loading=True)
        else:
            try:
                answer = await self._session.call(
                    node.actor, "ask", name, message["spec"], message["request"], seconds=seconds, group="serve"
                )
            except TimeoutError:
                answer = Answer(gone=f"did not answer within {seconds:g} s on node {node.name}")
            except RayError:
                answer = Answer(gone=f"ended with node {node.name}")
        self._send({"event": "answer", "id": message["id"], "answer": asdict(answer)})

    async def _unload(self, message: dict[str, Any]) -> None:
        for node in list(self._cluster.nodes.values()):
            if message["name"] in node.served and node.actor is not None:
                try:
                    await self._session.call(
                        node.actor, "unload", message["name"], seconds=message["seconds"], group="serve"
                    )
                except (RayError, TimeoutError) as error:
                    logger.warning("node %s: %s is not unloaded: %s", node.name, message["name"], error)


def main() -> None:
    """Run with the number of the channel's file as the only argument."""
    channel: Channel = Connection(int(sys.argv[1]))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True)
    try:
        hello = receive_json(channel)
    except EOFError:
        return
    try:
        session = RaySession(hello["address"], hello["data_id"])
    except StartError as error:
        send_json(channel, {"event": "refused", "reason": str(error)})
        return
    send_json(channel, {"event": "connected"})
    asyncio.run(Driver(session, channel, hello).run())


if __name__ == "__main__":
    main()
