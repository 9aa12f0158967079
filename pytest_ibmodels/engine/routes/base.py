"""What every route answers to the story of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import SecretStr

    from pytest_ibmodels.engine.curves import HistoryPoint
    from pytest_ibmodels.instabase.client import Instabase
    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.spec import ModelTest
    from pytest_ibmodels.verdicts.predictions import Answer


class RouteError(Exception):
    """What an environment answered, or training wrote, does not have the form it should have; the text says which."""


class InterruptedInference(RouteError):
    """The environment lost a job, which has done nothing wrong: another one may end well."""


@dataclass(frozen=True)
class RunContext:
    """Where a run does its work: the environment's client and the folder that this session made there.

    Attributes:
        folder: ``ROOT/ci-test-temp/<package>_<uuid>``, holding the unpacked package.
        suffix: unique for the run, for its folder and for names that an environment keeps in one global list.
        database: URL of the environment's database, if it has one.
    """

    client: Instabase
    folder: str
    package: Package
    suffix: str
    database: SecretStr | None = None


@dataclass(frozen=True)
class TrainingState:
    """One look at a training job.

    Attributes:
        name: the environment's word for the state, for people.
        finished: whether the job has ended, well or not.
        error: one sentence if it ended badly, else empty; with the job's own traceback, if it sent one.
        environment_fault: whether the environment says that this is its own fault, and not that of the pushed code.
        fraction: progress from 0 to 1, where known.
        metrics: ``evaluation_results`` as reported so far.
        history: the training curves, if the job reports them.
        queued: whether the environment has accepted the job and not begun with it.
        current: of a route on which models are in use: which one the new one is compared with, and its metrics.
        intervals, test_part, comparison: ``evaluation_intervals`` and these, as reported, whatever they are.
    """

    name: str
    finished: bool = False
    error: str = ""
    job_traceback: str = ""
    environment_fault: bool = False
    fraction: float | None = None
    metrics: Mapping[str, object] | None = None
    history: tuple[HistoryPoint, ...] = ()
    queued: bool = False
    current: Mapping[str, object] | None = None
    intervals: object = None
    test_part: object = None
    comparison: object = None


class Route(Protocol):
    """A way to train and to serve; all methods raise the client's errors.

    Attributes:
        name: the route's, as reports print it.
        answer_seconds: for so long :meth:`inference_answers` may take, if that is longer than any look may.
    """

    name: ClassVar[str]
    answer_seconds: ClassVar[float]

    def pages(self, place: RunContext, test: ModelTest, job_id: str) -> Mapping[str, str]:
        """Name → address of the environment's pages on a training job, for people; the Refiner's once it is made."""
        ...

    def model_name(self, place: RunContext, test: ModelTest) -> str:
        """What the environment calls the trained model while it is served."""
        ...

    async def start(self, place: RunContext, test: ModelTest) -> str:
        """Start the training job; its id. The names that it uses are those of ``place``."""
        ...

    async def started(self, place: RunContext, test: ModelTest) -> list[str]:
        """The ids of the jobs that :meth:`start` has begun for ``place``, oldest first.

        Raises:
            ApiError, UnexpectedAnswer: the environment cannot be asked.
        """
        ...

    async def look(self, place: RunContext, job_id: str) -> TrainingState: ...

    async def training_predictions(self, place: RunContext, test: ModelTest) -> Mapping[str, Mapping[str, str]]:
        """Document → field → text, as training predicted them, in the order in which it wrote them.

        Raises:
            RouteError: what training wrote is not a predictions file.
        """
        ...

    async def start_inference(self, place: RunContext, test: ModelTest, documents: Sequence[str]) -> str:
        """Have the trained model served and run on documents; the id of the job."""
        ...

    async def inference_answers(
        self, place: RunContext, job_id: str, documents: Sequence[str]
    ) -> Mapping[str, Answer] | None:
        """What the served model answered; None while it is at work.

        Raises:
            RouteError: the job ended without results.
            InterruptedInference: by a fault of the environment's that passes.
        """
        ...

    async def leave(self, place: RunContext, test: ModelTest) -> None:
        """Let go of what serving holds in the environment."""
        ...

    async def start_promotion(self, place: RunContext, test: ModelTest, *, force: bool) -> str | None:
        """Start the job that lets the new model take the place of the one in use; None where no model ever is.

        Args:
            place: where the model was trained.
            test: the model test.
            force: promote also a model that is certainly worse than the one in use.
        """
        ...
