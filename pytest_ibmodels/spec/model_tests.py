"""`model_tests.yaml`: which trainings must keep working, and how good they must be."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from pytest_ibmodels.spec.entries import ModelTestEntry
from pytest_ibmodels.spec.errors import Problem, SpecError
from pytest_ibmodels.spec.messages import closest, quoted
from pytest_ibmodels.spec.reader import Document, LocatedDict, LocatedList, collector_paused, plain, read_yaml
from pytest_ibmodels.spec.validation import entries, spot, validated
from pytest_ibmodels.spec.values import (
    BOUNDS,
    OF_TABLES,
    is_for_all,
    is_variant,
    wrong_character,
)
from pytest_ibmodels.verdicts.metrics import METRICS, is_low_better

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pydantic import JsonValue
    from yaml.error import Mark

_MISSPELT = 0.8
"""How like one of `METRICS` another metric's name may be (difflib's ratio) before it is taken for a slip."""


@dataclass(frozen=True, slots=True)
class Minimum:
    """The smallest value of a metric that passes, or the largest, or both; and the line (from 1) on which it is set."""

    min: float | None
    line: int
    max: float | None = None


@dataclass(frozen=True, slots=True)
class InferenceSpec:
    """Which documents are served and compared: the first with predictions, all, or the first N."""

    documents: Literal["first", "all"] | int = "first"


@dataclass(frozen=True, slots=True)
class TableSpec:
    """The rows of a database to learn from.

    ``name`` may have its schema before a dot; ``columns`` are first the label, second the text; ``limit`` None is all
    rows; ``p_of_train`` None is the training's default; ``group_column`` decides on which side a row is, and
    ``split_column`` says it, where they are not None; ``max_drop``: by so much the new model may be worse than the one
    in use, None if that does not matter; ``line`` (from 1) is that of ``better_than_current``; ``undecided`` is what it
    means where the rows are too few to tell.
    """

    name: str
    columns: tuple[str, str]
    limit: int | None = None
    p_of_train: float | None = None
    max_drop: float | None = None
    line: int = 0
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
        """The column that decides on which side a row is, by its key; empty where the text decides."""
        named = {"group_column": self.group_column, "split_column": self.split_column}
        return {key: column for key, column in named.items() if column is not None}


@dataclass(frozen=True, slots=True)
class MarkUse:
    """A mark of pytest, and the place (from 1) where a model test names it."""

    name: str
    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTest:
    """One entry of `model_tests.yaml`.

    `line` (from 1) is that of its name; `env` has at least one name; `ibannotator` is a drive path without leading
    slash, and empty where there is a `table` in its place; `time_limit` is in seconds; `config` goes to the training as
    it is; `metrics` is metric -> field -> bounds; `skip` and `xfail` are reasons; `package` is a folder as written,
    and None where the default one is meant.
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

    @property
    def dataset(self) -> str:
        """What it trains on, for people, and to know the same again."""
        return self.ibannotator or str(self.table)


@dataclass(frozen=True, slots=True)
class EnvironmentUse:
    """A place (from 1) where a model test names an environment; whether that needs a `database`."""

    environment: str
    line: int
    column: int
    needs_database: bool = False


@dataclass(frozen=True, slots=True)
class ModelTestsFile:
    """What `model_tests.yaml` says; `tests` by name, in the order of the file."""

    path: Path
    tests: Mapping[str, ModelTest]
    uses: tuple[EnvironmentUse, ...] = field(default=(), repr=False)


def load_model_tests(path: Path) -> ModelTestsFile:
    """Read `model_tests.yaml`. An empty file has no tests.

    Raises:
        SpecError: The file cannot be read, or something in it is wrong; with everything that is.
    """
    tests, problems = read_model_tests(path)
    if problems:
        raise SpecError(problems)
    return tests


def read_model_tests(path: Path) -> tuple[ModelTestsFile, list[Problem]]:
    """The entries of the file that are right, and what is wrong with the others.

    Raises:
        SpecError: The file has no structure to go on with.
    """
    with collector_paused():
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
        entry = validated(document, name, ModelTestEntry, "model test")
        if entry is not None:
            tests[name] = _model_test(name, at_name.line + 1, entry, raw)
    return ModelTestsFile(path, MappingProxyType(tests), tuple(uses)), document.problems


def _model_test(name: str, line: int, entry: ModelTestEntry, raw: LocatedDict) -> ModelTest:
    metrics = {
        metric: {
            field: Minimum(bounds.min, _line_of_bounds(raw["metrics"], metric, field), bounds.max)
            for field, bounds in fields.items()
        }
        for metric, fields in entry.metrics.items()
    }
    return ModelTest(
        name=name,
        line=line,
        env=entry.env,
        ibannotator=entry.ibannotator or "",
        table=_table(entry, raw),
        time_limit=entry.time_limit,
        config=plain(entry.config),
        metrics=metrics,
        inference=InferenceSpec(entry.inference.documents),
        marks=tuple(MarkUse(text, mark.line + 1, mark.column + 1) for text, mark in _texts(raw, "marks")),
        skip=entry.skip,
        xfail=entry.xfail,
        package=entry.package,
    )


