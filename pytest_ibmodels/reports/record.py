"""Records of runs as plain values: the model of the JSON report, and the source of all other reports.

Records are made where the run was, and travel from xdist's workers to the controller as JSON inside pytest's reports.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, Field

from pytest_ibmodels.reports.placement_record import PlacedRecord, ResourcesRecord
from pytest_ibmodels.reports.record_base import Record
from pytest_ibmodels.reports.wrong_record import (  # noqa: TC001 - pydantic reads the types at run time
    ChangedRecord,
    ConfusionRecord,
    WrongRecord,
)

Outcome = Literal["passed", "failed", "skipped", "xfailed", "xpassed", "not run"]
"""pytest's words; ``not run``: deselected, or not reached."""


class PackageRecord(Record):
    """The package that was uploaded."""

    name: str
    version: str
    content_hash: str = Field(description="SHA-256 of the names and contents of its files.")


class SecondsRecord(Record):
    """Duration of each part of a run, in seconds; null if the run did not reach it."""

    upload: float | None = None
    queue: float | None = Field(None, description="Wait for a free slot and for the start of the job.")
    training: float | None = None
    inference: float | None = None


class FailureRecord(Record):
    """Failure of a phase."""

    kind: str = Field(description="`metrics`, `time limit`, ...; `error` for a fault outside the run.")
    reason: str = Field(description="First line of the failure.")
    text: str = Field(description="The failure as the terminal shows it, in plain text.")


class CheckRecord(Record):
    """A metric of a field and its bounds."""

    metric: str
    field: str
    minimum: float | None = Field(description="Null if there is only a maximum.")
    observed: float | None = Field(description="Reported value; null if no possible number was reported.")
    margin: float | None = Field(description="Distance from the nearer bound; negative outside the bounds.")
    passed: bool
    problem: str = Field("", description="Why there is no number; empty if there is one.")
    maximum: float | None = Field(None, description="Null if there is only a minimum.")
    interval: tuple[float, float] | None = Field(None, description="95 % interval of the observed value.")
    remark: str = Field("", description="Note, such as that the minimum lies within the interval.")
    undecided: bool = Field(False, description="True if there were too few rows to decide.")
    repeats: tuple[float | None, ...] = Field(
        (), description="Value of each repeat, of which `observed` is the mean; empty without repeats."
    )
    spread: float | None = Field(None, description="Standard deviation of the repeats; null without.")


class HistoryRecord(Record):
    """A point of the training curves; null or empty for a value that was not reported at this point."""

    epoch: float | None = None
    step: float | None = None
    progress: float | None = Field(None, description="Fraction of the training, 0 to 1.")
    loss: float | None = None
    learning_rate: float | None = None
    metrics: dict[str, dict[str, float]] = Field({}, description="metric -> field -> value")


class DifferenceRecord(Record):
    """A field of a document that the served model and its training predicted differently."""

    document: str
    field: str
    at_training: str
    at_inference: str


class ValueRecord(Record):
    """A reported value of a metric, with or without bounds."""

    metric: str
    field: str
    value: float
    interval: tuple[float, float] | None = Field(None, description="95 % interval of the value.")


class TestPartRecord(Record):
    """The rows or documents that the model was measured on."""

    __test__ = False  # not a test class, in spite of its name

    unit: Literal["rows", "documents"]
    count: int
    fingerprint: str = Field(description="Hash of the keys of the rows or documents.")
    seed: int | None = Field(None, description="Seed of the split; null if none was used.")
    split: str = Field("", description="Criterion of the split.")
    duplicates: int | None = Field(None, description="Number of duplicate rows or documents; null if not counted.")
    on_both_sides: int | None = Field(None, description="Number also in the training part; null if not counted.")
    learned_before: int | None = Field(
        None, description="Number that the model in use has learned from; null if unknown."
    )
    labels_without_test_rows: tuple[str, ...] = Field((), description="Labels, or fields, missing in the test part.")


class PairedRecord(Record):
    """A metric of the new model and of the model in use, on the same rows."""

    old: float
    new: float
    difference: float = Field(description="New minus old.")
    low: float = Field(description="Low end of the difference's interval.")
    high: float = Field(description="High end of the difference's interval.")
    p_value: float | None = None


class WorseRowRecord(Record):
    """A row that the model in use gets right and the new model gets wrong."""

    row: int
    text: str
    label: str
    old: str
    new: str


