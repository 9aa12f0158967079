"""Records of where a training ran and what it asked for; part of :mod:`pytest_ibmodels.reports.record`."""

from __future__ import annotations

from pydantic import Field

from pytest_ibmodels.reports.record_base import Record


class ResourcesRecord(Record):
    """The part of a machine that a model test asks for."""

    cpus: float = Field(description="Processor cores.")
    gpus: int
    memory: int | None = Field(description="Bytes; null if the model test asks for none.")


class PlacedRecord(Record):
    """Base of records of one training job."""

    node: str | None = Field(None, description="Machine that the training ran on last; null if not reported.")
    attempt: int | None = Field(
        None,
        description="Number of starts of the job; null if not reported, or 1 on an unnamed machine.",
    )
    attempts_lost: tuple[str, ...] = Field((), description="Why earlier attempts were lost, in a clause each.")
