"""Help for training code of your own: `trainer`, `Job` and `Result`, as `docs/your-own-trainer.md` describes them."""

from ibformers.sdk.job import Baseline, Job
from ibformers.sdk.result import Result
from ibformers.sdk.training import trainer

__all__ = ["Baseline", "Job", "Result", "trainer"]
