"""Repeats: a case is trained several times with consecutive seeds, and judged by the mean of each metric.

Each repeat is a run with a runner of its own, since journal entry, time limit, restarts, re-attachment and curves all
belong to one job. The runs share the upload and the slots of their environment. The run of the first repeat stands for
the case: it alone has items, an inference and a promotion.
"""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_ibmodels.engine.case import Progress, Run
from pytest_ibmodels.engine.failures import ConfigFailure, RunFailure, SubmitFailure, TimeLimitFailure, TrainingFailure
from pytest_ibmodels.verdicts.paired import NAME
from pytest_ibmodels.verdicts.repeats import join_repeats

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any, TypeAlias

    from pytest_ibmodels.engine.case import Case
    from pytest_ibmodels.spec import ModelTest
    from pytest_ibmodels.verdicts.checks import MetricsVerdict

    Training: TypeAlias = Callable[[], Coroutine[Any, Any, MetricsVerdict]]


def add_repeats(run: Run) -> None:
    """Give a run that stands for its case the runs of the other repeats."""
    case = replace(run.case, with_inference=False)
    # What an item waits for is the case, so a reached `--maxfail` blocks all of its repeats or none.
    run.repeats = tuple(
        Run(replace(case, repeat=number), run.package, run.route, wanted=run.wanted)
        for number in range(1, case.repeats)
    )


def seed_of(case: Case) -> int | None:
    """Seed of a training among repeats; None without repeats, and if the config's seed is no whole number."""
    first = case.test.seed
    return None if case.repeats == 1 or first is None else first + case.repeat


def trained_test(case: Case) -> ModelTest:
    """The model test as a training gets it: with the seed of its repeat.

    Rows are split by the first seed in all repeats, for the others to test on the same rows, none of which the model
    in use has learned. Only the first repeat is compared with the model in use.
    """
    test, seed = case.test, seed_of(case)
    if seed is None:
        return test
    config = {**test.config, "seed": seed}
    if case.repeat == 0:
        return replace(test, config=config)
    split = {"split_seed": test.seed, **config}
    if test.script is not None:
        return replace(test, config=split, script=replace(test.script, max_drop=None))
    if test.table is None:
        return replace(test, config=config)
    config = split if test.table.split_column is None else config
    return replace(test, config=config, table=replace(test.table, max_drop=None))


def siblings(case: Case) -> list[ModelTest]:
    """The model tests of the other repeats, as their trainings get them."""
    return [trained_test(replace(case, repeat=number)) for number in range(case.repeats) if number != case.repeat]


async def train_all(run: Run, trainings: Sequence[Training]) -> MetricsVerdict:
    """Train all repeats of a case at once, as far as its environment allows, and judge the mean of each metric.

    Once a repeat has failed, the others are cancelled, with their jobs, since the case has failed.

    Args:
        run: the run of the case.
        trainings: train each repeat, in their order; the first is that of ``run``.

    Raises:
        RunFailure: a repeat was not trained; the reason names its seed.
    """
    if len(trainings) == 1:
        return await trainings[0]()
    seeds = _seeds(run)
    try:
        ended = await _train_together(trainings)
    finally:
        _keep_notes(run)
    for one, end in zip(run.trainings, ended, strict=True):
        one.own_verdict = None if isinstance(end, BaseException) else end
    for one, end in zip(run.trainings, ended, strict=True):
        if isinstance(end, Exception):  # a cancelled repeat has none: CancelledError is a BaseException
            _explain(end, one, run)
            raise end
    return join_repeats([one.own_verdict for one in run.trainings if one.own_verdict is not None], seeds)


async def _train_together(trainings: Sequence[Training]) -> list[MetricsVerdict | BaseException]:
    """Verdict of each training, or the exception it ended with; the first that fails cancels the others."""
    tasks: list[asyncio.Task[MetricsVerdict]] = []

    async def train_one(train: Training) -> MetricsVerdict:
        try:
            return await train()
        except Exception:
            # At once, so that no other repeat submits its job in the slot that this one has just left.
            for task in tasks:
                if task is not asyncio.current_task():
                    task.cancel()
            raise

    tasks += [asyncio.create_task(train_one(train)) for train in trainings]
    try:
        await asyncio.wait(tasks)
    except asyncio.CancelledError:
        for task in tasks:
            task.cancel()
        # A second cancellation, when the session has no more time, reaches all repeats through gather.
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    return await asyncio.gather(*tasks, return_exceptions=True)


def _seeds(run: Run) -> list[int]:
    """Seed of each repeat. Raises: ConfigFailure."""
    seeds = [seed for one in run.trainings if (seed := seed_of(one.case)) is not None]
    if not seeds:
        given = run.case.test.config["seed"]
        raise ConfigFailure(f"`config.seed` is {given!r}, but has to be a whole number, as repeats count seeds from it")
    return seeds


def training_progress(run: Run) -> Progress:
    """Progress of a run; while it trains repeats, of the first that has not ended, with the mean fraction of all."""
    trainings = run.trainings
    if len(trainings) == 1 or run.training.done():
        return run.progress
    left = [one for one in trainings if one.finished is None] or [run]
    ended = f"{len(trainings) - len(left)} of {len(trainings)} repeats ended"
    known = [one.progress.fraction for one in trainings if one.progress.fraction is not None]
    fraction = statistics.fmean([*known, *[0.0] * (len(trainings) - len(known))]) if known else None
    return replace(
        left[0].progress, phase="training", fraction=fraction, since=run.progress.since, repeats=ended, message=""
    )


def name_of(case: Case) -> str:
    """Name of a training among repeats, for messages."""
    return f"repeat {case.repeat + 1} of {case.repeats} (seed {seed_of(case)})"


def _explain(error: BaseException, failed: Run, run: Run) -> None:
    """Name the repeat that failed, unless its environment failed, and show the log of its job."""
    if isinstance(error, SubmitFailure | TrainingFailure | TimeLimitFailure):
        error.reason = f"{name_of(failed.case)}: {error.reason}"
        error.args = (error.reason,)
    if isinstance(error, RunFailure) and failed is not run and failed.job_log:
        run.job_log = (f"job {failed.job_id}, {name_of(failed.case)}:", *failed.job_log)


def _keep_notes(run: Run) -> None:
    """Add the notes of the other repeats to those of the case, and how far the results belong together."""
    for repeat in run.repeats:
        run.notes += [f"{name_of(repeat.case)}: {note}" for note in repeat.notes]
    rows = run.case.test.table or run.case.test.script
    if rows is not None and rows.max_drop is not None:
        run.notes.append(f"{NAME} and inference use the model of the first repeat (seed {seed_of(run.case)})")
    parts = sorted({one.test_part.fingerprint for one in run.trainings if one.test_part is not None})
    if len(parts) > 1:
        fingerprints = ", ".join(parts)
        run.notes.append(
            f"the repeats were tested on different test parts (fingerprints {fingerprints}), so their spread is also "
            "that between these parts"
        )
