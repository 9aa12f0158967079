"""How a run can fail: one class a kind, with the facts as attributes. Wording for people is made in ``reports``.

::

    RunFailure
      ConfigFailure            the package or an environment's entry cannot be used as written
      EnvironmentUnavailable   nothing answered there, or it refused the token, or the sandbox did not start
      UploadFailure            the code could not be put there
      SubmitFailure            the training job was not accepted
      TrainingFailure          the job ended with an error
      TimeLimitFailure         the job did not end within the test's time_limit
      MetricsFailure           it ended, and a metric is not within its bounds
      InferenceFailure         the trained model could not be served
      PredictionsFailure       served, it predicts something else than at training
      PromotionFailure         all of that is well, but its model could not take the place of the one in use
      CheckFailure             all of that is well, but a check of the project's own failed
      NotTrained               inference has no model to run, because its training failed

Those that are verdicts are AssertionErrors, too: reporters such as Allure's tell by that what failed from what broke.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pytest_ibmodels.engine.case import Run
    from pytest_ibmodels.verdicts.checks import MetricsVerdict
    from pytest_ibmodels.verdicts.predictions import PredictionsVerdict


class RunFailure(Exception):
    """Base of all failures of a run.

    Attributes:
        kind: the kind's name, as reports print it.
        reason: one sentence, or a few, that say what happened and what to do.
        run: the run that failed; None if it failed before there was one.
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
    """Attributes: ``job_traceback``: the traceback that the job reported, of the pushed code; may be empty."""

    kind = "training failed"

    def __init__(self, reason: str, job_traceback: str = "") -> None:
        super().__init__(reason)
        self.job_traceback = job_traceback


class TimeLimitFailure(RunFailure):
    """Attributes: ``limit``, ``waited``: seconds; ``cancelled``: whether the environment ended the job."""

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
    """Attributes: ``verdict``: that of the phase, with the project's own checks."""

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
