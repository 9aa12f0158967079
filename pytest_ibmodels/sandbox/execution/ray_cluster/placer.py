"""Places for jobs: books them, hands jobs to the nodes, and gives the places back."""

import asyncio
import logging
import time
from contextlib import suppress

from ray.exceptions import RayError

from pytest_ibmodels.sandbox.execution.job_spec import JobRef, Outcome
from pytest_ibmodels.sandbox.execution.ray_cluster.followed import Cluster, Followed, Node
from pytest_ibmodels.sandbox.execution.ray_cluster.messages import DROP_SECONDS
from pytest_ibmodels.sandbox.execution.ray_cluster.session import RaySession, first_line
from pytest_ibmodels.sandbox.execution.runner import STOP_SECONDS

logger = logging.getLogger(__name__)

_SLACK_SECONDS = 5.0
_CALL_SECONDS = 20.0
_CLEAN_SECONDS = 30.0
_LEFTOVER_SECONDS = DROP_SECONDS + 30.0
_BOOK_SECONDS = (0.005, 0.1)
_REBOOK_SECONDS = 0.1
_BOOKINGS = 3
_PLACES = 3
"""Nodes that are tried for a job before it is given back to the queue as lost."""


class Placer:
    """Places of jobs on the nodes of a cluster."""

    def __init__(self, cluster: Cluster, session: RaySession) -> None:
        self._cluster = cluster
        self._session = session
        self._leftovers: dict[JobRef, float] = {}

    async def place(self, job: Followed) -> None:
        """Find a node that takes a job."""
        for _try in range(_PLACES):
            node = await self._booked(job)
            if node is None:
                return
            try:
                problem = await self._session.call(
                    node.actor, "accept", job.spec.model_dump_json(), seconds=_CALL_SECONDS
                )
            except (RayError, TimeoutError) as error:
                # If it has taken the job all the same, it drops it: it is not told to begin.
                logger.warning("job %s: node %s does not take it: %s", job.spec.job_id, node.name, first_line(error))
                await self.release(job.spec.ref)
                continue
            if problem:
                await self.release(job.spec.ref)
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
        bookings, booked = 1, time.monotonic()
        await self._book(job)
        while not job.is_stopping:
            node_id = await asyncio.to_thread(self._session.booked_node, ref)
            node = None if node_id is None else self._cluster.nodes.get(node_id)
            if node is not None and node.actor is not None:
                return node
            is_unusable = node is not None and node.attached.is_set()
            # Ray learns within 0.1 s that a place has become free, but tries a booking again after a second only.
            is_late = node_id is None and bookings < _BOOKINGS and time.monotonic() - booked > _REBOOK_SECONDS
            if is_unusable or is_late:
                bookings, booked = bookings + is_late, time.monotonic()
                await self.release(ref)
                await self._book(job)
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)
        return None

    async def _book(self, job: Followed) -> None:
        refused = [node.id for node in self._cluster.nodes.values() if node.refused]
        await asyncio.to_thread(self._session.book, job.spec.ref, job.spec.resources, refused)

    async def begin(self, job: Followed) -> None:
        """Have the node run a job that it has taken."""
        node = self._cluster.node_of(job)
        if node is not None and node.actor is not None and job.state == "placed":
            with suppress(RayError, TimeoutError):
                await self._session.call(node.actor, "begin", *job.spec.ref, seconds=_CALL_SECONDS)

    async def stop(self, job: Followed, reason: str) -> str:
        """Stop a job; return a clause that says why it may still run."""
        job.is_stopping = True
        if job.starting is not None:
            await asyncio.wait([job.starting])
        if job.state == "pending":
            await self.release(job.spec.ref)
            job.state, job.outcome = "ended", Outcome(msg=reason)
        if job.is_over:
            return ""
        node = self._cluster.node_of(job)
        if node is None or node.actor is None:
            return job.unknown or f"node {job.node_name} does not answer"
        try:
            stopped = await self._session.call(
                node.actor, "stop", *job.spec.ref, reason, seconds=STOP_SECONDS + _SLACK_SECONDS, group="stop"
            )
        except (RayError, TimeoutError):
            return f"node {job.node_name} does not answer"
        if not stopped:
            return "it was killed, but its process has not ended yet"
        # Whoever asks next should see the end.
        with suppress(TimeoutError):
            await asyncio.wait_for(job.over.wait(), _SLACK_SECONDS)
        return ""

    async def forget(self, job: Followed) -> None:
        """Drop what is kept of a job that has ended."""
        await self.release(job.spec.ref)
        node = self._cluster.node_of(job)
        if node is not None and node.actor is not None:
            with suppress(RayError, TimeoutError):
                await self._session.call(node.actor, "forget", *job.spec.ref, seconds=_CALL_SECONDS)

    async def release(self, ref: JobRef) -> None:
        """Give back the place of a job, if it has one."""
        try:
            await asyncio.to_thread(self._session.release, ref)
        except Exception as error:  # noqa: BLE001 - what is left over is removed later
            logger.warning("job %s: its place is not given back yet: %s", ref.job_id, first_line(error))

    async def clean_up(self) -> None:
        """Give back places of jobs that no node knows, which a server left behind."""
        while True:
            await asyncio.sleep(_CLEAN_SECONDS)
            slots = await asyncio.to_thread(self._session.slots)
            now, nodes = time.monotonic(), list(self._cluster.nodes.values())
            used = {ref for node in nodes for ref in node.taken} | set(self._cluster.jobs)
            silent = {node.id for node in nodes if node.actor is None or node.silent_since is not None}
            left = {ref for ref, node_id in slots.items() if ref not in used and node_id not in silent}
            self._leftovers = {ref: self._leftovers.get(ref, now) for ref in left}
            for ref, since in self._leftovers.items():
                if now - since > _LEFTOVER_SECONDS:
                    await self.release(ref)
