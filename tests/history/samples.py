"""Runs as the history stores them, made for tests."""

from __future__ import annotations

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
