"""Read `model_tests.yaml`, which lists the trainings that must keep working and how good they must be."""

from __future__ import annotations

import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from pytest_ibmodels.spec.drive_paths import drive_path
from pytest_ibmodels.spec.entries import BaselineEntry, ModelTestEntry, ResourcesEntry
from pytest_ibmodels.spec.errors import Problem, SpecError
from pytest_ibmodels.spec.messages import closest, quoted
from pytest_ibmodels.spec.model_test import (
    BaselineSpec,
    DataPath,
    EnvironmentUse,
    InferenceSpec,
    MarkUse,
    Minimum,
    ModelTest,
    ModelTestsFile,
    ResourcesSpec,
    ScriptSpec,
    TableSpec,
)
from pytest_ibmodels.spec.reader import Document, LocatedDict, LocatedList, pause_gc, plain_copy, read_yaml
from pytest_ibmodels.spec.validation import entries, spot, validate_entry
from pytest_ibmodels.spec.values import (
    SCRIPT_KEYS,
    TABLE_KEYS,
    invalid_character,
    is_single_value,
    is_variant,
)
from pytest_ibmodels.verdicts.metrics import METRICS, is_low_better

if TYPE_CHECKING:
    from collections.abc import Iterator

    from yaml.error import Mark

_TYPO = 0.81
"""Similarity to one of `METRICS` (difflib's ratio, 0..1) from which another metric's name counts as a typo."""


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
        _check_gpus(document, name, raw)
        entry = validate_entry(document, name, ModelTestEntry, "model test")
        if entry is not None:
            tests[name] = _model_test(path, name, at_name.line + 1, entry, raw)
    return ModelTestsFile(path, MappingProxyType(tests), tuple(uses)), document.problems


def _model_test(path: Path, name: str, line: int, entry: ModelTestEntry, raw: LocatedDict) -> ModelTest:
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
        script=_script(path, entry, raw),
        time_limit=entry.time_limit,
        config=plain_copy(entry.config),
        metrics=metrics,
        inference=InferenceSpec(enabled=False) if entry.inference is None else InferenceSpec(entry.inference.documents),
        marks=tuple(MarkUse(text, mark.line + 1, mark.column + 1) for text, mark in _texts(raw, "marks")),
        skip=entry.skip,
        xfail=entry.xfail,
        package=entry.package or (entry.function and entry.function.partition(".")[0]),
        repeats=entry.repeats,
        baseline=_baseline(entry.baseline),
        trend=entry.trend,
        resources=_resources(entry.resources),
        retries=entry.retries,
    )


def _resources(entry: ResourcesEntry | None) -> ResourcesSpec | None:
    return None if entry is None else ResourcesSpec(entry.cpus, entry.gpus, entry.memory)


def _baseline(entry: BaselineEntry | None) -> BaselineSpec | None:
    if entry is None:
        return None
    kind: Literal["branch", "tag", "previous"] = "branch" if entry.branch else "tag" if entry.tag else "previous"
    return BaselineSpec(kind, entry.branch or entry.tag or "", entry.max_drop, entry.undecided)


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


def _script(path: Path, entry: ModelTestEntry, raw: LocatedDict) -> ScriptSpec | None:
    if entry.function is None:
        return None
    better = entry.better_than_current
    return ScriptSpec(
        function=entry.function,
        data=tuple(_data_path(path, text, mark) for text, mark in _texts(raw, "data")),
        max_drop=None if better is None else better.max_drop,
        undecided="pass" if better is None else better.undecided,
    )


def _data_path(path: Path, text: str, mark: Mark) -> DataPath:
    """Tell drive paths from local ones, which are relative to the file; a path that begins with `/` is local."""
    place = f"{path.name}:{mark.line + 1}"
    try:
        return DataPath(drive_path(text), None, place) if not text.startswith("/") else _local(path, text, place)
    except ValueError:
        return _local(path, text, place)


def _local(path: Path, text: str, place: str) -> DataPath:
    return DataPath(text, Path(os.path.normpath(path.parent / Path(text).expanduser())), place)


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


_DATA = ("ibannotator", "table", "function")


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
                "project, `table` and `columns` of the environment's database, or `function` and `data` of your own",
            )
        return
    if len(given) > 1:
        at_second = spot(document.root, name, given[1]).key
        document.report(at_second, f"`{given[1]}` and `{given[0]}` exclude each other: remove one of them")
        return
    for key in dict.fromkeys((*TABLE_KEYS, *SCRIPT_KEYS)):
        owners = [kind for kind, keys in (("table", TABLE_KEYS), ("function", SCRIPT_KEYS)) if key in keys]
        if key in raw and given[0] not in owners:
            needed = " or a ".join(f"`{kind}`" for kind in owners)
            document.report(spot(document.root, name, key).key, f"`{key}` needs a {needed}: remove it")
    if given == ["table"]:
        if "columns" not in raw and not any(closest(key, ("columns",)) for key in unknown):
            document.report(
                at_name, f"model test `{name}` has no `columns`: name the label, then the text of the `table`"
            )
        _check_sides(document, name, raw)
    elif given == ["function"]:
        _check_package(document, name, raw)


def _check_package(document: Document, name: str, raw: LocatedDict) -> None:
    """Check that the folder of the code has the name that the function begins with."""
    function, package = raw["function"], raw.get("package")
    if not isinstance(function, str) or not isinstance(package, str):
        return
    module, folder = function.partition(".")[0], Path(package).name
    if module != folder:
        document.report(
            spot(document.root, name, "package").value,
            f"`package` ends in {quoted(folder)}, but `function` begins with {quoted(module)}: make them the same",
        )


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


def _check_gpus(document: Document, name: str, raw: LocatedDict) -> None:
    """Check that a training that is told not to use GPUs does not ask for any."""
    resources, config = raw.get("resources"), raw.get("config")
    if not isinstance(resources, LocatedDict) or not isinstance(config, LocatedDict):
        return
    gpus = resources.get("gpus")
    if type(gpus) is not int or gpus < 1:
        return
    for key, value in (("use_cpu", True), ("use_gpu", False)):
        if config.get(key) is value:
            document.report(
                spot(document.root, name, "resources", "gpus").value,
                f"`resources.gpus` is {gpus}, but `config.{key}` is {str(value).lower()}, so the training would use "
                "none: remove one",
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
        message = "" if metric in METRICS else _metric_problem(metric)
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
