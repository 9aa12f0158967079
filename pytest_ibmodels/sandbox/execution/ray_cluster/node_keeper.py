"""The driver's view of the nodes: which there are, and their supervisors, which it starts, asks and kills."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from ray.exceptions import ActorDiedError, RayError

from pytest_ibmodels.sandbox.execution.job_spec import JobRef
from pytest_ibmodels.sandbox.execution.ray_cluster.cluster_file import Versions
from pytest_ibmodels.sandbox.execution.ray_cluster.followed import Cluster, Followed, Node
from pytest_ibmodels.sandbox.execution.ray_cluster.messages import NodeConfig, NodeNews
from pytest_ibmodels.sandbox.execution.ray_cluster.session import RaySession, first_line

logger = logging.getLogger(__name__)

_HEAD_SECONDS = 15.0
_TICK_SECONDS = 0.25
_POLL_SECONDS = 2.0
_SLACK_SECONDS = 5.0
_ATTACH_SECONDS = 60.0
_SILENT_SECONDS = 10.0
"""Time beyond its lease after which a supervisor that does not answer is killed."""
_REFUSED_SECONDS = 30.0
_FAILURES = 2


class HeadError(Exception):
    """The cluster's head does not answer."""


class NodeKeeper:
    """The nodes of a cluster."""

    def __init__(
        self,
        cluster: Cluster,
        session: RaySession,
        config: Callable[[Node], NodeConfig],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        on_news: Callable[[list[Followed]], None],
    ) -> None:
        """Make a keeper, which knows no node before :meth:`look`.

        Args:
            cluster: Where nodes are kept.
            session: Connection to the cluster.
            config: Makes what a supervisor is told when it starts.
            spawn: Runs a coroutine beside this one.
            on_news: Called with the jobs of a node when it has answered.
        """
        self._cluster = cluster
        self._session = session
        self._config = config
        self._spawn = spawn
        self._on_news = on_news

    async def look(self) -> None:
        """Look which nodes there are, and attend to new ones.

        Raises:
            HeadError: The head does not answer.
        """
        try:
            found = await asyncio.wait_for(asyncio.to_thread(self._session.nodes), _HEAD_SECONDS)
        except Exception as error:
            msg = f"the cluster's head does not answer: {str(error) or type(error).__name__}"
            raise HeadError(msg) from error
        nodes = self._cluster.nodes
        for each in found:
            node = nodes.get(each.id)
            if node is None:
                node = nodes[each.id] = Node(each.id, each)
                if each.alive and each.cpus:
                    self._spawn(self._attend(node))
            node.found = each
            if not each.alive and node.gone_since is None:
                node.gone_since, node.actor, node.taken = time.monotonic(), None, {}
                node.attached.set()
        known = {each.id for each in found}
        for node_id in [node_id for node_id in nodes if node_id not in known]:
            del nodes[node_id]

    async def _attend(self, node: Node) -> None:
        """Keep a supervisor on a node, and follow its jobs."""
        failures = 0
        while node.found.alive and node.id in self._cluster.nodes:
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
                    node.refused = f"its supervisor cannot be started: {first_line(error)}"
            node.actor, node.taken = None, {}
            node.attached.clear()
            if node.refused:
                logger.error("node %s is not used: %s", node.name, node.refused)
                node.attached.set()
                await asyncio.sleep(_REFUSED_SECONDS)
            else:
                await asyncio.sleep(_TICK_SECONDS)

    async def _attach(self, node: Node) -> None:
        actor = await asyncio.to_thread(self._session.supervisor, self._config(node))
        theirs = await self._session.call(actor, "versions", seconds=_ATTACH_SECONDS)
        node.refused = Versions.model_validate(theirs).differences(Versions.here())
        if not node.refused:
            node.actor, node.silent_since, node.gone_since = actor, None, None
            # What runs there is known before anything else is sent there.
            await self._follow(node, 0.0)
        node.attached.set()

    async def _follow(self, node: Node, seconds: float = _POLL_SECONDS) -> None:
        """Ask a node once what is new, and let it wait for news for ``seconds``.

        Raises:
            RayError: Its supervisor has ended.
        """
        watched = {
            job.spec.ref: job for job in self._cluster.jobs.values() if job.node_name == node.name and not job.is_over
        }
        asked = [job.watched() for job in watched.values()]
        try:
            news: NodeNews = await self._session.call(
                node.actor, "poll", asked, seconds, seconds=seconds + _SLACK_SECONDS, group="poll"
            )
        except ActorDiedError:
            raise
        except (RayError, TimeoutError):
            await self._bear_silence(node)
            return
        node.silent_since, node.taken, node.served = None, news.taken, news.served
        await asyncio.to_thread(_apply, watched, news)
        self._on_news(list(watched.values()))
        if any(each.state == "missing" for each in news.jobs):
            await asyncio.sleep(_TICK_SECONDS)

    async def _bear_silence(self, node: Node) -> None:
        now = time.monotonic()
        node.silent_since = node.silent_since or now
        if now - node.silent_since > self._cluster.lease + _SILENT_SECONDS and node.found.alive:
            # Its lease has ended, or it is stuck: its node's raylet can still end it.
            logger.error("node %s: its supervisor does not answer, and is killed", node.name)
            await asyncio.to_thread(self._session.kill, node.actor)
        await asyncio.sleep(_TICK_SECONDS)


def _apply(watched: dict[JobRef, Followed], news: NodeNews) -> None:
    for each in news.jobs:
        job = watched.get(each.ref)
        if job is not None:
            job.apply(each, news)
