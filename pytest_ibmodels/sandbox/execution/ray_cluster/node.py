"""This machine as a node of a cluster: Ray's own command with the sandbox's settings."""

import json
import os
import signal
import socket
import sys
import threading
import time
from importlib.metadata import entry_points
from pathlib import Path

from pytest_ibmodels.sandbox.errors import StartError
from pytest_ibmodels.sandbox.execution.gpus import find_gpus
from pytest_ibmodels.sandbox.execution.ray_cluster.cluster_file import ClusterFile, Versions, ray_environment
from pytest_ibmodels.sandbox.execution.ray_cluster.supervisor import GPU_NAMES, user_folder

_OBJECT_STORE = 80 * 2**20
"""Ray's least, in bytes: jobs pass files, not objects."""
_CONNECT_SECONDS = 2.0
_HEAD_SECONDS = 30.0
"""How long a node waits for a head that is just starting."""
_PAUSE_SECONDS = 0.2


def run_node(
    data: Path,
    *,
    head: bool,
    address: str | None,
    port: int,
    cpus: int | None,
    gpus: int | None,
    exit_with_parent: bool,
) -> None:
    """Become a node, until SIGTERM or Ctrl-C.

    Args:
        data: The shared data folder.
        head: Whether to start a cluster, rather than to join the one of the data folder.
        address: Address of this machine; None lets Ray find it.
        port: Port of a head; 0 is a free one.
        cpus: Processors that jobs may use; None means all.
        gpus: GPUs that jobs may use; None means all.
        exit_with_parent: Whether to end when standard input ends.

    Raises:
        StartError: The node cannot be started.
    """
    options = _head(data, address, port, is_private=exit_with_parent) if head else _member(data, address)
    names = find_gpus()
    count = len(names) if gpus is None else gpus
    if count > len(names):
        names = [str(index) for index in range(count)]
    environment = ray_environment(data, os.environ)
    os.environ.clear()
    os.environ.update(environment)
    os.environ[GPU_NAMES] = ",".join(names[:count])
    if cpus is not None:
        options += ["--num-cpus", str(cpus)]
    ray_folder = user_folder() / f"ray-{address or own_address()}"
    options += ["--temp-dir", str(ray_folder)]
    options += ["--num-gpus", str(count), "--object-store-memory", str(_OBJECT_STORE)]
    # By default, Ray's workers take ports that may be used by others.
    options += ["--min-worker-port", "0", "--max-worker-port", "0", "--disable-usage-stats", "--block"]
    options += ["--include-log-monitor", "false", "--dashboard-agent-listen-port", "0", "--log-style", "record"]
    if exit_with_parent:
        threading.Thread(target=_exit_with_parent, daemon=True).start()
    # Ray's hints are for people who use Ray itself.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.argv = ["ray", "start", *options]
    (command,) = entry_points(group="console_scripts", name="ray")
    try:
        command.load()()
    except Exception as error:
        msg = f"Ray cannot start this node: {error}; its logs are in {ray_folder}"
        raise StartError(msg) from error


def is_reachable(address: str) -> bool:
    """Whether a server listens at an address."""
    host, _colon, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
    except (OSError, ValueError):
        return False
    return True


def _head(data: Path, address: str | None, port: int, *, is_private: bool) -> list[str]:
    data.mkdir(parents=True, exist_ok=True)
    found = ClusterFile.read(data)
    if found is not None and is_reachable(found.address):
        # A second head would take the nodes away from the first.
        raise StartError(
            f"--head: the cluster of '{data}' has a head already, which answers at {found.address}; leave out --head "
            "to join it, or end it first"
        )
    address = address or own_address()
    if not port:
        with socket.socket() as listener:
            listener.bind((address, 0))
            port = listener.getsockname()[1]
    cluster = ClusterFile.write(data, f"{address}:{port}", is_private=is_private)
    print(json.dumps({"address": cluster.address, "pid": os.getpid()}), flush=True)  # noqa: T201 - its only output
    return ["--head", "--node-ip-address", address, "--port", str(port), "--include-dashboard", "false"]


def _member(data: Path, address: str | None) -> list[str]:
    cluster = ClusterFile.read(data)
    if cluster is None:
        raise StartError(
            f"--data '{data}': no cluster is known there; check that the shared folder is mounted, and start the head "
            "first: the same command with --head, on its machine"
        )
    differences = Versions.here().differences(cluster.versions)
    if differences:
        raise StartError(
            f"this machine cannot join the cluster at {cluster.address}: it has {differences}; install the versions "
            "of the cluster"
        )
    deadline = time.monotonic() + _HEAD_SECONDS
    while not is_reachable(cluster.address):
        if time.monotonic() > deadline:
            raise StartError(f"the cluster's head at {cluster.address} does not answer; start it, or check the network")
        time.sleep(_PAUSE_SECONDS)
    print(json.dumps({"address": cluster.address, "pid": os.getpid()}), flush=True)  # noqa: T201 - its only output
    return ["--address", cluster.address, *(["--node-ip-address", address] if address else [])]


def own_address() -> str:
    """Return the address of this machine in its network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing; the system chooses the address that it would send from.
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        address: str = probe.getsockname()[0]
        return address


def _exit_with_parent() -> None:
    while os.read(0, 1024):
        time.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)
