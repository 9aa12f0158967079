from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pytest_ibmodels.history.advice import Advice, advise, loosest
from pytest_ibmodels.history.runs import StoredMetric, StoredRun
from pytest_ibmodels.history.statistics import prediction_bound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_ibmodels.verdicts.metrics import Bounds

START = datetime(2026, 1, 1, tzinfo=UTC)


def noise(count: int, mean: float, seed: int, spread: float = 0.007) -> list[float]:
    values: list[float] = np.random.default_rng(seed).normal(mean, spread, count).tolist()
    return values


def stored(values: Sequence[float | None], metric: str = "f1", field: str = "Name", **facts: Any) -> list[StoredRun]:
    """One passed run a day for each value."""
    count = facts.pop("count", None)
    first = facts.pop("first", 0)
    return [
        StoredRun(
            id=f"{first + number:032x}",
            project="p",
            test="T",
            environment="sandbox",
            started=START + timedelta(days=first + number),
            verdict="passed",
            metrics=(StoredMetric(metric, field, value, count=count),),
            **facts,
        )
        for number, value in enumerate(values)
    ]


def advice(
    runs: Sequence[StoredRun], low: float | None, high: float | None = None, metric: str = "f1", field: str = "Name"
) -> Advice:
    bounds: Mapping[str, Mapping[str, Bounds]] = {metric: {field: (low, high)}}
    (found,) = advise("T", "sandbox", bounds, runs)
    return found


def test_the_proposal_is_the_prediction_bound_rounded_down() -> None:
    values = noise(30, 0.93, 1)
    found = advice(stored(values), 0.8)
    bound = prediction_bound(values, 0.99)
    assert found.proposed == 0.91
    assert found.proposed <= bound < found.proposed + 0.01
    assert (found.test, found.environment, found.metric, found.field) == ("T", "sandbox", "f1", "Name")
    assert (found.bound, found.present, found.runs, found.failed) == ("min", 0.8, 30, 0)
    assert found.mean == pytest.approx(float(np.mean(values)))
    assert found.spread == pytest.approx(float(np.std(values, ddof=1)))
    assert found.notes == ()


def test_a_minimum_that_is_too_low_lets_drops_pass() -> None:
    found = advice(stored(noise(30, 0.93, 1)), 0.8)
    assert found.expected is not None
    assert found.expected < 0.001
    assert found.catches is not None
    assert found.catches < 0.01
    assert found.misses_drops
    assert found.proposed_catches is not None
    assert found.proposed_catches > 0.95


def test_a_minimum_that_is_too_high_fails_runs_that_are_fine() -> None:
    values = noise(30, 0.93, 1)
    found = advice(stored(values), 0.93)
    assert found.failed == sum(value < 0.93 for value in values) > 5
    assert found.expected == pytest.approx(0.5, abs=0.15)
    assert not found.misses_drops


def test_a_value_at_the_minimum_did_not_fail() -> None:
    assert advice(stored([0.9] * 6), 0.9).failed == 0
    assert advice(stored([0.8 - 0.1] * 6), 0.7).failed == 0


def test_a_maximum_is_the_mirror_image() -> None:
    found = advice(stored(noise(30, 0.30, 1), "loss", "all"), None, 0.5, "loss", "all")
    assert (found.bound, found.proposed, found.failed) == ("max", 0.32, 0)
    assert found.mean == pytest.approx(0.30, abs=0.005)
    # A loss is no fraction: five points mean nothing.
    assert (found.catches, found.misses_drops) == (None, False)


def test_both_bounds_get_advice_and_do_not_cross() -> None:
    runs = stored(noise(30, 0.93, 1))
    low, high = advise("T", "sandbox", {"f1": {"Name": (0.8, 0.85)}}, runs)
    assert (low.bound, high.bound) == ("min", "max")
    assert low.proposed == 0.85
    assert high.proposed == 0.95
    assert high.failed == 30


def test_proposals_for_fractions_stay_fractions() -> None:
    assert advice(stored(noise(8, 0.1, 1, 0.08)), 0.0).proposed == 0.0
    assert advice(stored([1.0] * 8), 0.9).proposed == 1.0
    assert advice(stored([0.29] * 8), 0.2).proposed == 0.29


def test_small_values_that_are_no_fractions_keep_two_digits() -> None:
    found = advice(stored([0.0031, 0.0032, 0.0033, 0.0032, 0.0031, 0.0032], "loss", "all"), None, 0.1, "loss", "all")
    assert found.proposed == pytest.approx(0.0035)
    found = advice(stored(noise(20, 1200, 1, 30), "seconds", "all"), None, 2000, "seconds", "all")
    assert found.proposed is not None
    assert 1230 < found.proposed < 1320


