"""The supervisor as Ray's actor; only processes of a cluster import this."""

import ray

from pytest_ibmodels.sandbox.execution.ray_cluster.messages import NodeConfig
from pytest_ibmodels.sandbox.execution.ray_cluster.supervisor import Supervisor


class SupervisorActor(Supervisor):
    """Supervisor that asks Ray whether its node is alive."""

    def __init__(self, config: NodeConfig) -> None:
        def is_alive() -> bool:
            return any(node["NodeID"] == config.node_id and node["Alive"] for node in ray.nodes())

        super().__init__(config, is_alive)
