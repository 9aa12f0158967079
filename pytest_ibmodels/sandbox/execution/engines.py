"""The kinds of executors."""

from pytest_ibmodels.sandbox.execution.executor import Executor
from pytest_ibmodels.sandbox.execution.local_executor import LocalExecutor
from pytest_ibmodels.sandbox.settings import Settings


def make_executor(settings: Settings) -> Executor:
    """Make the executor that the settings name.

    Raises:
        StartError: It cannot be used.
    """
    if settings.executor == "local":
        return LocalExecutor(settings)
    from pytest_ibmodels.sandbox.execution.ray_cluster.head import find_cluster
    from pytest_ibmodels.sandbox.execution.ray_cluster.ray_executor import RayExecutor

    cluster, head = find_cluster(settings)
    return RayExecutor(settings, cluster, head)
