"""A case (a model test on one environment) and its run: what is known of it, while it goes on and afterwards."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_ibmodels.spec import ModelTest
    from pytest_ibmodels.verdicts.metrics import MetricsVerdict
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
        job_log: the last lines of the training job's log.
        host: where it ran.
        metrics: ``evaluation_results`` as reported.
        seconds: phase → seconds: upload, training, inference.
        notes: sentences that belong into the report, such as a job that could not be cancelled.
    """

    case: Case
    training: Future[MetricsVerdict] = field(default_factory=Future)
    inference: Future[PredictionsVerdict] = field(default_factory=Future)
    progress: Progress = field(default_factory=Progress)
    job_id: str | None = None
    job_log: tuple[str, ...] = ()
    host: str = ""
    metrics: Mapping[str, object] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
