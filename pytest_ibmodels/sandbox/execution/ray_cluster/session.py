"""The calls of Ray that the driver needs. All block, and some for as long as the cluster's head does not answer."""

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import ray
from ray.exceptions import RaySystemError
from ray.util.placement_group import (
    PlacementGroup,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pytest_ibmodels.sandbox.errors import StartError
from pytest_ibmodels.sandbox.execution.job_spec import JobRef, Resources
from pytest_ibmodels.sandbox.execution.ray_cluster.actor import SupervisorActor
from pytest_ibmodels.sandbox.execution.ray_cluster.messages import NodeConfig

_SLOT = "slot-"
_POLLS_AT_ONCE = 16
_STOPS_AT_ONCE = 32
_ANSWERS_AT_ONCE = 32
_CALLS_AT_ONCE = 8
_AGAIN_SECONDS = 0.1
_TRIES = 30
_NODE_ID = "ray.io/node-id"
"""Label that Ray gives each node."""

Group = Literal["poll", "stop", "serve"]


@dataclass(frozen=True)
class RayNode:
    """A node of the cluster; ``memory`` in bytes."""

    id: str
    name: str
    address: str
    alive: bool
    cpus: float
    gpus: float
    memory: int


class RaySession:
    """Connection of this process to a cluster."""

    def __init__(self, address: str, data_id: str) -> None:
        """Connect.

        Raises:
            StartError: The cluster cannot be used; the text is a sentence.
        """
        try:
            ray.init(
                address,
                namespace=f"ibmodels-{data_id}",
                log_to_driver=False,
                configure_logging=False,
                logging_level=logging.ERROR,
            )
        except Exception as error:  # noqa: BLE001 - Ray raises what it likes
            raise StartError(_reason(address, error)) from None

    def nodes(self) -> list[RayNode]:
        """Return the nodes of the cluster, those that have died too."""
        return [
            RayNode(
                node["NodeID"],
                node["NodeName"],
                node["NodeManagerAddress"],
                bool(node["Alive"]),
                node["Resources"].get("CPU", 0.0),
                node["Resources"].get("GPU", 0.0),
                int(node["Resources"].get("memory", 0)),
            )
            for node in ray.nodes()
        ]

    def supervisor(self, config: NodeConfig) -> Any:
        """Return the supervisor of a node, which is started if it does not run."""
        actor = ray.remote(
            num_cpus=0,
            max_restarts=0,
            max_concurrency=_CALLS_AT_ONCE,
            concurrency_groups={"poll": _POLLS_AT_ONCE, "stop": _STOPS_AT_ONCE, "serve": _ANSWERS_AT_ONCE},
        )(SupervisorActor)
        return actor.options(
            name=f"node-{config.node_id}",
            lifetime="detached",
            get_if_exists=True,
            scheduling_strategy=NodeAffinitySchedulingStrategy(config.node_id, soft=False),
        ).remote(config)

    @staticmethod
    async def call(actor: Any, method: str, *arguments: Any, seconds: float, group: Group | None = None) -> Any:
        """Call a method of a supervisor, and wait up to ``seconds`` for its answer.

        Raises:
            TimeoutError: There was none.
            RayError: The supervisor cannot be asked, or failed.
        """
        bound = getattr(actor, method)
        if group is not None:
            bound = bound.options(concurrency_group=group)
        return await asyncio.wait_for(asyncio.wrap_future(bound.remote(*arguments).future()), seconds)

    @staticmethod
    def kill(actor: Any) -> None:
        """Kill a supervisor that does not answer; its jobs end with it."""
        ray.kill(actor)

    def book(self, ref: JobRef, resources: Resources, refused: Iterable[str]) -> None:
        """Ask for a place on any node but those with the ``refused`` ids, unless the attempt has one."""
        bundle = {"CPU": resources.cpus, "GPU": float(resources.gpus), "memory": float(resources.memory or 0)}
        bundle = {name: amount for name, amount in bundle.items() if amount}
        ids = ",".join(sorted(refused))
        selector = [{_NODE_ID: f"!in({ids})"}] if ids else None
        for tries_left in reversed(range(_TRIES)):
            try:
                placement_group([bundle], name=_slot(ref), lifetime="detached", bundle_label_selector=selector)
            except RaySystemError:
                group = _group(ref)
                if group is not None and _state(group) != "REMOVED":
                    return
                if not tries_left:
                    raise
                # A name is taken for a moment after its group was removed.
                time.sleep(_AGAIN_SECONDS)
            else:
                return

    def booked_node(self, ref: JobRef) -> str | None:
        """Return the id of the node that an attempt has a place on; None if it has to wait."""
        group = _group(ref)
        if group is None or _state(group) != "CREATED":
            return None
        node: str = placement_group_table(group)["bundles_to_node_id"][0]
        return node

    def release(self, ref: JobRef) -> None:
        """Give back the place of an attempt, if it has one."""
        group = _group(ref)
        if group is not None:
            remove_placement_group(group)

    def slots(self) -> dict[JobRef, str]:
        """Return the places that attempts have, with the ids of their nodes; slow after thousands of jobs."""
        found = {}
        for group in placement_group_table().values():
            job_id, _dash, attempt = group["name"].removeprefix(_SLOT).rpartition("-")
            if group["name"].startswith(_SLOT) and group["state"] == "CREATED" and attempt.isdecimal():
                found[JobRef(job_id, int(attempt))] = group["bundles_to_node_id"][0]
        return found


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or its type."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _slot(ref: JobRef) -> str:
    return f"{_SLOT}{ref.job_id}-{ref.attempt}"


def _group(ref: JobRef) -> PlacementGroup | None:
    try:
        return get_placement_group(_slot(ref))
    except ValueError:
        return None


def _state(group: PlacementGroup) -> str:
    state: str = placement_group_table(group).get("state", "REMOVED")
    return state


def _reason(address: str, error: BaseException) -> str:
    """Sentence that says why a cluster cannot be used."""
    chain: list[BaseException] = []
    found: BaseException | None = error
    while found is not None and found not in chain:
        chain.append(found)
        found = found.__cause__ or found.__context__
    text = " ".join(str(each) for each in chain)
    if "InvalidAuthToken" in text or "AuthenticationError" in text:
        return f"the cluster at {address} has another token than this data folder: start its head with the same --data"
    if "ersion mismatch" in text:
        words = " ".join(line.strip() for line in str(error).splitlines() if ":" in line)
        return f"the cluster at {address} has other versions: {words}"
    return (
        f"the cluster at {address} does not answer, or this machine has no node of it (python -m "
        f"pytest_ibmodels.sandbox node --data DIR --cpus 0 starts one): {first_line(error)}"
    )
