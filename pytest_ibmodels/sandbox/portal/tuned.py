"""Tuned models, as the pushed code describes them: its answers are checked, as it may answer anything."""

import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from starlette.responses import Response

from pytest_ibmodels.sandbox.errors import NoPackageError, SandboxError
from pytest_ibmodels.sandbox.portal.earlier_training import newest_tuning
from pytest_ibmodels.sandbox.portal.visits import Visit
from pytest_ibmodels.sandbox.services.job_requests import ShownRequest

T = TypeVar("T")
ModelHandler = Callable[[Visit, threading.Event], Response]

_SEPARATOR = ","


class _Facts(BaseModel):
    model_config = ConfigDict(frozen=True, protected_namespaces=())


class ListedModel(_Facts):
    """Versions of a model; ``waiting`` is the candidate."""

    model_name: str
    in_use: str
    waiting: str | None = None
    previous: str | None = None


class Metrics(_Facts):
    """Metrics of a model on the test rows, by label."""

    accuracy: float
    ece: float | None = None
    precision: Mapping[str, float] = {}
    recall: Mapping[str, float] = {}
    f1: Mapping[str, float] = {}
    support: Mapping[str, int] = {}


class Difference(_Facts):
    """A metric of both models on the same rows, with the interval of the difference."""

    old: float
    new: float
    difference: float
    low: float
    high: float


class WorseRow(_Facts):
    """A test row that only the old model gets right."""

    row: int
    text: str
    label: str
    old: str
    new: str


class Comparison(_Facts):
    """Comparison of both models, row by row."""

    rows: int
    learned: int | None = None
    reason: str = ""
    confidence: float
    accuracy: Difference | None = None
    f1: Difference | None = None
    only_old_right: int
    only_new_right: int
    worse: Sequence[WorseRow] = ()


class Intervals(_Facts):
    """95 % intervals of the new model's metrics that a page shows."""

    f1: Mapping[str, tuple[float, float]] = {}


class Training(_Facts):
    """Record of the training of a version."""

    old: Metrics
    new: Metrics
    evaluation_intervals: Intervals = Intervals()
    comparison: Comparison | None = None
    compared_with: str | None = None
    old_head_is_new: bool = False
    temperature: float | None = None
    rows: Mapping[str, int] = {}
    batch_sizes: Mapping[str, int] = {}
    seconds: float | None = None


class Version(_Facts):
    """A version, and the record of its training, as it was written."""

    name: str
    training: Mapping[str, Any] | None = None

    @property
    def record(self) -> Training | None:
        """Record of the training; None if there is none, or it is damaged."""
        try:
            return None if self.training is None else Training.model_validate(self.training)
        except ValidationError:
            return None


class Verdict(_Facts):
    """Difference between the candidate and the model in use."""

    verdict: Literal["better", "worse", "undecided", "unknown"]
    sentence: str


class Model(_Facts):
    """Versions of a model, with the records of their trainings."""

    model_name: str
    in_use: Version
    waiting: Version | None = None
    previous: Version | None = None
    difference: Verdict | None = None


class LabelRow(_Facts):
    """Metrics of one label, or an average: old and new."""

    label: str
    support: int | None
    f1: tuple[float, float]
    precision: tuple[float, float]
    recall: tuple[float, float]
    interval: tuple[float, float] | None


def waits_for_model(handler: ModelHandler) -> Callable[[Visit], Awaitable[Response]]:
    """Run a handler in the tenant's threads for calls that wait for a model; its second argument ends the wait."""

    async def answer(visit: Visit) -> Response:
        return await visit.tenant.model_calls.answer(visit.request, lambda abandoned: handler(visit, abandoned))

    return answer


def chosen_code(visit: Visit) -> str:
    """Folders of pushed code, separated by commas, that a person chose; else those of the newest tuning job.

    An empty text is the published package.
    """
    if "code" in visit.form.fields:
        return visit.form.get("code")
    if "code" in visit.request.query_params:
        return visit.query("code")
    newest = newest_tuning(visit.tenant)
    return code_of(newest[1]) if newest else ""


def code_of(request: ShownRequest) -> str:
    """Return the folders of pushed code of a job, as :func:`chosen_code` has them."""
    return f"{_SEPARATOR} ".join(request.script_packages)


def packages_of(code: str) -> list[str]:
    """Folders of pushed code, as requests name them."""
    return [part.strip().lstrip("/") for part in code.split(_SEPARATOR) if part.strip()]


def ask(
    visit: Visit,
    abandoned: threading.Event,
    operation: str,
    model: str = "",
    request: Mapping[str, Any] | None = None,
) -> Any:
    """Ask the tuning code that the visit chooses.

    Raises:
        NoPackageError: No code is here.
        SandboxError: The code cannot be found, fails, or refuses the request.
    """
    settings = {"model_name": model} if model else {}
    code = packages_of(chosen_code(visit))
    try:
        return visit.tenant.tuning.answer(code, operation, settings, dict(request or {}), abandoned)
    except NoPackageError:
        # The service's sentence speaks to programs.
        msg = (
            "No code that trains and answers for models is here yet: publish it with pytest --publish-only, or push it "
            "and name its folder on the page Models."
        )
        raise NoPackageError(msg) from None


def read_answer(kind: type[T], answer: Any, operation: str) -> T:
    """Return a checked answer of the pushed code.

    Raises:
        SandboxError: It has another form.
    """
    try:
        return TypeAdapter(kind).validate_python(answer)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
        msg = f"the pushed code answered the operation '{operation}' in a form that this page does not know ({where})"
        raise SandboxError(msg) from None


def listed_models(visit: Visit, abandoned: threading.Event) -> list[ListedModel]:
    """Tuned models, sorted by name.

    Raises:
        SandboxError: As :func:`ask`.
    """
    return read_answer(list[ListedModel], ask(visit, abandoned, "models"), "models")


def shown_model(visit: Visit, abandoned: threading.Event, name: str) -> Model:
    """One model, with the records of its versions.

    Raises:
        SandboxError: As :func:`ask`, or there is no such model.
    """
    return read_answer(Model, ask(visit, abandoned, "show", name), "show")


def label_rows(training: Training) -> list[LabelRow]:
    """Metrics of both models, a row for each label that test rows have, then the averages."""
    old, new = training.old, training.new
    labels = [label for label in new.f1 if label in new.support]
    labels += [name for name in new.f1 if name not in new.support]
    return [
        LabelRow(
            label=label,
            support=new.support.get(label),
            f1=_pair(old.f1, new.f1, label),
            precision=_pair(old.precision, new.precision, label),
            recall=_pair(old.recall, new.recall, label),
            interval=training.evaluation_intervals.f1.get(label),
        )
        for label in labels
    ]


def _pair(old: Mapping[str, float], new: Mapping[str, float], label: str) -> tuple[float, float]:
    return old.get(label, float("nan")), new.get(label, float("nan"))
