"""A case (a model test on one environment) and its run: what is known of it, while it goes on and afterwards."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pytest_ibmodels.engine.curves import History

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.spec import ModelTest
    from pytest_ibmodels.verdicts.checks import MetricsVerdict
    from pytest_ibmodels.verdicts.comparison import Comparison
    from pytest_ibmodels.verdicts.parts import TestPart
    from pytest_ibmodels.verdicts.predictions import PredictionsVerdict


@dataclass(frozen=True)
class Case:
    """``with_inference`` is false where only the training item was selected."""

    test: ModelTest
    environment: str
    with_inference: bool = True


@dataclass
class Progress:
    """What a waiting user is told; written by the engine's thread, read by pytest's."""

    phase: str = "training"
    state: str = "waiting for its turn"
    fraction: float | None = None
    since: float = 0.0
    """Monotonic second at which this phase began; 0 while it has not."""


@dataclass
class Run:
    """One execution of a case. The two futures end with the verdict of their phase, or with a ``RunFailure``.

    Attributes:
        job_id: of the training job, once the environment accepted it.
        reattached: whether the job is that of an earlier session, which this one goes on with.
        job_log: the last lines of the training job's log.
        host: where it ran.
        package: what was pushed and trained with.
        route: the name of the way it trains and serves.
        metrics: ``evaluation_results`` as reported.
        intervals: ``evaluation_intervals`` as reported.
        test_part: what it was measured on, if the training reported that.
        comparison: with the model in use, row by row, if the training reported one.
        predictions: document → field → text, as training predicted them; read when inference begins.
        judged: phase → its verdict with the project's own checks, or why it failed; set by pytest's thread once an
            item has waited for it.
        history: the training curves, as far as the job reported them.
        seconds: phase → seconds: upload, queue (until a training may start, and the environment starts it), training,
            inference.
        started, finished: when the run began and had ended, in UTC.
        links: name → page of the environment that shows the job, or the Refiner program.
        wanted: set, in the engine's thread, once an item waits for this run.
        expired: why nobody waits for it any longer; empty while somebody does.
        lost_answers: how many answers of the environment were lost.
        notes: sentences that belong into the report, such as a job that could not be cancelled.
    """

    case: Case
    package: Package | None = None
    route: str = ""
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
    predictions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
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
