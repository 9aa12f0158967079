"""The executor of a cluster keeps the promises of all executors."""

from tests.sandbox.executor_contract import *  # noqa: F403 - the tests are run here
