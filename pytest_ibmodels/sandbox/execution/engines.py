"""The kinds of executors."""

from pytest_ibmodels.sandbox.execution.executor import Executor
from pytest_ibmodels.sandbox.execution.local_executor import LocalExecutor
from pytest_ibmodels.sandbox.settings import Settings


def make_executor(settings: Settings) -> Executor:
    """Make the executor that the settings name.

    Raises:
        StartError: It cannot be used.
    """
    return LocalExecutor(settings)