def _table(entry: ModelTestEntry, raw: LocatedDict) -> TableSpec | None:
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
        line=0 if better is None else raw.marks["better_than_current"][0].line + 1,
        undecided="pass" if better is None else better.undecided,
    )


def _line_of_bounds(metrics: LocatedDict, metric: str, field: str) -> int:
    fields = metrics[metric]
    if not isinstance(fields, LocatedDict) or is_for_all(metric, fields):
        return metrics.marks[metric][1].line + 1
    value = fields[field]
    bound = next((name for name in BOUNDS if isinstance(value, LocatedDict) and name in value.marks), None)
    mark = fields.marks[field][1] if bound is None else value.marks[bound][1]
    return mark.line + 1


def _uses(raw: LocatedDict) -> Iterator[EnvironmentUse]:
    for name, mark in _texts(raw, "env"):
        yield EnvironmentUse(name, mark.line + 1, mark.column + 1, needs_database="table" in raw)


def _texts(raw: LocatedDict, key: str) -> Iterator[tuple[str, Mark]]:
    """The one text of a key, or those of its list, each with its place."""
    value: Any = raw.get(key)
    if isinstance(value, str):
        yield value, raw.marks[key][1]
    elif isinstance(value, LocatedList):
        yield from ((text, mark) for text, mark in zip(value, value.marks, strict=True) if isinstance(text, str))


_DATA = ("ibannotator", "table")


def _check_data(document: Document, name: str, raw: LocatedDict) -> None:
    """A model test has one kind of data, and the keys that belong to it."""
    given = [key for key in _DATA if key in raw]
    unknown = [key for key in raw if key not in ModelTestEntry.model_fields]
    at_name = document.root.marks[name][0]
    if not given:
        if not any(closest(key, _DATA) for key in unknown):  # a misspelt key is one mistake, not two
            document.report(
                at_name,
                f"model test `{name}` has no data to train on: give it `ibannotator`, the drive path of an Annotator "
                "project, or `table` and `columns`, of the environment's database",
            )
    elif len(given) > 1:
        at_table = spot(document.root, name, "table").key
        document.report(at_table, "`table` stands beside `ibannotator`: a model test trains on one of them")
    elif given == ["table"]:
        if "columns" not in raw and not any(closest(key, ("columns",)) for key in unknown):
            document.report(
                at_name, f"model test `{name}` has no `columns`: with `table`, first the label, second the text"
            )
        _check_sides(document, name, raw)
    else:
        for key in OF_TABLES:
            if key in raw:
                document.report(spot(document.root, name, key).key, f"`{key}` is for a `table` only: remove it")


def _check_sides(document: Document, name: str, raw: LocatedDict) -> None:
    """At most one thing decides on which side a row is, and no column is used twice."""
    if "split_column" in raw:
        at_split = spot(document.root, name, "split_column").key
        if "group_column" in raw:
            document.report(
                at_split, "`split_column` stands beside `group_column`: one of them decides on which side a row is"
            )
        elif "p_of_train" in raw:
            document.report(
                at_split, "`split_column` says the side of each row, so `p_of_train` has no effect: remove one of them"
            )
    columns = raw.get("columns")
    used = columns.split(",") if isinstance(columns, str) else columns if isinstance(columns, list) else []
    lower = {column.strip().lower() for column in used if isinstance(column, str)}
    for key in ("group_column", "split_column"):
        column = raw.get(key)
        if isinstance(column, str) and column.lower() in lower:
            document.report(
                spot(document.root, name, key).value, f"`{key}` is {quoted(column)}, which `columns` name already"
            )


def _check_metrics(document: Document, name: str, metrics: Any) -> None:
    if not isinstance(metrics, LocatedDict):
        return
    for metric, fields in metrics.items():
        if metric in METRICS:
            continue
        wrong = _wrong_metric(metric)
        if wrong:
            document.report(spot(document.root, name, "metrics", metric).key, wrong)
        elif is_low_better(metric) and isinstance(fields, LocatedDict) and not is_for_all(metric, fields):
            _check_directions(document, name, metric, fields)


def _wrong_metric(metric: str) -> str:
    """Why this is no metric's name; empty if it may be one."""
    known = f"Metrics are {', '.join(METRICS)}"
    wrong = wrong_character(metric)
    meant = None if is_variant(metric) else closest(metric, METRICS, _MISSPELT)
    if meant is not None:
        return f"{quoted(metric)} is no metric: did you mean `{meant}`? {known}"
    return "" if wrong is None else f"{quoted(metric)} is no metric, as {quoted(wrong)} is in it. {known}"


def _check_directions(document: Document, name: str, metric: str, fields: LocatedDict) -> None:
    """A bare number is a minimum, which would let pass what is bad of a metric that should be low."""
    for field_name, value in fields.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            place = spot(document.root, name, "metrics", metric, field_name).value
            document.report(
                place,
                f"`metrics.{metric}.{field_name}` is a minimum, but {quoted(metric)} should be low: write "
                f"`{{max: {value}}}`, or `{{min: {value}}}` if that is meant",
            )
