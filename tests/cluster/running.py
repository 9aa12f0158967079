"""A real cluster on the loopback addresses of this machine: a head without jobs, and nodes of two processors."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil

from pytest_ibmodels.sandbox.execution.ray_cluster.cluster_file import ClusterFile
from pytest_ibmodels.sandbox.execution.ray_cluster.ray_executor import RayExecutor
from pytest_ibmodels.sandbox.settings import Settings

HEAD = "127.0.0.2"
SLOTS = 2
PROGRAM = (sys.executable, "-P", "-m", "pytest_ibmodels.sandbox")


class NodeProcess:
    """A node, started by the sandbox's own command."""

    def __init__(
        self,
        data: Path,
        address: str,
        *options: str,
        environ: dict[str, str] | None = None,
        before: tuple[str, ...] = (),
    ) -> None:
        """Start it; ``before`` is a command that runs the node's command."""
        self.address = address
        self.again = partial(type(self), data, address, *options, environ=environ, before=before)
        self.process = subprocess.Popen(
            [*before, *PROGRAM, "node", "--data", str(data), "--address", address, "--exit-with-parent", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(environ or {})},
        )

    def joined(self) -> str:
        """Wait until it knows its cluster; return the cluster's address."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the node at {self.address} ended with {self.process.wait()}"
        address: str = json.loads(line)["address"]
        return address

    def family(self) -> list[psutil.Process]:
        """Its processes, and those of its jobs."""
        with suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.process.pid)
            return [own, *own.children(recursive=True)]
        return []

    def find(self, part: str) -> list[psutil.Process]:
        """Those of its processes whose command has this text."""
        found = []
        for each in self.family():
            with suppress(psutil.Error):
                if part in " ".join(each.cmdline()):
                    found.append(each)
        return found

    def cut_power(self) -> None:
        """Kill all that is Ray's at once. Processes of jobs have to end by themselves."""
        for each in self._ray():
            with suppress(psutil.Error):
                each.kill()

    def freeze(self) -> None:
        """Stop all its processes, and those of its jobs."""
        for each in self.family():
            with suppress(psutil.Error):
                each.suspend()

    def _ray(self) -> list[psutil.Process]:
        family = self.family()
        servers = {each.pid for each in family if "forkserver" in " ".join(_command(each))}
        return [each for each in family if not servers & {each.pid, *(parent.pid for parent in each.parents())}]

    def ask_to_stop(self) -> None:
        """Ask it to end, as an administrator would."""
        for each in self.family():
            with suppress(psutil.Error):
                each.resume()
        self.process.terminate()

    def stop(self) -> None:
        """End it, and what would not end."""
        self.ask_to_stop()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(15)
        family = self.family()
        for each in family:
            with suppress(psutil.Error):
                each.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


class RunningCluster:
    """A head and nodes."""

    def __init__(self, data: Path, nodes: int = 3, environ: dict[str, str] | None = None) -> None:
        self.data = data
        data.mkdir(parents=True, exist_ok=True)
        self.head = NodeProcess(data, HEAD, "--head", "--port", "0", "--cpus", "0", environ=environ)
        self.address = self.head.joined()
        self.nodes: dict[str, NodeProcess] = {}
        self._last = 2
        for _ in range(nodes):
            self.add()
        for node in self.nodes.values():
            node.joined()

    def add(self, *options: str, before: tuple[str, ...] = ()) -> NodeProcess:
        """Start one more node."""
        self._last += 1
        address = f"127.0.0.{self._last}"
        node = self.nodes[address] = NodeProcess(self.data, address, "--cpus", str(SLOTS), *options, before=before)
        return node

    def node(self, name: str) -> NodeProcess:
        """The node with a name such as a job's status has."""
        return self.nodes[name.rpartition("-")[0]]

    def executor(self, **settings: object) -> RayExecutor:
        """A server's executor."""
        found = ClusterFile.read(self.data)
        assert found is not None
        return RayExecutor(Settings(self.data, preload=False, **settings), found)  # type: ignore[arg-type]

    def connect(self, **settings: object) -> RayExecutor:
        """A server's executor, once all nodes run jobs."""
        made = self.executor(**settings)
        self.wait_for_nodes(made)
        return made

    def wait_for_nodes(self, executor: RayExecutor, seconds: float = 120) -> None:
        """Wait until all nodes run jobs. Ray gives up a node that a busy machine does not start within 30 s."""

        def all_alive() -> bool:
            for address, node in self.nodes.items():
                if node.process.poll() is not None:
                    node.stop()
                    self.nodes[address] = node.again()
            return count_alive(executor) == len(self.nodes)

        wait_for(all_alive, seconds)

    def restart_head(self, environ: dict[str, str] | None = None) -> None:
        """Start a new head in place of one that has ended, and forget the nodes of that one."""
        for node in self.nodes.values():
            node.stop()
        self.nodes.clear()
        self.head = NodeProcess(self.data, HEAD, "--head", "--port", "0", "--cpus", "0", environ=environ)
        self.address = self.head.joined()

    def close(self) -> None:
        """End all nodes."""
        for node in [*self.nodes.values(), self.head]:
            node.ask_to_stop()
        for node in [*self.nodes.values(), self.head]:
            node.stop()


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until a condition is met."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def count_alive(executor: RayExecutor) -> int:
    """How many nodes run jobs."""
    return sum(node.state == "alive" for node in executor.nodes())
