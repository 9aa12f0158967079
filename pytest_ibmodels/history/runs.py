"""Results of runs as the history stores them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime  # noqa: TC003 - jsonl reads the types at run time

from pytest_ibmodels.verdicts.results import Results  # noqa: TC001 - as above


@dataclass(frozen=True)
class StoredMetric:
    """One value of a metric in a run.

    Attributes:
        metric, field: names; the field is `all` for a metric with a single value.
        value: the observed value; None if it was undefined.
        low, high: bounds of the two-sided 95 % interval; None if unknown.
        minimum, maximum: bounds of the model test at that time; None for no bound.
        count: number of documents or rows of the test part; None if unknown.
    """

    metric: str
    field: str
    value: float | None
    low: float | None = None
    high: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    count: int | None = None


@dataclass(frozen=True)
class StoredRun:
    """One run of a case: what it was run with, and what came out.

    Attributes:
        id: UUID of the run, in hexadecimal; importing a run with a known id changes nothing.
        project: identity of the project (its name in `pyproject.toml` or the name of its folder), so that projects may
            share a database.
        test, environment: names of model test and environment.
        started: time (UTC) at which the run started.
        verdict: `passed`, `failed` or `error`.
        package, version, content_hash: package name, version and SHA-256 of its content.
        config_hash: SHA-256 of the model test's config, in canonical JSON.
        fingerprint: fingerprint of the test part; empty if none was reported.
        seed: seed of the training; None if unknown.
        commit, branch: git commit and branch; empty outside git. `is_dirty`: uncommitted changes.
        ci_run: URL or id of the CI run; empty outside CI.
        hardware: short text such as `x86_64, 2 cores`.
        seconds: wall time of the training; None if unknown.
        memory: peak memory in bytes; None if unknown.
        repeat: 0-based number among repeats of one case; `repeats`: how many there were.
        documents: results per document, for comparisons with other runs on the same documents; None if unknown, or not
            asked for.
        metrics: values of the run.
    """

    id: str
    project: str
    test: str
    environment: str
    started: datetime
    verdict: str
    package: str = ""
    version: str = ""
    content_hash: str = ""
    config_hash: str = ""
    fingerprint: str = ""
    seed: int | None = None
    commit: str = ""
    branch: str = ""
    is_dirty: bool = False
    ci_run: str = ""
    hardware: str = ""
    seconds: float | None = None
    memory: int | None = None
    repeat: int = 0
    repeats: int = 1
    documents: Results | None = None
    metrics: tuple[StoredMetric, ...] = field(default_factory=tuple)
