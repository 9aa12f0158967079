"""Hooks that a ``conftest.py`` or a plugin may implement, and the facts that they are given.

All are called on pytest's main thread, while an item of a model test runs, and with xdist in the worker that runs it.
What a hook raises fails an item of the run that it was called for, with the hook's own traceback.
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
        kind: ``metrics``, ``time limit``, ...: as in the report; ``error`` if a hook raised.
        reason: a sentence, or a few.
    """

    phase: Phase
    kind: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What is known of a run when a hook is called; what came later is not in it.

    Attributes:
        test: the entry of the YAML file.
        environment: the environment's name.
        host: its address; empty until it is opened.
        package: what was pushed and trained with.
        job_id: of the training job; None if the environment accepted none.
        metrics: metric → field → value, as the training reported them, whether or not there is a minimum. What is no
            finite number is left out.
        predictions: document → field → text, as the training predicted them. They are read from the environment for
            inference, so they are empty before.
        differences: the fields that the served model predicted otherwise.
        seconds: phase → seconds: upload, queue, training, inference, as far as the run came.
        failure: why the run failed; None as long as it did not.
    """

    test: ModelTest
    environment: str
    host: str
    package: Package | None = field(repr=False)  # it holds the whole zip
    job_id: str | None
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    predictions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    differences: tuple[Difference, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    failure: FailedPhase | None = None


@pytest.hookspec
def pytest_ibmodels_run_started(config: pytest.Config, run: RunFacts) -> None:
    """The environment has accepted the training job of a run.

    Called within a fraction of a second, also while the item of another run is waited for. Never called for a run that
    failed before.
    """


@pytest.hookspec
def pytest_ibmodels_verdict(
    config: pytest.Config, run: RunFacts, phase: Phase
) -> Iterable[MetricCheck | str] | str | None:
    """A phase has its verdict: add checks of your own.

    Called once per phase whose result can be judged: the metrics of a training, whether or not they reached their
    minimums; the predictions of a served model, whether or not they differ. Not called for a job that failed, and not
    for inference if a check of yours failed the training.

    Returns:
        Any number of checks: a :class:`MetricCheck` is reported like those of ``metrics``, with its margin, and fails
        the phase if the observed value is below the minimum or above the maximum; a text is a sentence that says what
        is wrong, and fails the phase.
    """


@pytest.hookspec
def pytest_ibmodels_run_finished(config: pytest.Config, run: RunFacts) -> None:
    """The outcome of a run is known: its last selected phase has ended, or one has failed.

    Called once, after the verdicts; never for a run that was cancelled.
    """
