"""Model tests as the other rooms see them: checked values of `model_tests.yaml`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pytest_ibmodels.verdicts.baseline import PREVIOUS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import JsonValue

DEFAULT_SEED = 42
"""Seed of a training whose config has none, as in `ibformers`."""


@dataclass(frozen=True, slots=True)
class Minimum:
    """Smallest and largest value of a metric that pass; None means no bound."""

    min: float | None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class InferenceSpec:
    """Documents to run inference on: the first with predictions, all, or the first N; none if it is disabled."""

    documents: Literal["first", "all"] | int = "first"
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class TableSpec:
    """The rows of a database to train on.

    Attributes:
        name: TABLE or SCHEMA.TABLE.
        columns: the column of the label, then the column of the text.
        limit: maximum number of rows; None means all.
        p_of_train: expected fraction of the rows that are trained on; None means the training's default.
        max_drop: largest allowed drop below the model in use, as a fraction; None disables the comparison.
        group_column: column that decides on which side a row is; None means the text decides.
        split_column: column that holds the side of each row; None if there is none.
        undecided: verdict if there are too few rows to decide.
    """

    name: str
    columns: tuple[str, str]
    limit: int | None = None
    p_of_train: float | None = None
    max_drop: float | None = None
    group_column: str | None = None
    split_column: str | None = None
    undecided: Literal["pass", "fail"] = "pass"

    def __str__(self) -> str:
        share = "" if self.p_of_train is None else f", p_of_train {self.p_of_train:g}"
        rows = "all rows" if self.limit is None else f"{self.limit} rows"
        sides = "".join(f", {key} {column}" for key, column in self.side_column.items())
        return f"table {self.name} ({', '.join(self.columns)}), {rows}{share}{sides}"

    @property
    def side_column(self) -> dict[str, str]:
        """The column that decides on which side a row is, by its key; empty if the text decides."""
        named = {"group_column": self.group_column, "split_column": self.split_column}
        return {key: column for key, column in named.items() if column is not None}


@dataclass(frozen=True, slots=True)
class BaselineSpec:
    """Earlier runs that a new run is held to.

    Attributes:
        kind: how they are chosen: by git branch, by git tag, or the newest.
        ref: name of the branch or tag; empty for the newest.
        max_drop: largest allowed drop of a metric, as a fraction.
        undecided: verdict if there is no baseline, or too few documents or runs to decide.
    """

    kind: Literal["branch", "tag", "previous"]
    ref: str = ""
    max_drop: float = 0.01
    undecided: Literal["pass", "fail", "skip"] = "pass"

    def __str__(self) -> str:
        return PREVIOUS if self.kind == "previous" else f"{self.kind} {self.ref}"


@dataclass(frozen=True, slots=True)
class ResourcesSpec:
    """Part of a machine for a training.

    Attributes:
        cpus: number of processor cores.
        gpus: number of GPUs.
        memory: bytes; None if none is kept free.
    """

    cpus: float = 1.0
    gpus: int = 0
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class DataPath:
    """A path of the key `data`.

    Attributes:
        text: the path as written; of a drive path, without outer slashes.
        local: the local file or folder; None for a drive path.
        place: FILE:LINE of the path, for messages.
    """

    text: str
    local: Path | None
    place: str


@dataclass(frozen=True, slots=True)
class ScriptSpec:
    """A function that trains, and its data.

    Attributes:
        function: dotted path; its first part is the folder of the training code.
        data: paths of the data; may be empty.
        max_drop: largest allowed drop below the model in use, as a fraction; None disables the comparison.
        undecided: verdict if there are too few rows to decide.
    """

    function: str
    data: tuple[DataPath, ...] = ()
    max_drop: float | None = None
    undecided: Literal["pass", "fail"] = "pass"

    def __str__(self) -> str:
        return f"function {self.function} on {', '.join(path.text for path in self.data) or 'no data'}"


@dataclass(frozen=True, slots=True)
class MarkUse:
    """Use of a mark of pytest; line and column count from 1."""

    name: str
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTest:
    """One entry of `model_tests.yaml`.

    Attributes:
        name: its name.
        line: line of the name, from 1.
        env: names of environments, at least one.
        ibannotator: drive path of the Annotator project, without outer slashes; empty if there is none.
        time_limit: timeout of the training, in seconds.
        table: rows of a database to train on; None if there are none.
        script: function that trains; None if the test has an `ibannotator` or a `table`.
        config: hyperparameters, passed to the training unchanged.
        repeats: number of trainings, each with another seed.
        metrics: metric -> field -> bounds.
        baseline: earlier runs that its metrics are held to; None for none.
        trend: effect of a trend alert.
        inference: documents to run inference on.
        marks: marks of pytest for both items.
        skip: reason not to run it; None runs it.
        xfail: reason why a failure is expected; None if it is not.
        package: folder of the training code, as written; None means the default package.
        resources: part of a machine for each training; None leaves it to the environment.
        retries: how often a training is started again after its machine was lost; None leaves it to the environment.
    """

    name: str
    line: int
    env: tuple[str, ...]
    ibannotator: str
    time_limit: float
    table: TableSpec | None = None
    script: ScriptSpec | None = None
    config: dict[str, JsonValue] = field(default_factory=dict)
    metrics: dict[str, dict[str, Minimum]] = field(default_factory=dict)
    baseline: BaselineSpec | None = None
    trend: Literal["warn", "fail"] = "warn"
    inference: InferenceSpec = InferenceSpec()
    marks: tuple[MarkUse, ...] = ()
    skip: str | None = None
    xfail: str | None = None
    package: str | None = None
    repeats: int = 1
    resources: ResourcesSpec | None = None
    retries: int | None = None

    @property
    def seed(self) -> int | None:
        """Seed of the first training: `seed` of the config, or 42 as in `ibformers`; None if it is no whole number."""
        given = self.config.get("seed", DEFAULT_SEED)
        return given if isinstance(given, int) and not isinstance(given, bool) else None

    @property
    def dataset(self) -> str:
        """Description of the training data, which also identifies it."""
        return self.ibannotator or str(self.table or self.script)

    @property
    def config_hash(self) -> str:
        """SHA-256 of the config as canonical JSON."""
        return hashlib.sha256(json.dumps(self.config, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class EnvironmentUse:
    """Use of an environment by a model test; line and column count from 1."""

    environment: str
    line: int
    column: int
    needs_database: bool = False


@dataclass(frozen=True, slots=True)
class ModelTestsFile:
    """The content of `model_tests.yaml`; `tests` by name, in the order of the file."""

    path: Path
    tests: Mapping[str, ModelTest]
    uses: tuple[EnvironmentUse, ...] = field(default=(), repr=False)
