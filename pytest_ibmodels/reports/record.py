"""What is known of a run's phase, as plain values: they travel from xdist's workers to the controller in a report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from concurrent.futures import Future

    from pytest_ibmodels.runs.case import Run


class CheckRecord(TypedDict):
    metric: str
    field: str
    minimum: float
    observed: float | None
    problem: str


class PhaseRecord(TypedDict):
    """One phase of a run.

    ``seconds`` has the keys upload, training, inference, as far as they came; ``documents`` and ``fields`` count what
    inference compared, ``texts`` those of the fields that were not empty on both sides.
    """

    test: str
    environment: str
    phase: str
    host: str
    job_id: str | None
    seconds: dict[str, float]
    checks: list[CheckRecord]
    documents: int
    fields: int
    texts: int
    notes: list[str]


def phase_record(run: Run, phase: str) -> PhaseRecord:
    record = PhaseRecord(
        test=run.case.test.name,
        environment=run.case.environment,
        phase=phase,
        host=run.host,
        job_id=run.job_id,
        seconds=dict(run.seconds),
        checks=[],
        documents=0,
        fields=0,
        texts=0,
        notes=list(run.notes),
    )
    if phase == "training" and _passed(run.training):
        record["checks"] = [
            CheckRecord(
                metric=check.metric,
                field=check.field,
                minimum=check.minimum,
                observed=check.observed,
                problem=check.problem,
            )
            for check in run.training.result().checks
        ]
    if phase == "inference" and _passed(run.inference):
        verdict = run.inference.result()
        record["documents"] = len(verdict.documents)
        record["fields"], record["texts"] = verdict.fields_compared, verdict.texts_compared
    return record


def _passed(future: Future[Any]) -> bool:
    # A future that failed has its facts in the failure.
    return future.done() and not future.cancelled() and future.exception() is None