class ComparisonRecord(Record):
    """Row-by-row comparison of the new model with the model in use."""

    rows: int = Field(description="Number of test rows compared.")
    learned: int | None = Field(
        description="Number of rows left out as the model in use has learned them; null if unknown."
    )
    reason: str = Field(description="Why nothing could be compared; empty otherwise.")
    confidence: float = Field(description="Confidence of the intervals, 0 to 1.")
    accuracy: PairedRecord | None
    f1: PairedRecord | None = Field(description="Weighted average.")
    only_old_right: int
    only_new_right: int
    worse: tuple[WorseRowRecord, ...] = Field((), description="The first rows that got worse, at most 50.")
    verdict: Literal["holds", "fails", "undecided"] | None = Field(
        None, description="Null without better_than_current."
    )
    max_drop: float | None = None
    if_undecided: Literal["pass", "fail"] | None = None
    rows_to_decide: int | None = Field(
        None, description="Rows that would decide an undecided verdict; null if unknown."
    )


class ChangeRecord(Record):
    """A metric of the run and of its baseline."""

    metric: str
    field: str
    new: float
    old: float
    difference: float = Field(description="New minus old.")
    low: float | None = Field(description="Low end of the difference's 90 % interval; null if unknown.")
    high: float | None = Field(description="High end of the difference's 90 % interval; null if unknown.")
    outcome: Literal["holds", "worse", "undecided"]
    method: Literal["documents", "runs", "intervals", "values"] = Field(
        description="How the interval was found: from the same documents, the spread of earlier runs, the intervals of "
        "both values, or not at all."
    )
    count: int = Field(description="Number of documents or rows compared, or of earlier runs; 0 if unknown.")
    needed: int | None = Field(None, description="Documents or rows that would decide; null if unknown or decided.")


class WorseDocumentRecord(Record):
    """A document, or a row, with fields that the baseline predicted better."""

    document: str
    fields: tuple[str, ...]


class BaselineRecord(Record):
    """Verdict on the run against its baseline, that is, earlier runs in the history."""

    name: str = Field(description="What the run is held to, such as `branch main`.")
    outcome: Literal["holds", "worse", "undecided"]
    passed: bool
    max_drop: float = Field(description="Largest allowed drop of a metric.")
    if_undecided: Literal["pass", "fail", "skip"]
    problem: str = Field("", description="Why nothing could be compared; empty otherwise.")
    changes: tuple[ChangeRecord, ...] = ()
    remarks: tuple[str, ...] = ()
    started: AwareDatetime | None = Field(None, description="Start of the newest run of the baseline.")
    commit: str = ""
    version: str = Field("", description="Version of the package in that run.")
    runs: int = Field(0, description="Number of earlier runs used; repeats count as one.")
    worse: tuple[WorseDocumentRecord, ...] = Field((), description="The first documents that got worse, at most 50.")
    worse_count: int = Field(0, description="Number of all documents that got worse.")


class TrendRecord(Record):
    """A metric that got worse over several runs, as of this run."""

    metric: str
    field: str
    before: float = Field(description="Mean of the values before.")
    after: float = Field(description="Mean of the values since, or the value of this run.")
    first: int = Field(description="Number of the first run with worse values, from 1.")
    runs: int = Field(description="Number of runs in the series, with this one.")
    started: AwareDatetime = Field(description="Start of the first run with worse values.")
    commit: str = ""
    is_persistent: bool = Field(description="True for a shift of the mean, false for a single value.")


class TrainingRecord(Record):
    """The training phase."""

    outcome: Outcome = "not run"
    reason: str = Field("", description="Reason of a skip or of an expected failure.")
    failure: FailureRecord | None = None
    checks: tuple[CheckRecord, ...] = ()
    values: tuple[ValueRecord, ...] = Field((), description="All reported metrics; of repeats, their mean.")
    test_part: TestPartRecord | None = None
    comparison: ComparisonRecord | None = Field(None, description="Null if no rows were compared.")
    baseline: BaselineRecord | None = Field(None, description="Null if the model test has no baseline.")
    trends: tuple[TrendRecord, ...] = Field((), description="Metrics that got worse over several runs.")
    wrong: tuple[WrongRecord, ...] = Field(
        (), description="The worst wrong predictions of a training whose verdict failed, at most 50."
    )
    wrong_count: int = Field(0, description="Number of all its wrong predictions.")
    confusions: tuple[ConfusionRecord, ...] = Field(
        (), description="Labels that it predicted in place of others, at most 20 pairs."
    )
    changed: ChangedRecord | None = Field(
        None, description="Null if the verdict passed, or the history has no passed run."
    )
    history: tuple[HistoryRecord, ...] = Field((), description="Training curves.")


