"""What is known of a run, as plain values: the one source of every report.

Records are made where the run was, travel from xdist's workers to the controller as JSON inside pytest's reports, and
are read by the summary, the JUnit file, the job summary of a CI server, and ``--model-report``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

Outcome = Literal["passed", "failed", "skipped", "xfailed", "xpassed", "not run"]
"""pytest's words; ``not run``: not selected, or not come to."""


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(kept) for key, kept in value.items()}
    return [_encodable(kept) for kept in value] if isinstance(value, list | tuple) else value


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)

    @model_validator(mode="before")
    @classmethod
    def _encodable(cls, given: Any) -> Any:
        """Environments and models may answer texts that no file can hold: what UTF-8 lacks becomes a question mark."""
        return _encodable(given)


class PackageRecord(_Record):
    """What was pushed and trained with."""

    name: str
    version: str
    content_hash: Annotated[str, Field(description="SHA-256 over the names and contents of its files.")]


class SecondsRecord(_Record):
    """Where the time went, in seconds; null where the run did not come so far."""

    upload: float | None = None
    queue: Annotated[
        float | None, Field(description="Until it might train (max_parallel), and until the environment began.")
    ] = None
    training: float | None = None
    inference: float | None = None


class FailureRecord(_Record):
    """Why a phase failed."""

    kind: Annotated[str, Field(description="metrics, time limit, ...; `error` if it was no failure of the run's own.")]
    reason: Annotated[str, Field(description="The first line.")]
    text: Annotated[str, Field(description="All that the terminal shows, in plain text.")]


class CheckRecord(_Record):
    """A metric of a field, held to its bounds."""

    metric: str
    field: str
    minimum: Annotated[float | None, Field(description="Null if there is only a maximum.")]
    observed: Annotated[float | None, Field(description="Null if no number was reported, or none that can be.")]
    margin: Annotated[
        float | None, Field(description="How far within its bounds it is, from the nearer one; negative outside.")
    ]
    passed: bool
    problem: Annotated[str, Field(description="Why there is no number; else empty.")] = ""
    maximum: Annotated[float | None, Field(description="Null if there is only a minimum.")] = None
    interval: Annotated[
        tuple[float, float] | None, Field(description="The observed value's 95 % interval, low and high end.")
    ] = None
    remark: Annotated[str, Field(description="What else there is to know, such as a minimum within the interval.")] = ""
    undecided: Annotated[bool, Field(description="Of better_than_current: whether the rows were too few to tell.")] = (
        False
    )


class HistoryRecord(_Record):
    """A point of the training curves; null or empty is what was not reported at this point."""

    epoch: float | None = None
    step: float | None = None
    progress: Annotated[float | None, Field(description="From 0 to 1.")] = None
    loss: float | None = None
    learning_rate: float | None = None
    metrics: Annotated[dict[str, dict[str, float]], Field(description="metric -> field -> value")] = {}


class DifferenceRecord(_Record):
    """A field of a document that the served model predicted otherwise than training did."""

    document: str
    field: str
    at_training: str
    at_inference: str


class ValueRecord(_Record):
    """A value of a metric that was reported, held to bounds or not."""

    metric: str
    field: str
    value: float
    interval: Annotated[tuple[float, float] | None, Field(description="Its 95 % interval.")] = None


class TestPartRecord(_Record):
    """The rows or documents that the model was measured on."""

    __test__ = False  # no class of tests, whatever pytest makes of its name

    unit: Literal["rows", "documents"]
    count: int
    fingerprint: Annotated[str, Field(description="Hash of their keys: the same for the same rows or documents.")]
    seed: Annotated[int | None, Field(description="Of the split; null if none was used.")] = None
    split: Annotated[str, Field(description="What the split goes by.")] = ""
    duplicates: Annotated[int | None, Field(description="Found more than once; null if nobody counted.")] = None
    on_both_sides: Annotated[
        int | None, Field(description="Learned from as well, so that metrics flatter; null if nobody counted.")
    ] = None
    learned_before: Annotated[
        int | None, Field(description="That the model in use has learned from; null if that is not known.")
    ] = None
    labels_without_test_rows: tuple[str, ...] = ()


class PairedRecord(_Record):
    """A metric of the new model and of the one in use, on the same rows."""

    old: float
    new: float
    difference: Annotated[float, Field(description="New less old.")]
    low: Annotated[float, Field(description="Low end of the difference's interval.")]
    high: Annotated[float, Field(description="High end of the difference's interval.")]
    p_value: float | None = None


