"""Records of runs as plain values: the model of the JSON report, and the source of all other reports.

Records are made where the run was, and travel from xdist's workers to the controller as JSON inside pytest's reports.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

Outcome = Literal["passed", "failed", "skipped", "xfailed", "xpassed", "not run"]
"""pytest's words; ``not run``: deselected, or not reached."""


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
        """Replace characters that UTF-8 cannot hold, which environments and models may return, by question marks."""
        return _encodable(given)


class PackageRecord(_Record):
    """The package that was uploaded."""

    name: str
    version: str
    content_hash: Annotated[str, Field(description="SHA-256 of the names and contents of its files.")]


class SecondsRecord(_Record):
    """Duration of each part of a run, in seconds; null if the run did not reach it."""

    upload: float | None = None
    queue: Annotated[
        float | None,
        Field(description="Wait for a free slot (max_parallel), and for the environment to start the job."),
    ] = None
    training: float | None = None
    inference: float | None = None


class FailureRecord(_Record):
    """Failure of a phase."""

    kind: Annotated[
        str,
        Field(
            description="Kind of the failure, such as `metrics` or `time limit`; `error` for a fault outside the run."
        ),
    ]
    reason: Annotated[str, Field(description="First line of the failure.")]
    text: Annotated[str, Field(description="The failure as the terminal shows it, in plain text.")]


class CheckRecord(_Record):
    """A metric of a field and its bounds."""

    metric: str
    field: str
    minimum: Annotated[float | None, Field(description="Null if there is only a maximum.")]
    observed: Annotated[float | None, Field(description="Reported value; null if no possible number was reported.")]
    margin: Annotated[float | None, Field(description="Distance from the nearer bound; negative outside the bounds.")]
    passed: bool
    problem: Annotated[str, Field(description="Why there is no number; empty if there is one.")] = ""
    maximum: Annotated[float | None, Field(description="Null if there is only a minimum.")] = None
    interval: Annotated[
        tuple[float, float] | None, Field(description="Low and high end of the observed value's 95 % interval.")
    ] = None
    remark: Annotated[
        str, Field(description="Note on the value, such as that the minimum lies within the interval.")
    ] = ""
    undecided: Annotated[
        bool, Field(description="For better_than_current: true if there were too few rows to decide.")
    ] = False


class HistoryRecord(_Record):
    """A point of the training curves; null or empty for a value that was not reported at this point."""

    epoch: float | None = None
    step: float | None = None
    progress: Annotated[float | None, Field(description="Fraction of the training, 0 to 1.")] = None
    loss: float | None = None
    learning_rate: float | None = None
    metrics: Annotated[dict[str, dict[str, float]], Field(description="metric -> field -> value")] = {}


class DifferenceRecord(_Record):
    """A field of a document that the served model and its training predicted differently."""

    document: str
    field: str
    at_training: str
    at_inference: str


class ValueRecord(_Record):
    """A reported value of a metric, with or without bounds."""

    metric: str
    field: str
    value: float
    interval: Annotated[tuple[float, float] | None, Field(description="Low and high end of its 95 % interval.")] = None


class TestPartRecord(_Record):
    """The rows or documents that the model was measured on."""

    __test__ = False  # not a test class, in spite of its name

    unit: Literal["rows", "documents"]
    count: int
    fingerprint: Annotated[str, Field(description="Hash of the keys of the rows or documents.")]
    seed: Annotated[int | None, Field(description="Seed of the split; null if none was used.")] = None
    split: Annotated[str, Field(description="Criterion of the split.")] = ""
    duplicates: Annotated[
        int | None, Field(description="Number of rows or documents found more than once; null if not counted.")
    ] = None
    on_both_sides: Annotated[
        int | None, Field(description="Number of them that are in the training part as well; null if not counted.")
    ] = None
    learned_before: Annotated[
        int | None, Field(description="Number of them that the model in use has learned from; null if unknown.")
    ] = None
    labels_without_test_rows: Annotated[
        tuple[str, ...], Field(description="Labels, or fields, that are missing in the test part.")
    ] = ()


class PairedRecord(_Record):
    """A metric of the new model and of the model in use, on the same rows."""

    old: float
    new: float
    difference: Annotated[float, Field(description="New minus old.")]
    low: Annotated[float, Field(description="Low end of the difference's interval.")]
    high: Annotated[float, Field(description="High end of the difference's interval.")]
    p_value: float | None = None


class WorseRowRecord(_Record):
    """A row that the model in use gets right and the new model gets wrong."""

    row: int
    text: str
    label: str
    old: str
    new: str