class InferenceRecord(Record):
    """The inference phase."""

    outcome: Outcome = "not run"
    reason: str = Field("", description="Reason of a skip or of an expected failure.")
    failure: FailureRecord | None = None
    checks: tuple[CheckRecord, ...] = Field((), description="Checks added by the project's own hooks.")
    documents: tuple[str, ...] = Field((), description="Documents that inference was asked about.")
    fields: int = Field(0, description="Number of fields compared, over all documents.")
    texts: int = Field(0, description="Number of these with a text on either side.")
    differences: tuple[DifferenceRecord, ...] = ()
    unanswered: dict[str, str] = Field({}, description="document -> reason why it could not be compared")


class RepeatRecord(PlacedRecord):
    """One training of a run that trains several times with different seeds."""

    seed: int | None = Field(description="Seed of this training; null if the seed of the config is no whole number.")
    job_id: str | None = None
    reattached: bool = Field(False, description="True if an earlier session started the job (--reattach).")
    seconds: float | None = Field(None, description="Duration of the training; null if it did not start.")
    peak_memory: int | None = Field(None, description="Bytes that the training took at most; null if not reported.")
    passed: bool | None = Field(None, description="True if its own metrics are within the bounds; null if it failed.")
    values: tuple[ValueRecord, ...] = Field((), description="All reported metrics.")
    test_part: TestPartRecord | None = None


class RunRecord(PlacedRecord):
    """A run: one execution of a model test on an environment."""

    nodeid: str = Field(description="Node id of the case; its items add ::test_training and ::test_inference.")
    test: str
    environment: str
    file: str = Field(description="File with the model test, relative to the root folder.")
    line: int = Field(description="First line of the model test, from 1.")
    host: str = ""
    route: str = ""
    job_id: str | None = None
    reattached: bool = Field(False, description="True if an earlier session started the job (--reattach).")
    package: PackageRecord | None = None
    config_hash: str = Field("", description="SHA-256 of the model test's config, as canonical JSON.")
    config: dict[str, Any] = Field({}, description="The model test's config, without secrets.")
    seed: int | None = Field(None, description="Seed in the model test's config; null if it has none.")
    started: AwareDatetime | None = None
    finished: AwareDatetime | None = None
    seconds: SecondsRecord = SecondsRecord()
    peak_memory: int | None = Field(None, description="Bytes that the training took at most; null if not reported.")
    resources: ResourcesRecord | None = Field(None, description="Null if the model test asks for none.")
    repeats: tuple[RepeatRecord, ...] = Field(
        (), description="All trainings of a run that trains several times, the first first; empty for others."
    )
    training: TrainingRecord = TrainingRecord()
    inference: InferenceRecord = InferenceRecord()
    job_log: tuple[str, ...] = Field((), description="Last lines of the training job's log.")
    notes: tuple[str, ...] = ()
    links: dict[str, str] = Field({}, description="name -> page of the environment")

    @property
    def title(self) -> str:
        return f"{self.test} on {self.environment}"


class SessionRecord(Record):
    """The pytest session of a report."""

    started: AwareDatetime
    finished: AwareDatetime
    exit_status: int = Field(description="pytest's exit status: 0 all passed, 1 some failed, 2 interrupted.")
    plugin: str = Field(description="Version of pytest-ibmodels.")
    pytest: str = Field(description="Version of pytest.")
    python: str = Field(description="Version of Python.")
    commit: str = Field("", description="git commit of the project; empty outside git.")
    branch: str = Field("", description="git branch; empty if there is none.")
    is_dirty: bool = Field(False, description="True if tracked files have changes that are not committed.")


class ModelReport(Record):
    """The file that ``--model-report`` writes: all runs of one pytest session."""

    version: Literal[1] = 1
    session: SessionRecord
    runs: tuple[RunRecord, ...]

    def to_json(self) -> str:
        return self.model_dump_json(indent=2) + "\n"
