"""JUnit XML: what is known of a run as properties of its items."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_ibmodels.reports.record import RunRecord

NODE_ID = "nodeid"
KIND = "failure.kind"


def properties(run: RunRecord, nodeid: str) -> Iterator[tuple[str, object]]:
    """Name and value of an item's properties: what is known of its run when its phase has ended."""
    yield NODE_ID, nodeid
    yield "environment", run.environment
    if run.host:
        yield "host", run.host
        yield "route", run.route
    if run.job_id is not None:
        yield "job_id", run.job_id
    if run.package is not None:
        yield "package", run.package.name
        yield "package.version", run.package.version
        yield "package.content_hash", run.package.content_hash
    for name, seconds in run.seconds:
        if seconds is not None:
            yield f"seconds.{name}", f"{seconds:.3f}"
    for check in run.training.checks:
        if check.observed is not None:
            yield f"observed.{check.metric}.{check.field}", f"{check.observed:.6g}"
        yield f"minimum.{check.metric}.{check.field}", f"{check.minimum:.6g}"
    if run.inference.documents:
        yield "documents_compared", str(len(run.inference.documents))
        yield "fields_compared", str(run.inference.fields)
    phase = run.inference if nodeid.endswith("::test_inference") else run.training
    if phase.failure is not None:
        yield KIND, phase.failure.kind