class ComparisonRecord(_Record):
    """Row-by-row comparison of the new model with the model in use."""

    rows: Annotated[int, Field(description="Number of test rows compared.")]
    learned: Annotated[
        int | None,
        Field(description="Number of test rows left out because the model in use has learned them; null if unknown."),
    ]
    reason: Annotated[str, Field(description="Why nothing could be compared; empty otherwise.")]
    confidence: Annotated[float, Field(description="Confidence of the intervals, 0 to 1.")]
    accuracy: PairedRecord | None
    f1: Annotated[PairedRecord | None, Field(description="Weighted average.")]
    only_old_right: int
    only_new_right: int
    worse: Annotated[tuple[WorseRowRecord, ...], Field(description="The first rows that got worse, at most 50.")] = ()
    verdict: Annotated[
        Literal["holds", "fails", "undecided"] | None,
        Field(description="Verdict of better_than_current; null if the model test does not have it."),
    ] = None
    max_drop: float | None = None
    if_undecided: Literal["pass", "fail"] | None = None
    rows_to_decide: Annotated[
        int | None,
        Field(description="Number of rows that would decide an undecided verdict; null if decided or unknown."),
    ] = None


class TrainingRecord(_Record):
    """The training phase."""

    outcome: Outcome = "not run"
    reason: Annotated[str, Field(description="Reason of a skip or of an expected failure.")] = ""
    failure: FailureRecord | None = None
    checks: tuple[CheckRecord, ...] = ()
    values: Annotated[tuple[ValueRecord, ...], Field(description="All reported metrics.")] = ()
    test_part: TestPartRecord | None = None
    comparison: Annotated[
        ComparisonRecord | None, Field(description="Comparison with the model in use; null if none was made.")
    ] = None
    history: Annotated[
        tuple[HistoryRecord, ...], Field(description="Training curves, in the order of the training.")
    ] = ()


class InferenceRecord(_Record):
    """The inference phase."""

    outcome: Outcome = "not run"
    reason: Annotated[str, Field(description="Reason of a skip or of an expected failure.")] = ""
    failure: FailureRecord | None = None
    checks: Annotated[tuple[CheckRecord, ...], Field(description="Checks added by the project's own hooks.")] = ()
    documents: Annotated[tuple[str, ...], Field(description="Documents that inference was asked about.")] = ()
    fields: Annotated[int, Field(description="Number of fields compared, over all documents.")] = 0
    texts: Annotated[int, Field(description="Number of these with a text on either side.")] = 0
    differences: tuple[DifferenceRecord, ...] = ()
    unanswered: Annotated[dict[str, str], Field(description="document -> reason why it could not be compared")] = {}


class RunRecord(_Record):
    """A run: one execution of a model test on an environment."""

    nodeid: Annotated[
        str, Field(description="Node id of the case; its items are ::test_training and ::test_inference.")
    ]
    test: str
    environment: str
    file: Annotated[str, Field(description="File with the model test, relative to the root folder.")]
    line: Annotated[int, Field(description="First line of the model test, from 1.")]
    host: str = ""
    route: str = ""
    job_id: str | None = None
    reattached: Annotated[bool, Field(description="True if an earlier session started the job (--reattach).")] = False
    package: PackageRecord | None = None
    started: AwareDatetime | None = None
    finished: AwareDatetime | None = None
    seconds: SecondsRecord = SecondsRecord()
    training: TrainingRecord = TrainingRecord()
    inference: InferenceRecord = InferenceRecord()
    job_log: Annotated[tuple[str, ...], Field(description="Last lines of the training job's log.")] = ()
    notes: tuple[str, ...] = ()
    links: Annotated[dict[str, str], Field(description="name -> page of the environment")] = {}

    @property
    def title(self) -> str:
        return f"{self.test} on {self.environment}"


class SessionRecord(_Record):
    """The pytest session of a report."""

    started: AwareDatetime
    finished: AwareDatetime
    exit_status: Annotated[int, Field(description="pytest's exit status: 0 all passed, 1 some failed, 2 interrupted.")]
    plugin: Annotated[str, Field(description="Version of pytest-ibmodels.")]
    pytest: Annotated[str, Field(description="Version of pytest.")]
    python: Annotated[str, Field(description="Version of Python.")]


class ModelReport(_Record):
    """The file that ``--model-report`` writes: all runs of one pytest session."""

    version: Literal[1] = 1
    session: SessionRecord
    runs: tuple[RunRecord, ...]
