"""`model_tests.yaml`: which trainings must keep working, and how good they must be."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from pytest_ibmodels.spec.entries import METRICS, ModelTestEntry, wrong_character
from pytest_ibmodels.spec.errors import Problem, SpecError
from pytest_ibmodels.spec.reader import Document, LocatedDict, LocatedList, collector_paused, plain, read_yaml
from pytest_ibmodels.spec.validation import entries, spot, validated
from pytest_ibmodels.spec.wording import closest, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pydantic import JsonValue
    from yaml.error import Mark

_MISSPELT = 0.8
"""How like one of `METRICS` another metric's name may be (difflib's ratio) before it is taken for a slip."""


@dataclass(frozen=True, slots=True)
class Minimum:
    """The smallest value of a metric that passes, and the line (from 1) on which it is set."""

    min: float
    line: int


@dataclass(frozen=True, slots=True)
class InferenceSpec:
    """Which documents are served and compared: the first with predictions, all, or the first N."""

    documents: Literal["first", "all"] | int = "first"


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
    slash; `time_limit` is in seconds; `config` goes to the training as it is; `metrics` is metric -> field -> minimum;
    `skip` and `xfail` are reasons; `package` is a folder as written, and None where the default one is meant.
    """

    name: str
    line: int
    env: tuple[str, ...]
    ibannotator: str
    time_limit: float
    config: dict[str, JsonValue] = field(default_factory=dict)
    metrics: dict[str, dict[str, Minimum]] = field(default_factory=dict)
    inference: InferenceSpec = InferenceSpec()
    marks: tuple[MarkUse, ...] = ()
    skip: str | None = None
    xfail: str | None = None
    package: str | None = None


@dataclass(frozen=True, slots=True)
class EnvironmentUse:
    """A place (from 1) where a model test names an environment."""

    environment: str
    line: int
    column: int


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
        entry = validated(document, name, ModelTestEntry, "model test")
        if entry is not None:
            tests[name] = _model_test(name, at_name.line + 1, entry, raw)
    return ModelTestsFile(path, MappingProxyType(tests), tuple(uses)), document.problems


def _model_test(name: str, line: int, entry: ModelTestEntry, raw: LocatedDict) -> ModelTest:
    metrics = {
        metric: {
            field: Minimum(minimum.min, _line_of_minimum(raw["metrics"][metric], field))
            for field, minimum in fields.items()
        }
        for metric, fields in entry.metrics.items()
    }
    return ModelTest(
        name=name,
        line=line,
        env=entry.env,
        ibannotator=entry.ibannotator,
        time_limit=entry.time_limit,
        config=plain(entry.config),
        metrics=metrics,
        inference=InferenceSpec(entry.inference.documents),
        marks=tuple(MarkUse(text, mark.line + 1, mark.column + 1) for text, mark in _texts(raw, "marks")),
        skip=entry.skip,
        xfail=entry.xfail,
        package=entry.package,
    )


def _line_of_minimum(fields: LocatedDict, field: str) -> int:
    value = fields[field]
    mark = value.marks["min"][1] if isinstance(value, LocatedDict) else fields.marks[field][1]
    return mark.line + 1


def _uses(raw: LocatedDict) -> Iterator[EnvironmentUse]:
    for name, mark in _texts(raw, "env"):
        yield EnvironmentUse(name, mark.line + 1, mark.column + 1)


def _texts(raw: LocatedDict, key: str) -> Iterator[tuple[str, Mark]]:
    """The one text of a key, or those of its list, each with its place."""
    value: Any = raw.get(key)
    if isinstance(value, str):
        yield value, raw.marks[key][1]
    elif isinstance(value, LocatedList):
        yield from ((text, mark) for text, mark in zip(value, value.marks, strict=True) if isinstance(text, str))


def _check_metrics(document: Document, name: str, metrics: Any) -> None:
    if not isinstance(metrics, LocatedDict):
        return
    for metric in metrics:
        if metric in METRICS:
            continue
        at_metric = spot(document.root, name, "metrics", metric).key
        wrong = wrong_character(metric)
        meant = closest(metric, METRICS, _MISSPELT)
        if meant is not None:
            document.report(
                at_metric, f"{quoted(metric)} is no metric: did you mean `{meant}`? Metrics are {', '.join(METRICS)}"
            )
        elif wrong is not None:
            document.report(
                at_metric,
                f"{quoted(metric)} is no metric, as {quoted(wrong)} is in it. Metrics are {', '.join(METRICS)}",
            )
