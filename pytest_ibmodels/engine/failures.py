"""Kinds of failures of a run: one class each, with the facts as attributes. ``reports`` words them for people.

::

    RunFailure
      ConfigFailure            the package or an environment's entry cannot be used as written
      EnvironmentUnavailable   the environment does not answer or refuses the token, or the sandbox did not start
      UploadFailure            the package could not be uploaded
      SubmitFailure            the training job was not accepted
      TrainingFailure          the job ended with an error
      TimeLimitFailure         the job did not end within the test's time_limit
      MetricsFailure           a metric is not within its bounds
      InferenceFailure         the trained model could not be served
      PredictionsFailure       the served model predicts something else than at training
      PromotionFailure         the model passed, but could not be promoted
      CheckFailure             the model passed, but a check of the project's own failed
      NotTrained               inference has no model to run, because its training failed

Failures that stand for a verdict are also AssertionErrors, by which reporters such as Allure's distinguish failed tests
from broken ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pytest_ibmodels.instabase import errors
from pytest_ibmodels.instabase.policy import is_transient
from pytest_ibmodels.verdicts.checks import MetricsVerdict

if TYPE_CHECKING:
    from concurrent.futures import Future

    from pytest_ibmodels.engine.case import Run
    from pytest_ibmodels.verdicts.predictions import PredictionsVerdict


class RunFailure(Exception):
    """Base of all failures of a run.

    Attributes:
        kind: name of the kind in reports.
        reason: one sentence or more: what happened and what to do.
        run: the run that failed; None if the failure came before the run.
    """

    kind: ClassVar[str] = "failure"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.run: Run | None = None


class ConfigFailure(RunFailure):
    kind = "config"


class EnvironmentUnavailable(RunFailure):
    kind = "environment unavailable"


class UploadFailure(RunFailure):
    kind = "upload"


class SubmitFailure(RunFailure):
    kind = "submit"


class TrainingFailure(RunFailure):
    """Attributes: ``job_traceback``: traceback of the pushed code, as the job reported it; may be empty."""

    kind = "training failed"

    def __init__(self, reason: str, job_traceback: str = "") -> None:
        super().__init__(reason)
        self.job_traceback = job_traceback


class TimeLimitFailure(RunFailure):
    """Attributes: ``limit``, ``waited``: seconds; ``cancelled``: whether the job was cancelled."""

    kind = "time limit"

    def __init__(self, reason: str, *, limit: float, waited: float, cancelled: bool) -> None:
        super().__init__(reason)
        self.limit = limit
        self.waited = waited
        self.cancelled = cancelled


class MetricsFailure(RunFailure, AssertionError):
    kind = "metrics"

    def __init__(self, reason: str, verdict: MetricsVerdict) -> None:
        super().__init__(reason)
        self.verdict = verdict


class InferenceFailure(RunFailure):
    kind = "inference failed"


class PredictionsFailure(RunFailure, AssertionError):
    kind = "predictions differ"

    def __init__(self, reason: str, verdict: PredictionsVerdict) -> None:
        super().__init__(reason)
        self.verdict = verdict


class PromotionFailure(RunFailure):
    kind = "promotion failed"


class CheckFailure(RunFailure, AssertionError):
    """Attributes: ``verdict``: the verdict of the phase, with the project's own checks."""

    kind = "check"

    def __init__(self, reason: str, verdict: MetricsVerdict | PredictionsVerdict) -> None:
        super().__init__(reason)
        self.verdict = verdict


class NotTrained(RunFailure):
    """Attributes: ``cause``: why the training failed."""

    kind = "not trained"

    def __init__(self, cause: RunFailure) -> None:
        super().__init__(f"its training failed ({cause.kind})")
        self.cause = cause


def phase_failure(phase: Future[MetricsVerdict] | Future[PredictionsVerdict]) -> BaseException | None:
    """Failure of a phase that has ended: its exception, or one for a verdict that did not pass; None if it passed."""
    error = phase.exception()
    return error if error is not None else verdict_failure(phase.result())


def verdict_failure(verdict: MetricsVerdict | PredictionsVerdict) -> MetricsFailure | PredictionsFailure | None:
    """The failure that a verdict means; None if it passed."""
    if verdict.passed:
        return None
    if isinstance(verdict, MetricsVerdict):
        return MetricsFailure(verdict.what_failed, verdict)
    parts = []
    if verdict.differences:
        parts.append(f"{len(verdict.differences)} of {verdict.fields_compared} fields differ from training")
    if verdict.unanswered:
        parts.append(f"{len(verdict.unanswered)} of {len(verdict.documents)} documents got no prediction")
    return PredictionsFailure(" and ".join(parts), verdict)


def as_failure(error: errors.InstabaseError, kind: type[RunFailure]) -> RunFailure:
    """The failure that a client's error means: one of the environment itself, or ``kind``."""
    if is_transient(error) or isinstance(error, errors.AccessRefused | errors.Redirected | errors.CertificateRefused):
        return EnvironmentUnavailable(str(error))
    if isinstance(error, errors.ClientSetupError):
        return ConfigFailure(str(error))
    return kind(str(error))
