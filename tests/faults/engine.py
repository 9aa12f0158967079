"""Cases run by the engine in this very process, against the real sandbox, in little time."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from pytest_ibmodels.engine.case import Case
from pytest_ibmodels.engine.engine import Engine
from pytest_ibmodels.engine.polling import Limits
from pytest_ibmodels.packaging import build_package
from pytest_ibmodels.spec import Environment, Minimum, ModelTest
from tests.plugin.conftest import PROJECT, ROOT, TINY, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_ibmodels.engine.case import Run
    from tests.plugin.conftest import Server

SPEED = 10.0


class QuickClock:
    """Time goes ten times as fast, so that pauses cost little while the sandbox really works."""

    def now(self) -> float:
        return time.monotonic() * SPEED

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / SPEED)


def model_test(name: str, **keys: Any) -> ModelTest:
    """An entry of ``model_tests.yaml``; ``metrics`` as written there."""
    metrics = keys.pop("metrics", {})
    least = {metric: {name: Minimum(value) for name, value in fields.items()} for metric, fields in metrics.items()}
    entry = {"line": 1, "env": ("dogfood",), "ibannotator": PROJECT, "time_limit": 600.0, "metrics": least, **keys}
    return ModelTest(name=name, **entry)


class Session:
    """An engine, as one pytest session has it.

    Attributes:
        left_behind: what it said at its end.
    """

    def __init__(self, url: str, *, limits: Limits | None = None, token: str = TOKEN) -> None:
        self.environment = Environment(name="dogfood", line=1, host=url, path=ROOT, token=SecretStr(token))
        self.engine = Engine(limits or Limits(longest_poll=2.0), QuickClock())
        self.left_behind: list[str] = []

    def run(self, *tests: ModelTest, with_inference: bool = True) -> dict[str, Run]:
        """Start the runs, and wait until all have ended, however they do."""
        cases = {test.name: Case(test, "dogfood", with_inference=with_inference) for test in tests}
        self.engine.start(self.environment, cases, build_package(TINY))
        runs = {name: self.engine.run(name) for name in cases}
        for run in runs.values():
            run.training.exception(60)
            if with_inference:
                run.inference.exception(60)
        return runs


@contextlib.contextmanager
def session(url: str, **keys: Any) -> Iterator[Session]:
    one = Session(url, **keys)
    try:
        yield one
    finally:
        one.left_behind = one.engine.close()


def trainings(server: Server) -> int:
    """How many training jobs the sandbox has had."""
    with contextlib.closing(sqlite3.connect(server.data / "sandbox.sqlite")) as store:
        count: int = store.execute("select count(*) from jobs where kind = 'train'").fetchone()[0]
        return count
