"""SIGKILL during training and override: the old model or the new one answers."""

from __future__ import annotations

import multiprocessing
import random
import time
from typing import TYPE_CHECKING, Any

from ibformers.tuning import DatabaseRows, Predictor, Tuning
from tests.databases import reviews
from tests.ibformers.tuning.conftest import REQUEST, Tuned
from tests.ibformers.tuning.killable import PRELOAD, train_and_override

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext
    from pathlib import Path

MOMENTS = 10
TEXTS = [text for _, text in reviews(5)]


def answers(path: Path) -> Any:
    return Predictor({"path": path, "model_name": "tiny"}).predict({"inputs": TEXTS})


def run(context: ForkServerContext, path: Path, database: str, kill_after: float | None) -> tuple[float, bool]:
    """Train and override in a process; return its seconds, and whether it reached its end."""
    begun, done = context.Event(), context.Event()
    child = context.Process(target=train_and_override, args=(path, database, REQUEST, begun, done))
    child.start()
    assert begun.wait(60)
    start = time.monotonic()
    child.join(60 if kill_after is None else kill_after)
    seconds = time.monotonic() - start
    child.kill()
    child.join()
    child.close()
    return seconds, done.is_set()


def test_killed_at_ten_random_moments(tuned: Tuned, tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    old = answers(tuned.path)
    whole = tuned.copy(tmp_path / "whole")
    duration, is_done = run(context, whole, tuned.database, None)
    assert is_done
    new = answers(whole)
    assert new != old

    chance = random.Random(8)  # noqa: S311 - the same moments every time
    outcomes = []
    for moment in range(MOMENTS):
        path = tuned.copy(tmp_path / str(moment))
        # Evenly over the whole time, and a little beyond, so that the override is among what is cut off.
        after = duration * 1.1 * (moment + chance.random()) / MOMENTS
        _, is_done = run(context, path, tuned.database, after)
        found = answers(path)
        assert found in (old, new)
        assert found == new or not is_done
        outcomes.append(is_done)
    assert False in outcomes

    # What was left behind is in nobody's way.
    tuning = Tuning({"path": path, "model_name": "tiny", "num_labels": 5}, DatabaseRows(tuned.database))
    assert tuning.train(REQUEST).version == tuning.override().in_use
    assert tuning.rollback().previous is not None
