"""The executor of one machine keeps the promises of all executors."""

from collections.abc import Iterator

import pytest

from pytest_ibmodels.sandbox.execution.local_executor import LocalExecutor
from pytest_ibmodels.sandbox.execution.processes import prepare_sockets
from pytest_ibmodels.sandbox.settings import Settings
from tests.sandbox.executor_contract import *  # noqa: F403 - the tests are run here
from tests.sandbox.executor_contract import Place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def executor(place: Place) -> Iterator[LocalExecutor]:
    prepare_sockets()
    made = LocalExecutor(Settings(place.data, max_jobs=2))
    yield made
    made.close()
