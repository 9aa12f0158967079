"""Runs as the history stores them, made for tests."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pytest_ibmodels.history.runs import StoredMetric, StoredRun
from pytest_ibmodels.verdicts.results import Labels, WordCounts

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(number: int = 0, value: float | None = 0.9, **changes: Any) -> StoredRun:
    """A run of its own id, so many hours after the first."""
    metrics = (
        StoredMetric("f1", "Name", value, 0.8, 0.95, minimum=0.85, count=40),
        StoredMetric("f1", "Total", None),
        StoredMetric("loss", "all", 0.25, maximum=0.5),
    )
    made = StoredRun(
        id=f"{number:032x}",
        project="receipts",
        test="Receipts",
        environment="dogfood",
        started=BEGIN + timedelta(hours=number),
        verdict="passed",
        package="ibformers",
        version="1.2.0",
        content_hash="c" * 64,
        config_hash="a" * 64,
        fingerprint="f" * 16,
        seed=42,
        commit="0123456789abcdef0123456789abcdef01234567",
        branch="main",
        is_dirty=True,
        ci_run="https://github.com/acme/receipts/actions/runs/7",
        hardware="x86_64, 2 cores",
        seconds=12.5,
        memory=2**40,
        documents={"a.pdf": {"Name": WordCounts(2, 2, 2, 1)}, "b.pdf": {"Label": Labels("good", "bad")}},
        metrics=metrics,
    )
    return replace(made, **changes)


def story() -> list[StoredRun]:
    """A history with everything that its page shows: shifts, releases, bounds that change, a new config, repeats."""
    noise = random.Random(7)  # noqa: S311 - reproducible noise

    def near(mean: float) -> float:
        return round(mean + noise.gauss(0, 0.006), 4)

    runs = []
    for number in range(40):
        name, total = near(0.885 if number >= 24 else 0.942), near(0.945 if number >= 30 else 0.9)
        minimum = 0.85 if number < 16 else 0.9
        one = run(
            1000 + number,
            verdict="error" if number == 7 else "failed" if name < minimum else "passed",
            version="1.2.0" if number < 12 else "1.3.0" if number < 33 else "2.0.0-rc.1",
            commit=f"{(number + 3) * 48_271**3:040x}"[::-1],
            is_dirty=number == 39,
            seconds=300 + noise.random() * 40,
            started=BEGIN + timedelta(days=number),
            metrics=(
                StoredMetric("f1", "Name", name, name - 0.03, name + 0.025, minimum=minimum, count=400),
                StoredMetric("f1", "Total", None if number == 5 else total, minimum=0.8, count=400),
                StoredMetric("loss", "all", near(0.2), maximum=0.5),
            ),
        )
        config = "a" * 64 if number < 30 else "b" * 64
        runs += [one, replace(one, id=f"{2000 + number:032x}", environment="prod", config_hash=config)]
    for number in range(12):
        for repeat in range(3):
            one = run(
                3000 + 10 * number + repeat,
                test="Reviews",
                environment="sandbox",
                started=BEGIN + timedelta(days=3 * number),
                ci_run=str(number),
                seed=42 + repeat,
                repeat=repeat,
                repeats=3,
                metrics=(StoredMetric("accuracy", "all", near(0.955 - 0.002 * number), minimum=0.9, count=200),),
            )
            runs.append(one)
    return runs