def test_equal_values_on_few_documents_do_not_make_a_tight_minimum() -> None:
    assert advice(stored([0.95] * 10), 0.9).proposed == 0.95
    found = advice(stored([0.95] * 10, count=20), 0.9)
    assert found.proposed is not None
    assert found.proposed <= 0.91


@pytest.mark.parametrize("count", [0, 1, 4])
def test_too_few_runs(count: int) -> None:
    found = advice(stored([0.9] * count), 0.95)
    assert (found.runs, found.failed, found.proposed, found.expected, found.mean) == (count, count, None, None, None)
    assert found.notes == (f"too few runs for a proposal: {count} of at least 5",)


def test_runs_after_a_drop_do_not_count() -> None:
    found = advice(stored([*noise(20, 0.93, 1), *noise(10, 0.90, 2)]), 0.8)
    assert found.runs in {19, 20, 21}
    assert found.proposed == pytest.approx(0.91, abs=0.011)
    (note,) = found.notes
    assert note.startswith("worse by 0.03")
    assert note.endswith("since 2026-01-21: only the runs before that day count")


def test_runs_before_a_rise_do_not_count() -> None:
    found = advice(stored([*noise(20, 0.90, 1), *noise(10, 0.95, 2)]), 0.8)
    assert found.runs in {9, 10, 11}
    assert found.notes == (f"left out as before a change: {30 - found.runs} of 30 runs",)


def test_runs_before_a_drop_that_was_mended_count() -> None:
    found = advice(stored([*noise(15, 0.93, 1), *noise(8, 0.88, 2), *noise(15, 0.93, 3)]), 0.8)
    assert found.runs in {29, 30, 31}


def test_a_mishap_does_not_count() -> None:
    found = advice(stored([*noise(10, 0.93, 1), 0.2, *noise(10, 0.93, 2)]), 0.8)
    assert (found.runs, found.failed) == (20, 0)
    assert found.notes == ("left out as far too bad: 1 of 21 runs",)


def test_runs_with_another_config_or_test_part_or_an_error_do_not_count() -> None:
    runs = [
        *stored(noise(10, 0.5, 1), config_hash="old"),
        *stored(noise(10, 0.6, 1), first=10, config_hash="new", fingerprint="old"),
        *stored(noise(10, 0.93, 1), first=20, config_hash="new", fingerprint="new"),
        *(replace(run, verdict="error") for run in stored([0.1, 0.1], first=30, config_hash="newest")),
    ]
    found = advice(runs[::-1], 0.8)
    assert found.runs == 10
    assert found.mean == pytest.approx(0.93, abs=0.01)


def test_failed_runs_count() -> None:
    runs = [replace(run, verdict="failed") for run in stored(noise(10, 0.93, 1))]
    assert advice(runs, 0.94).runs == 10


def test_values_that_are_undefined_or_were_not_reported_do_not_count() -> None:
    runs = [*stored([0.9, None, float("nan"), 0.9]), *stored([0.5] * 3, field="Date", first=4)]
    assert advice(runs, 0.8).runs == 2
    assert advice(runs, 0.8, metric="recall").runs == 0


def test_repeats_count_as_their_mean() -> None:
    day = timedelta(days=1)
    runs = [
        replace(run, id=f"{number}-{repeat}", repeat=repeat, repeats=2, started=START + day * number, metrics=(value,))
        for number in range(6)
        for repeat, run in enumerate(stored([0.9, 0.9]))
        for value in [StoredMetric("f1", "Name", 0.89 + 0.02 * repeat)]
    ]
    found = advice(runs, 0.85)
    assert (found.runs, found.failed) == (6, 0)
    assert found.mean == pytest.approx(0.9)
    # The second repeat of a run is missing.
    assert advice([run for run in runs if run.id != "2-1"], 0.85).runs == 6


def test_a_bound_of_several_environments_gets_the_loosest_proposal() -> None:
    one = advice(stored(noise(30, 0.93, 1)), 0.8)
    other = replace(one, environment="dogfood", proposed=0.87)
    assert loosest([one, other]) == 0.87
    assert loosest([replace(one, proposed=None), other]) == 0.87
    assert loosest([replace(one, bound="max"), replace(other, bound="max")]) == 0.91
    assert loosest([replace(one, proposed=None)]) is None
