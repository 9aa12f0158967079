"""A case, its run with all that is known of it, and the limit on failed runs."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pytest_ibmodels.engine.curves import History
from pytest_ibmodels.engine.placement import NOT_REPORTED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pytest_ibmodels.engine.placement import Placement
    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.spec import ModelTest
    from pytest_ibmodels.verdicts.checks import MetricsVerdict
    from pytest_ibmodels.verdicts.comparison import Comparison
    from pytest_ibmodels.verdicts.parts import TestPart
    from pytest_ibmodels.verdicts.predictions import PredictionsVerdict
    from pytest_ibmodels.verdicts.results import TrainingPredictions


@dataclass(frozen=True)
class Case:
    """A model test on one environment.

    Attributes:
        with_inference: false if only the training item was selected.
        repeats: number of trainings.
        repeat: number of this training among the repeats, from 0; the case of all repeats is that of the first.
    """

    test: ModelTest
    environment: str
    with_inference: bool = True
    repeats: int = 1
    repeat: int = 0


@dataclass
class Progress:
    """Progress shown to a waiting user; written by the engine's thread, read by pytest's.

    Attributes:
        since: monotonic second at which the phase began; 0 if it has not begun.
        repeats: how many repeats have ended, in words; empty without repeats.
        message: what the job says itself; empty if it says nothing.
        loss: newest training loss; None if not reported.
        metrics: ``evaluation_results`` as reported so far.
    """

    phase: str = "training"
    state: str = "waiting for its turn"
    fraction: float | None = None
    since: float = 0.0
    repeats: str = ""
    message: str = ""
    loss: float | None = None
    metrics: Mapping[str, object] | None = None


@dataclass
class Run:
    """One execution of a case.

    Each of the two futures ends with the verdict of its phase, passed or not, or with an exception if the phase did not
    get as far as a verdict.

    A case that is trained several times has a run for each repeat. That of the first repeat stands for the case: its
    ``training`` ends with the verdict on all repeats. The other facts of a run are those of its own training.

    Attributes:
        repeats: the runs of the other repeats, which have no phases of their own.
        own_verdict: verdict on this training alone; None without repeats, and if the training did not end well.
        job_id: of the training job, once the environment accepted it.
        reattached: whether the job is one of an earlier session that this run continues.
        job_log: the last lines of the training job's log.
        host: the environment's host.
        package: the uploaded package.
        route: name of the route.
        metrics: ``evaluation_results`` as reported.
        intervals: ``evaluation_intervals`` as reported.
        test_part: the test part that was measured, if the training reported it.
        comparison: row-by-row comparison with the model in use, if the training reported one.
        peak_memory: bytes that the training job took at most; None if the environment does not report it.
        placement: where the training job runs, or ran.
        predicted: predictions that the training wrote; None if they were not read.
        judged: phase → its verdict with the checks of the project's hooks, or the exception its item raises; set by
            pytest's thread once an item has waited for the phase.
        history: the training curves, as far as the job reported them.
        seconds: phase → seconds: upload, queue (until a slot is free and the environment starts the job), training,
            inference.
        started, finished: when the run began and ended, in UTC.
        links: name → address of the environment's pages on the job and the Refiner program.
        wanted: set, in the engine's thread, once an item waits for this run.
        expired: why no item waits for the run any longer; empty while one does.
        lost_answers: number of lost answers.
        notes: sentences for the report, such as a job that could not be cancelled.
    """

    case: Case
    package: Package | None = None
    route: str = ""
    repeats: tuple[Run, ...] = ()
    own_verdict: MetricsVerdict | None = None
    training: Future[MetricsVerdict] = field(default_factory=Future)
    inference: Future[PredictionsVerdict] = field(default_factory=Future)
    progress: Progress = field(default_factory=Progress)
    job_id: str | None = None
    reattached: bool = False
    job_log: tuple[str, ...] = ()
    host: str = ""
    metrics: Mapping[str, object] | None = None
    intervals: object = None
    test_part: TestPart | None = None
    comparison: Comparison | None = None
    peak_memory: int | None = None
    placement: Placement = NOT_REPORTED
    predicted: TrainingPredictions | None = None
    judged: dict[Literal["training", "inference"], MetricsVerdict | PredictionsVerdict | BaseException] = field(
        default_factory=dict
    )
    history: History = field(default_factory=History)
    seconds: dict[str, float] = field(default_factory=dict)
    started: datetime | None = None
    finished: datetime | None = None
    links: dict[str, str] = field(default_factory=dict)
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    expired: str = ""
    lost_answers: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def trainings(self) -> tuple[Run, ...]:
        """The runs of all repeats, this one first."""
        return (self, *self.repeats)


class FailureLimit:
    """``--maxfail`` for concurrent runs: once it is reached, no further training is started.

    pytest counts failures in the order of its items and expects some of them. So a run that an item waits for is never
    blocked: pytest stops before it comes to that item, or the failures did not count.

    Args:
        limit: failed runs after which the session stops; 0 for no limit.
    """

    def __init__(self, limit: int = 0) -> None:
        self._limit = limit
        self._failed = 0

    def count_failure(self) -> None:
        """Count a failed run."""
        self._failed += 1

    def blocks(self, run: Run) -> bool:
        """Return whether the training of ``run`` must not start yet."""
        return 0 < self._limit <= self._failed and not run.wanted.is_set()
