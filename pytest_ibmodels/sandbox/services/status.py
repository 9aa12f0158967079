"""Status of a server: its version, machines and queue."""

from importlib.metadata import version

from pytest_ibmodels.instabase.wire_sandbox import SandboxStatus
from pytest_ibmodels.sandbox.execution.executor import Executor
from pytest_ibmodels.sandbox.services.dispatcher import Dispatcher

_PACKAGE = "pytest-ibmodels"


class ServerStatus:
    """Collects the status of a server."""

    def __init__(self, executor: Executor, dispatcher: Dispatcher) -> None:
        self._executor = executor
        self._dispatcher = dispatcher

    def collect(self) -> SandboxStatus:
        """Collect it now."""
        nodes = self._executor.nodes()
        return SandboxStatus(
            status="OK",
            version=version(_PACKAGE),
            executor=self._executor.name,
            nodes=nodes,
            queue=self._dispatcher.count_waiting(),
            max_jobs=sum(node.slots for node in nodes if node.state == "alive"),
        )
