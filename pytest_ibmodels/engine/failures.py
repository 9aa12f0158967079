"""Kinds of failures of a run: one class each, with the facts as attributes. ``reports`` words them for people.

::

    RunFailure
      ConfigFailure            the package or an environment's entry cannot be used as written
      EnvironmentUnavailable   the environment does not answer or refuses the token, or the sandbox did not start
      UploadFailure            the package could not be uploaded
      SubmitFailure            the training job was not accepted
      TrainingFailure          the job ended with an error
      TimeLimitFailure         the job did not end within the test's time_limit
      InferenceFailure         the trained model could not be served
      PromotionFailure         the model passed, but could not be promoted
      NotTrained               inference has no model to run, because its training failed
      VerdictFailure
        MetricsFailure         a metric is not within its bounds
        BaselineFailure        the run is worse than its baseline, or could not be compared with it
        TrendFailure           a metric got worse over several runs, and the model test fails on trends
        PredictionsFailure     the served model predicts something else than at training
        CheckFailure           the model passed, but a check of the project's own failed

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


class VerdictFailure(RunFailure, AssertionError):
    """Base of failures that stand for a verdict. Attributes: ``verdict``: the verdict of the phase."""

    def __init__(self, reason: str, verdict: MetricsVerdict | PredictionsVerdict) -> None:
        super().__init__(reason)
        self.verdict = verdict


class MetricsFailure(VerdictFailure):
    kind = "metrics"


class BaselineFailure(VerdictFailure):
    kind = "baseline"


class TrendFailure(VerdictFailure):
    kind = "trend"


class InferenceFailure(RunFailure):
    kind = "inference failed"


class PredictionsFailure(VerdictFailure):
    kind = "predictions differ"


class PromotionFailure(RunFailure):
    kind = "promotion failed"


class CheckFailure(VerdictFailure):
    """A failed check of the project; the verdict has all of its checks."""

    kind = "check"


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


def verdict_failure(verdict: MetricsVerdict | PredictionsVerdict) -> VerdictFailure | None:
    """The failure that a verdict means; None if it passed."""
    if verdict.passed:
        return None
    if isinstance(verdict, MetricsVerdict):
        return _metrics_failure(verdict)
    parts = []
    if verdict.differences:
        parts.append(f"{len(verdict.differences)} of {verdict.fields_compared} fields differ from training")
    if verdict.unanswered:
        parts.append(f"{len(verdict.unanswered)} of {len(verdict.documents)} documents got no prediction")
    return PredictionsFailure(" and ".join(parts), verdict)


def _metrics_failure(verdict: MetricsVerdict) -> VerdictFailure:
    baseline = verdict.baseline
    if verdict.failures:
        return MetricsFailure(verdict.what_failed, verdict)
    if baseline is not None and not baseline.passed:
        return BaselineFailure(baseline.what_failed, verdict)
    count = len(verdict.trends)
    return TrendFailure(f"{count} metric{'s' * (count != 1)} got worse over several runs", verdict)


def as_failure(error: errors.InstabaseError, kind: type[RunFailure]) -> RunFailure:
    """The failure that a client's error means: one of the environment itself, or ``kind``."""
    if is_transient(error) or isinstance(error, errors.AccessRefused | errors.Redirected | errors.CertificateRefused):
        return EnvironmentUnavailable(str(error))
    if isinstance(error, errors.ClientSetupError):
        return ConfigFailure(str(error))
    return kind(str(error))
