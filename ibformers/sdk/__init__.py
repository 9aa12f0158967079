"""Helper for training code of your own, in pure Python: `trainer`, `Job` and `Result`. See `docs/your-own-trainer.md`."""

from ibformers.sdk.job import Baseline, Job
from ibformers.sdk.result import Result
from ibformers.sdk.training import trainer

__all__ = ["Baseline", "Job", "Result", "trainer"]
