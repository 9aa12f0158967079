"""``/api/v1/tuning``: text classification from a database, only in the sandbox.

The pushed code (``ibformers.tuning``) interprets and validates settings and requests.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from pytest_ibmodels.instabase.wire import JobStarted
from pytest_ibmodels.sandbox.http.bodies import JsonRoute, TheTenant
from pytest_ibmodels.sandbox.http.openapi import BUSY
from pytest_ibmodels.sandbox.http.tuning_bodies import (
    Arguments,
    ArgumentsBody,
    BatchSizes,
    BatchSizesBody,
    CodeBody,
    DiscardBody,
    Discarded,
    ModelBody,
    OverrideBody,
    PredictBody,
    Predicted,
    Promoted,
    RollbackBody,
    ShowBody,
    Shown,
    Tables,
    TablesBody,
    TrainBody,
    TunedModel,
    TunedModels,
)
from pytest_ibmodels.sandbox.services.promoting import change_model
from pytest_ibmodels.sandbox.services.tenant import Tenant

router = APIRouter(prefix="/api/v1/tuning", route_class=JsonRoute)


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
    asked = body.request.model_dump(exclude_unset=True)
    return Promoted(status="OK", **await _change(tenant, request, body, "rollback", asked))


@router.post("/discard", responses=BUSY)
async def discard(body: DiscardBody, tenant: TheTenant, request: Request) -> Discarded:
    """Delete the candidate; the model in use stays as it is."""
    asked = body.request.model_dump(exclude_unset=True)
    return Discarded(status="OK", **await _change(tenant, request, body, "discard", asked))


@router.post("/show", responses=BUSY)
async def show(body: ShowBody, tenant: TheTenant, request: Request) -> Shown:
    """Show the versions of a model, with the answers of their trainings."""
    return Shown(status="OK", **await _answer(tenant, request, body, "show", {}))


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


@router.post("/tables", responses=BUSY)
async def tables(body: TablesBody, tenant: TheTenant, request: Request) -> Tables:
    """List the tables of a database, or the columns of one of them."""
    found = await tenant.model_calls.answer(
        request,
        lambda abandoned: tenant.tuning.tables(body.script_packages, body.database, body.table, abandoned),
    )
    return Tables(status="OK", **found)


@router.post("/arguments", responses=BUSY)
async def arguments(body: ArgumentsBody, tenant: TheTenant, request: Request) -> Arguments:
    """List the arguments that a train request may have."""
    return Arguments(status="OK", arguments=await _answer(tenant, request, body, "arguments", {}))


@router.post("/batch_sizes", responses=BUSY)
async def batch_sizes(body: BatchSizesBody, tenant: TheTenant, request: Request) -> BatchSizes:
    """Show the batch sizes that a training of so many rows chooses by itself."""
    asked = body.request.model_dump(exclude_none=True)
    return BatchSizes(status="OK", **await _answer(tenant, request, body, "batch_sizes", asked))


async def _change(tenant: Tenant, request: Request, body: ModelBody, operation: str, asked: dict[str, Any]) -> Any:
    packages, settings, who = body.script_packages, body.plain_settings(), tenant.caller
    return await tenant.model_calls.answer(
        request, lambda abandoned: change_model(tenant, who, operation, settings, asked, packages, abandoned)
    )


async def _answer(tenant: Tenant, request: Request, body: CodeBody, operation: str, asked: dict[str, Any]) -> Any:
    packages, settings = body.script_packages, body.plain_settings() if isinstance(body, ModelBody) else {}
    return await tenant.model_calls.answer(
        request, lambda abandoned: tenant.tuning.answer(packages, operation, settings, asked, abandoned)
    )
