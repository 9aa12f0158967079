"""Hooks that a ``conftest.py`` or a plugin may implement, and their argument ``run``.

All are called on pytest's main thread while an item of a model test runs; with xdist, in the worker that runs it. An
exception of a hook fails an item of the run that the hook was called for, with the hook's own traceback.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pytest

from pytest_ibmodels.verdicts.checks import MetricCheck
from pytest_ibmodels.verdicts.predictions import Difference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.spec import ModelTest

__all__ = [
    "Difference",
    "FailedPhase",
    "MetricCheck",
    "Phase",
    "RunFacts",
    "pytest_ibmodels_run_finished",
    "pytest_ibmodels_run_started",
    "pytest_ibmodels_verdict",
]

Phase = Literal["training", "inference"]


@dataclass(frozen=True)
class FailedPhase:
    """Why a run failed.

    Attributes:
        kind: kind of the failure, as in reports (``metrics``, ``time limit``, ...); ``error`` if a hook raised.
        reason: one or more sentences.
    """

    phase: Phase
    kind: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """Facts about a run at the time of a hook's call; later results are not added.

    Attributes:
        test: entry of the YAML file.
        environment: name of the environment.
        host: address of the environment; empty until the environment has been opened.
        package: uploaded package; None until the run has one.
        job_id: id of the training job; None until the environment has accepted the job.
        metrics: metric → field → value, as the training reported them, with and without a minimum; finite numbers only;
            of repeats, their mean.
        predictions: document → field → text, as the training predicted them; empty until the training has ended, and if
            they cannot be read.
        differences: fields that the served model predicted differently from the training.
        seconds: phase (upload, queue, training, inference) → seconds, for phases that have begun.
        failure: why the run failed; None if it has not failed.
    """

    test: ModelTest
    environment: str
    host: str
    package: Package | None = field(repr=False)  # it contains the whole zip
    job_id: str | None
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    predictions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    failure: FailedPhase | None = None


@pytest.hookspec
def pytest_ibmodels_run_started(config: pytest.Config, run: RunFacts) -> None:
    """React to the start of a run: its environment has accepted the training job.

    Called within a fraction of a second, even while another run's item is waiting. Never called for a run that failed
    before its job was accepted.
    """


@pytest.hookspec
def pytest_ibmodels_verdict(
    config: pytest.Config, run: RunFacts, phase: Phase
) -> Iterable[MetricCheck | str] | str | None:
    """Add checks to the verdict of a phase.

    Called once for each phase with a result: the metrics of a training, whether or not they reach their minimums; the
    predictions of a served model, whether or not they differ. Not called for a failed job, nor for inference if a
    check of this hook failed the training.

    Returns:
        Any number of checks. A :class:`MetricCheck` is reported like those of ``metrics``, with its margin, and fails
        the phase if the observed value is below the minimum or above the maximum. A string is a sentence that names an
        error, and fails the phase.
    """


@pytest.hookspec
def pytest_ibmodels_run_finished(config: pytest.Config, run: RunFacts) -> None:
    """React to the end of a run: its last selected phase has ended, or a phase has failed.

    Called once, after the verdicts; never for a cancelled run.
    """
