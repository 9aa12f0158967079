"""Records of wrong predictions, and of what changed since the last passed run."""

from __future__ import annotations

from pydantic import AwareDatetime, Field

from pytest_ibmodels.reports.record_base import Record


class WrongRecord(Record):
    """A field of a document, or a row, that the training predicted wrong; its texts are cut."""

    document: str
    field: str
    expected: str | None = Field(description="Null if only the verdict on the prediction is known.")
    predicted: str
    score: float | None = Field(None, description="The model's confidence, 0 to 1; null if not reported.")
    input: str = Field("", description="Text that was predicted on; empty if unknown.")


class ConfusionRecord(Record):
    """A label that was predicted in place of another one."""

    expected: str
    predicted: str
    count: int = Field(description="Number of rows.")
    of: int = Field(description="Number of all rows with the expected label.")


class ChangedRecord(Record):
    """Changes since the newest run that passed."""

    started: AwareDatetime = Field(description="Start of that run.")
    commit: str = ""
    facts: tuple[str, ...] = Field((), description="What changed; empty if nothing that the history knows.")
