"""Read `model_tests.yaml`, which lists the trainings that must keep working and how good they must be."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from pytest_ibmodels.spec.entries import ModelTestEntry
from pytest_ibmodels.spec.errors import Problem, SpecError
from pytest_ibmodels.spec.messages import closest, quoted
from pytest_ibmodels.spec.reader import Document, LocatedDict, LocatedList, pause_gc, plain_copy, read_yaml
from pytest_ibmodels.spec.validation import entries, spot, validate_entry
from pytest_ibmodels.spec.values import (
    TABLE_KEYS,
    invalid_character,
    is_single_value,
    is_variant,
)
from pytest_ibmodels.verdicts.metrics import METRICS, is_low_better

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pydantic import JsonValue
    from yaml.error import Mark

DEFAULT_SEED = 42
"""Seed of a training whose config has none, as in `ibformers`."""

_TYPO = 0.8
"""Similarity to one of `METRICS` (difflib's ratio, 0..1) from which another metric's name counts as a typo."""


@dataclass(frozen=True, slots=True)
class Minimum:
    """Smallest and largest value of a metric that pass; None means no bound."""

    min: float | None
    max: float | None = None


@dataclass(frozen=True, slots=True)
class InferenceSpec:
    """Documents to run inference on: the first with predictions, all, or the first N."""

    documents: Literal["first", "all"] | int = "first"


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
        ibannotator: drive path of the Annotator project, without outer slashes; empty if there is a `table`.
        time_limit: timeout of the training, in seconds.
        table: rows of a database to train on; None if there is an `ibannotator`.
        config: hyperparameters, passed to the training unchanged.
        repeats: number of trainings, each with another seed.
        metrics: metric -> field -> bounds.
        inference: documents to run inference on.
        marks: marks of pytest for both items.
        skip: reason not to run it; None runs it.
        xfail: reason why a failure is expected; None if it is not.
        package: folder of the training code, as written; None means the default package.
    """

    name: str
    line: int
    env: tuple[str, ...]
    ibannotator: str
    time_limit: float
    table: TableSpec | None = None
    config: dict[str, JsonValue] = field(default_factory=dict)
    metrics: dict[str, dict[str, Minimum]] = field(default_factory=dict)
    inference: InferenceSpec = InferenceSpec()
    marks: tuple[MarkUse, ...] = ()
    skip: str | None = None
    xfail: str | None = None
    package: str | None = None
    repeats: int = 1

    @property
    def seed(self) -> int | None:
        """Seed of the first training: `seed` of the config, or 42 as in `ibformers`; None if it is no whole number."""
        given = self.config.get("seed", DEFAULT_SEED)
        return given if isinstance(given, int) and not isinstance(given, bool) else None

    @property
    def dataset(self) -> str:
        """Description of the training data, which also identifies it."""
        return self.ibannotator or str(self.table)

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


def load_model_tests(path: Path) -> ModelTestsFile:
    """Read `model_tests.yaml`. An empty file has no tests.

    Raises:
        SpecError: The file cannot be read, or is invalid; with all its problems.
    """
    tests, problems = read_model_tests(path)
    if problems:
        raise SpecError(problems)
    return tests


def read_model_tests(path: Path) -> tuple[ModelTestsFile, list[Problem]]:
    """Read the valid model tests and the problems of the others.

    Raises:
        SpecError: The file cannot be read, or is not one YAML mapping.
    """
    with pause_gc():
        return _read(path)


def _read(path: Path) -> tuple[ModelTestsFile, list[Problem]]:
    document = read_yaml(path)
    tests: dict[str, ModelTest] = {}
    uses: list[EnvironmentUse] = []
    for name, at_name in entries(document, "model test"):
        raw: LocatedDict = document.root[name]
        uses.extend(_uses(raw))
        _check_metrics(document, name, raw.get("metrics"))
        _check_data(document, name, raw)
        _check_seed(document, name, raw)
        entry = validate_entry(document, name, ModelTestEntry, "model test")
        if entry is not None:
            tests[name] = _model_test(name, at_name.line + 1, entry, raw)
    return ModelTestsFile(path, MappingProxyType(tests), tuple(uses)), document.problems


def _model_test(name: str, line: int, entry: ModelTestEntry, raw: LocatedDict) -> ModelTest:
    metrics = {
        metric: {field: Minimum(bounds.min, bounds.max) for field, bounds in fields.items()}
        for metric, fields in entry.metrics.items()
    }
    return ModelTest(
        name=name,
        line=line,
        env=entry.env,
        ibannotator=entry.ibannotator or "",
        table=_table(entry),
        time_limit=entry.time_limit,
        config=plain_copy(entry.config),
        metrics=metrics,
        inference=InferenceSpec(entry.inference.documents),
        marks=tuple(MarkUse(text, mark.line + 1, mark.column + 1) for text, mark in _texts(raw, "marks")),
        skip=entry.skip,
        xfail=entry.xfail,
        package=entry.package,
        repeats=entry.repeats,
    )


def _table(entry: ModelTestEntry) -> TableSpec | None:
    if entry.table is None or entry.columns is None:
        return None
    better = entry.better_than_current
    return TableSpec(
        name=entry.table,
        columns=entry.columns,
        limit=entry.limit,
        p_of_train=entry.p_of_train,
        group_column=entry.group_column,
        split_column=entry.split_column,
        max_drop=None if better is None else better.max_drop,
        undecided="pass" if better is None else better.undecided,
    )


def _uses(raw: LocatedDict) -> Iterator[EnvironmentUse]:
    for name, mark in _texts(raw, "env"):
        yield EnvironmentUse(name, mark.line + 1, mark.column + 1, needs_database="table" in raw)


def _texts(raw: LocatedDict, key: str) -> Iterator[tuple[str, Mark]]:
    """Yield the text of a key, or each text of its list, with its place."""
    value: Any = raw.get(key)
    if isinstance(value, str):
        yield value, raw.marks[key][1]
    elif isinstance(value, LocatedList):
        yield from ((text, mark) for text, mark in zip(value, value.marks, strict=True) if isinstance(text, str))


_DATA = ("ibannotator", "table")


def _check_data(document: Document, name: str, raw: LocatedDict) -> None:
    """Check that the model test has one kind of data, and only keys that belong to it."""
    given = [key for key in _DATA if key in raw]
    unknown = [key for key in raw if key not in ModelTestEntry.model_fields]
    at_name = document.root.marks[name][0]
    if not given:
        if not any(closest(key, _DATA) for key in unknown):  # the misspelt key is reported already
            document.report(
                at_name,
                f"model test `{name}` has no data to train on: give it `ibannotator`, the drive path of an Annotator "
                "project, or `table` and `columns` of the environment's database",
            )
    elif len(given) > 1:
        at_table = spot(document.root, name, "table").key
        document.report(at_table, "`table` and `ibannotator` exclude each other: remove one of them")
    elif given == ["table"]:
        if "columns" not in raw and not any(closest(key, ("columns",)) for key in unknown):
            document.report(
                at_name, f"model test `{name}` has no `columns`: name the label, then the text of the `table`"
            )
        _check_sides(document, name, raw)
    else:
        for key in TABLE_KEYS:
            if key in raw:
                document.report(spot(document.root, name, key).key, f"`{key}` needs a `table`: remove it")


def _check_seed(document: Document, name: str, raw: LocatedDict) -> None:
    """Check that further seeds can be counted from the seed of a model test with repeats."""
    config, repeats = raw.get("config"), raw.get("repeats", 1)
    if not isinstance(config, LocatedDict) or "seed" not in config or not isinstance(repeats, int) or repeats < 2:
        return
    seed = config["seed"]
    if isinstance(seed, bool) or not isinstance(seed, int):
        document.report(
            spot(document.root, name, "config", "seed").value,
            "`config.seed` has to be a whole number, since `repeats` counts the seeds of further trainings from it",
        )


def _check_sides(document: Document, name: str, raw: LocatedDict) -> None:
    """Check that at most one key decides on which side a row is, and that no column is used twice."""
    if "split_column" in raw:
        at_split = spot(document.root, name, "split_column").key
        if "group_column" in raw:
            document.report(at_split, "`split_column` and `group_column` exclude each other: remove one of them")
        elif "p_of_train" in raw:
            document.report(at_split, "`p_of_train` has no effect with `split_column`: remove one of them")
    columns = raw.get("columns")
    used = columns.split(",") if isinstance(columns, str) else columns if isinstance(columns, list) else []
    lower = {column.strip().lower() for column in used if isinstance(column, str)}
    for key in ("group_column", "split_column"):
        column = raw.get(key)
        if isinstance(column, str) and column.lower() in lower:
            document.report(
                spot(document.root, name, key).value, f"`{key}` is {quoted(column)}, which is also one of `columns`"
            )


def _check_metrics(document: Document, name: str, metrics: Any) -> None:
    if not isinstance(metrics, LocatedDict):
        return
    for metric, fields in metrics.items():
        if metric in METRICS:
            continue
        message = _metric_problem(metric)
        if message:
            document.report(spot(document.root, name, "metrics", metric).key, message)
        elif is_low_better(metric) and isinstance(fields, LocatedDict) and not is_single_value(metric, fields):
            _check_directions(document, name, metric, fields)


def _metric_problem(metric: str) -> str:
    """Message about an invalid metric name; empty for a valid name."""
    known = f"(metrics: {', '.join(METRICS)})"
    invalid = invalid_character(metric)
    meant = None if is_variant(metric) else closest(metric, METRICS, _TYPO)
    if meant is not None:
        return f"unknown metric `{metric}`: did you mean `{meant}`? {known}"
    return "" if invalid is None else f"invalid metric name {quoted(metric)}: it contains {quoted(invalid)} {known}"


def _check_directions(document: Document, name: str, metric: str, fields: LocatedDict) -> None:
    """Report bare numbers of a metric that should be low: a minimum would let bad values pass."""
    for field_name, value in fields.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            place = spot(document.root, name, "metrics", metric, field_name).value
            document.report(
                place,
                f"`metrics.{metric}.{field_name}` is a minimum, but {quoted(metric)} should be low: write "
                f"`{{max: {value}}}`, or `{{min: {value}}}` if that is meant",
            )
