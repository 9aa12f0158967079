"""Runs in the terms of MLflow: parameters, metrics and tags, within its limits on names and lengths."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_ibmodels.history.runs import StoredRun

LONGEST_NAME, LONGEST_VALUE = 250, 6000
"""Limits of MLflow on characters (mlflow/utils/validation.py); longer texts are cut."""
_REFUSED = re.compile(r"[^\w\-. ]")
_TAGS = ("test", "environment", "package", "version", "content_hash", "config_hash", "fingerprint", "verdict", "ci_run")


@dataclass(frozen=True)
class MlflowRun:
    """One run as it is sent to MLflow.

    Attributes:
        name: name of the run.
        started, finished: milliseconds since 1970.
        status: MLflow's word for the end of the run.
        params, tags: names and values within MLflow's limits.
        metrics: key, value and step of each value.
        record: the run in the JSON report, for the artifact.
    """

    name: str
    started: int
    finished: int
    status: str
    params: dict[str, str]
    metrics: list[tuple[str, float, int]]
    tags: dict[str, str]
    record: dict[str, Any]


def mlflow_run(run: StoredRun, record: dict[str, Any]) -> MlflowRun:
    """Return a run in the terms of MLflow.

    Args:
        run: the run as the history stores it.
        record: the same run in the JSON report, without secrets.
    """
    finished = datetime.fromisoformat(record["finished"]) if record.get("finished") else run.started
    return MlflowRun(
        name=_cut(f"{run.test} on {run.environment}", LONGEST_NAME),
        started=_milliseconds(run.started),
        finished=_milliseconds(finished),
        status="FINISHED" if run.verdict == "passed" else "FAILED",
        params=_params(record.get("config", {})),
        metrics=[*_values(run), *_curve(record["training"]["history"])],
        tags=_tags(run),
        record=record,
    )


def _tags(run: StoredRun) -> dict[str, str]:
    tags: dict[str, str] = {name: getattr(run, name) for name in _TAGS}
    tags |= {"commit": run.commit, "branch": run.branch, "dirty": "true" if run.is_dirty else ""}
    # Tags that MLflow's own pages show.
    tags |= {"mlflow.source.git.commit": run.commit, "mlflow.source.git.branch": run.branch}
    tags |= {"mlflow.source.name": run.project, "mlflow.source.type": "JOB"}
    return {name: _cut(value, LONGEST_VALUE) for name, value in tags.items() if value}


def _params(config: Mapping[str, Any]) -> dict[str, str]:
    names = _Names()
    return {names.name("config", *path): _cut(_text(value), LONGEST_VALUE) for path, value in _leaves(config, ())}


def _leaves(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield path and value of everything in a config that is no object; an empty object is a value, too."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, str(key)))
    elif path:
        yield path, value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _values(run: StoredRun) -> Iterator[tuple[str, float, int]]:
    names = _Names()
    for metric in run.metrics:
        if metric.value is not None:
            yield names.name(metric.metric, metric.field, separator="/"), metric.value, 0


def _curve(points: list[dict[str, Any]]) -> Iterator[tuple[str, float, int]]:
    """Yield the training curves below `training/`, since MLflow draws one line for each key."""
    names = _Names()
    known: dict[tuple[str, ...], str] = {}
    # A line needs one kind of step: points without one are numbered, all of them.
    has_steps = all(point["step"] is not None for point in points)
    for number, point in enumerate(points):
        step = int(point["step"]) if has_steps else number
        values: dict[tuple[str, ...], float] = {
            (name,): point[name] for name in ("loss", "learning_rate") if point[name] is not None
        }
        values |= {(metric, name): value for metric, by in point["metrics"].items() for name, value in by.items()}
        for path, value in values.items():
            if path not in known:
                known[path] = names.name("training", *path, separator="/")
            yield known[path], value, step


class _Names:
    """Names that MLflow accepts, each given once."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def name(self, *parts: str, separator: str = ".") -> str:
        """Join parts into a name; a number is added if another name became the same."""
        plain = _cut(separator.join(_plain(part) for part in parts), LONGEST_NAME)
        name, number = plain, 2
        while name in self._given:
            name, number = f"{plain[: LONGEST_NAME - 8]}_{number}", number + 1
        self._given.add(name)
        return name


def _plain(part: str) -> str:
    """Return a part of a name without characters that MLflow refuses, or takes for a folder such as `..`."""
    plain = _REFUSED.sub("_", part)
    return re.sub(r"\A\.+\Z|\A\Z", "_", plain)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)
