"""Head of a cluster that a server starts for itself, on its own machine."""

import json
import logging
import os
import subprocess
import sys

from pytest_ibmodels.sandbox.errors import StartError
from pytest_ibmodels.sandbox.execution.ray_cluster.cluster_file import (
    CLUSTER_FILE,
    ClusterFile,
    Versions,
    ray_environment,
)
from pytest_ibmodels.sandbox.execution.ray_cluster.node import is_reachable
from pytest_ibmodels.sandbox.settings import Settings

logger = logging.getLogger(__name__)

HEAD_LOG = "ray-head.log"
_END_SECONDS = 10.0


class Head:
    """A process that is the head and the only node; it ends with this one."""

    def __init__(self, settings: Settings) -> None:
        """Start it, with a processor for each of the jobs that may run at once.

        Raises:
            StartError: It does not start.
        """
        log = settings.data / HEAD_LOG
        command = [sys.executable, "-P", "-m", "pytest_ibmodels.sandbox", "node", "--head", "--exit-with-parent"]
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [*command, "--data", str(settings.data), "--cpus", str(settings.max_jobs)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
                env=ray_environment(settings.data, os.environ),
            )  # fmt: skip
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        line = self._process.stdout.readline()
        if not line:
            self.close()
            raise StartError(f"--executor ray: no cluster can be started on this machine; {log} says why")
        logger.info("a cluster of this machine: %s", json.loads(line)["address"])

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def find_cluster(settings: Settings) -> tuple[ClusterFile, Head | None]:
    """Find the cluster that the settings name, or the one of the data folder, or start one.

    Raises:
        StartError: There is none that can be used.
    """
    own = Versions.here()
    settings.data.mkdir(parents=True, exist_ok=True)
    head = None
    if settings.ray_address is None:
        found = ClusterFile.read(settings.data)
        if found is None or not is_reachable(found.address):
            if found is not None and not found.is_private:
                # A head of its own would take the nodes away from the other servers.
                raise StartError(
                    f"--executor ray: the cluster at {found.address} does not answer; start its head (python -m "
                    f"pytest_ibmodels.sandbox node --head --data {settings.data}), or delete "
                    f"{settings.data / CLUSTER_FILE} if this machine is to run the jobs alone"
                )
            head = Head(settings)
    else:
        # Other servers and nodes read the file: a mistyped address must not get there.
        if not is_reachable(settings.ray_address):
            raise StartError(
                f"--ray-address {settings.ray_address}: no head of a cluster answers there; give HOST:PORT of one that "
                "runs, and check the network"
            )
        ClusterFile.write(settings.data, settings.ray_address)
    cluster = ClusterFile.read(settings.data)
    if cluster is None:
        raise StartError("--executor ray: the data folder has lost its cluster's file")
    differences = own.differences(cluster.versions)
    if differences:
        raise StartError(
            f"--executor ray: this machine has {differences} at {cluster.address}; install the versions of the cluster"
        )
    return cluster, head
