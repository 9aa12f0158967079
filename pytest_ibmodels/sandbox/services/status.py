"""Status of a server: its version, machines and queue."""

from importlib.metadata import version

from pytest_ibmodels.instabase.wire_sandbox import SandboxStatus
from pytest_ibmodels.sandbox.execution.executor import Executor
from pytest_ibmodels.sandbox.services.dispatcher import Dispatcher
from pytest_ibmodels.sandbox.settings import Settings

_PACKAGE = "pytest-ibmodels"


class ServerStatus:
    """Collects the status of a server."""

    def __init__(self, settings: Settings, executor: Executor, dispatcher: Dispatcher) -> None:
        self._max_jobs = settings.max_jobs
        self._executor = executor
        self._dispatcher = dispatcher

    def collect(self) -> SandboxStatus:
        """Collect it now."""
        return SandboxStatus(
            status="OK",
            version=version(_PACKAGE),
            executor=self._executor.name,
            nodes=self._executor.nodes(),
            queue=self._dispatcher.count_waiting(),
            max_jobs=self._max_jobs,
        )