class WorseRowRecord(_Record):
    """A row that the model in use gets right and the new one does not."""

    row: int
    text: str
    label: str
    old: str
    new: str


class ComparisonRecord(_Record):
    """The new model and the one in use, row by row."""

    rows: Annotated[int, Field(description="Test rows that were compared.")]
    learned: Annotated[
        int | None, Field(description="Test rows left out, as the model in use has learned them; null if unknown.")
    ]
    reason: Annotated[str, Field(description="Why nothing could be compared; else empty.")]
    confidence: Annotated[float, Field(description="Of the intervals.")]
    accuracy: PairedRecord | None
    f1: Annotated[PairedRecord | None, Field(description="Weighted average.")]
    only_old_right: int
    only_new_right: int
    worse: Annotated[tuple[WorseRowRecord, ...], Field(description="The first rows that got worse, at most 50.")] = ()
    verdict: Annotated[
        Literal["holds", "fails", "undecided"] | None,
        Field(description="Of better_than_current; null where the model test does not ask for it."),
    ] = None
    max_drop: float | None = None
    if_undecided: Literal["pass", "fail"] | None = None
    rows_to_decide: Annotated[
        int | None, Field(description="Rows that would decide an undecided verdict, as far as that can be said.")
    ] = None


class TrainingRecord(_Record):
    """The training phase."""

    outcome: Outcome = "not run"
    reason: Annotated[str, Field(description="Of a skip or an expected failure.")] = ""
    failure: FailureRecord | None = None
    checks: tuple[CheckRecord, ...] = ()
    values: Annotated[tuple[ValueRecord, ...], Field(description="All metrics that were reported.")] = ()
    test_part: TestPartRecord | None = None
    comparison: Annotated[
        ComparisonRecord | None, Field(description="With the model in use; null where no rows were compared.")
    ] = None
    history: Annotated[tuple[HistoryRecord, ...], Field(description="In the order of the training.")] = ()


class InferenceRecord(_Record):
    """The inference phase."""

    outcome: Outcome = "not run"
    reason: Annotated[str, Field(description="Of a skip or an expected failure.")] = ""
    failure: FailureRecord | None = None
    checks: Annotated[tuple[CheckRecord, ...], Field(description="Those that the project's own hooks added.")] = ()
    documents: Annotated[tuple[str, ...], Field(description="Those that were compared.")] = ()
    fields: Annotated[int, Field(description="How many fields were compared, over all documents.")] = 0
    texts: Annotated[int, Field(description="How many of these had a text on either side.")] = 0
    differences: tuple[DifferenceRecord, ...] = ()
    unanswered: Annotated[dict[str, str], Field(description="document -> why it could not be compared")] = {}


class RunRecord(_Record):
    """One run: one execution of a model test on an environment."""

    nodeid: Annotated[str, Field(description="Of the case; its phases are ::test_training and ::test_inference.")]
    test: str
    environment: str
    file: Annotated[str, Field(description="The file that holds the model test, from the root folder.")]
    line: Annotated[int, Field(description="Where its entry begins, from 1.")]
    host: str = ""
    route: str = ""
    job_id: str | None = None
    reattached: Annotated[bool, Field(description="Whether an earlier session started the job (--reattach).")] = False
    package: PackageRecord | None = None
    started: AwareDatetime | None = None
    finished: AwareDatetime | None = None
    seconds: SecondsRecord = SecondsRecord()
    training: TrainingRecord = TrainingRecord()
    inference: InferenceRecord = InferenceRecord()
    job_log: Annotated[tuple[str, ...], Field(description="The last lines of the training job's log.")] = ()
    notes: tuple[str, ...] = ()
    links: Annotated[dict[str, str], Field(description="name -> page of the environment")] = {}

    @property
    def title(self) -> str:
        return f"{self.test} on {self.environment}"


class SessionRecord(_Record):
    """The pytest session that made a report."""

    started: AwareDatetime
    finished: AwareDatetime
    exit_status: Annotated[int, Field(description="pytest's: 0 all passed, 1 some failed, 2 interrupted.")]
    plugin: Annotated[str, Field(description="The version of pytest-ibmodels.")]
    pytest: Annotated[str, Field(description="The version of pytest.")]
    python: Annotated[str, Field(description="The version of Python.")]


class ModelReport(_Record):
    """Everything about the model tests of one pytest session: what ``--model-report`` writes."""

    version: Literal[1] = 1
    session: SessionRecord
    runs: tuple[RunRecord, ...]

    def to_json(self) -> str:
        return self.model_dump_json(indent=2) + "\n"
