"""The route protocol: how a case is trained, served and promoted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

from pytest_ibmodels.engine.placement import NOT_REPORTED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from pydantic import SecretStr

    from pytest_ibmodels.engine.curves import HistoryPoint
    from pytest_ibmodels.engine.placement import Placement
    from pytest_ibmodels.instabase.client import Instabase
    from pytest_ibmodels.packaging import Package
    from pytest_ibmodels.spec import DataPath, ModelTest
    from pytest_ibmodels.verdicts.checks import MetricCheck
    from pytest_ibmodels.verdicts.predictions import Answer
    from pytest_ibmodels.verdicts.results import TrainingPredictions


class RouteError(Exception):
    """An answer of the environment, or a file that training wrote, does not have its form; the text says which."""


class InterruptedInference(RouteError):
    """The environment lost the job through no fault of the model: another job may succeed."""


class DataFiles(NamedTuple):
    """Data in an environment: a drive path, and the names of the files below it; None if the path is a file."""

    path: str
    files: tuple[str, ...] | None


@dataclass(frozen=True)
class RunContext:
    """Client, folder and names that a run works with.

    Attributes:
        folder: ``ROOT/ci-test-temp/<package>_<uuid>``, holding the unpacked package.
        suffix: unique for the run; part of its folder and of names that are global in an environment.
        database: URL of the environment's database; None if it has none.
        find_data: returns the place of data in the environment; local data is uploaded, once a session.
        start_key: idempotency key of the start of a training; empty for other calls.
    """

    client: Instabase
    folder: str
    package: Package
    suffix: str
    database: SecretStr | None = None
    find_data: Callable[[DataPath], Awaitable[DataFiles]] | None = None
    start_key: str = ""


@dataclass(frozen=True)
class TrainingState:
    """State of a training job, as one poll saw it.

    Attributes:
        name: the environment's word for the state, for people.
        finished: whether the job has ended, well or not.
        error: a sentence if the job failed, else empty.
        job_traceback: the job's traceback; empty if it sent none.
        environment_fault: whether the environment says that the failure is its own, not the pushed code's.
        fraction: progress (0..1); None if not reported.
        message: what the job says itself; empty if it says nothing.
        metrics: ``evaluation_results`` as reported so far.
        history: the training curves, if the job reports them.
        queued: whether the job was accepted and has not begun.
        current: the model in use that the new one is compared with, and its metrics; None if not reported.
        intervals, test_part, comparison: ``evaluation_intervals`` and these, unchecked.
        peak_memory: bytes that the job has taken at most; None if not reported.
        placement: where the job runs.
    """

    name: str
    finished: bool = False
    error: str = ""
    job_traceback: str = ""
    environment_fault: bool = False
    fraction: float | None = None
    message: str = ""
    metrics: Mapping[str, object] | None = None
    history: tuple[HistoryPoint, ...] = ()
    queued: bool = False
    current: Mapping[str, object] | None = None
    intervals: object = None
    test_part: object = None
    comparison: object = None
    peak_memory: int | None = None
    placement: Placement = NOT_REPORTED


class DataFingerprint(NamedTuple):
    """Identity of training data: its name, and a marker that changes with its content, empty if there is none."""

    name: str
    marker: str = ""


class Route(Protocol):
    """A way to train, serve and promote. One object serves one run. All methods raise the client's errors.

    Attributes:
        name: name of the route in reports.
        serves_with: what answers at inference, in messages.
        answer_seconds: seconds that :meth:`inference_answers` may take, if longer than a poll may.
    """

    name: ClassVar[str]
    serves_with: ClassVar[str]
    answer_seconds: ClassVar[float]

    @staticmethod
    def is_for(test: ModelTest) -> bool:
        """Return whether the model test is trained by this route."""
        ...

    async def fingerprint(
        self, test: ModelTest, database: SecretStr | None, file_marker: Callable[[str], Awaitable[str]]
    ) -> DataFingerprint:
        """Identify the training data.

        Args:
            test: the model test.
            database: URL of the environment's database; None if it has none.
            file_marker: returns a marker for a drive path, or an absolute local path, that changes with the content.
        """
        ...

    def pages(self, context: RunContext, test: ModelTest, job_id: str) -> Mapping[str, str]:
        """Name → address of the environment's pages on a training job, for people."""
        ...

    def model_name(self, context: RunContext, test: ModelTest) -> str:
        """Name of the trained model in the environment while it is served."""
        ...

    async def start_training(self, context: RunContext, test: ModelTest) -> str:
        """Start the training job and return its id."""
        ...

    async def training_jobs(self, context: RunContext, test: ModelTest) -> list[str]:
        """The ids of the jobs that :meth:`start_training` started in ``context``, oldest first.

        Raises:
            ApiError, UnexpectedAnswer: the environment has no such call.
        """
        ...

    async def poll(self, context: RunContext, job_id: str) -> TrainingState:
        """Poll the training job."""
        ...

    def extra_checks(self, test: ModelTest, state: TrainingState) -> tuple[list[MetricCheck], list[str]]:
        """Checks of an ended training besides its metrics' bounds, and notes for the report."""
        ...

    async def training_predictions(self, context: RunContext, test: ModelTest) -> TrainingPredictions:
        """Predictions that training wrote.

        Raises:
            RouteError: training did not write a predictions file.
        """
        ...

    async def training_inputs(self, context: RunContext, test: ModelTest) -> Mapping[str, str]:
        """Document or row → the text that training predicted on; empty if training does not write them.

        Raises:
            RouteError: training wrote something else.
        """
        ...

    async def start_inference(self, context: RunContext, test: ModelTest, documents: Sequence[str]) -> str:
        """Serve the trained model, run it on documents, and return the id of the job."""
        ...

    async def inference_answers(
        self, context: RunContext, job_id: str, documents: Sequence[str]
    ) -> Mapping[str, Answer] | None:
        """Poll the served model's answers; None until all are there.

        Raises:
            RouteError: the job ended without results.
            InterruptedInference: the job was lost by a transient fault of the environment.
        """
        ...

    async def unload(self, context: RunContext, test: ModelTest) -> None:
        """Unload the served model."""
        ...

    async def start_promotion(self, context: RunContext, test: ModelTest, *, force: bool) -> str | None:
        """Start the job that promotes the trained model, and return its id; None if the route has no models in use.

        Args:
            context: the run context of the training.
            test: the model test.
            force: promote also a model that is certainly worse than the one in use.
        """
        ...
