from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pytest_ibmodels.history.shifts import FEWEST_RUNS
from pytest_ibmodels.history.trend import (
    all_alerts,
    change_points,
    new_drops,
    new_shift,
    new_shifts,
)

if TYPE_CHECKING:
    from pytest_ibmodels.history.statistics import Split


def noise(count: int, mean: float, seed: int, spread: float = 0.007) -> list[float]:
    values: list[float] = np.random.default_rng(seed).normal(mean, spread, count).tolist()
    return values


def runs_with_alert(values: list[float], *, low_is_better: bool = False, min_shift: float = 0.01) -> list[int]:
    """Runs at which `new_shift` returns a shift, when it is called after each of them."""
    return [
        count - 1
        for count in range(1, len(values) + 1)
        if new_shift(values[:count], low_is_better=low_is_better, min_shift=min_shift)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_a_drop_is_alerted_once_within_eight_runs(seed: int) -> None:
    values = [*noise(20, 0.93, seed), *noise(25, 0.91, seed + 100)]
    (run,) = runs_with_alert(values)
    assert 22 <= run < 28
    shift = new_shift(values[: run + 1])
    assert shift is not None
    assert abs(shift.start - 20) <= 1
    assert shift.before == pytest.approx(0.93, abs=0.004)
    assert shift.after == pytest.approx(0.91, abs=0.006)
    assert shift.size == pytest.approx(0.02, abs=0.008)
    assert shift.p_value <= 0.002


def test_every_run_of_a_history_gets_the_same_answer_later() -> None:
    values = [*noise(20, 0.93, 1), *noise(25, 0.91, 2)]
    alerts = all_alerts({"f1": values})["f1"]
    assert [alert.run for alert in alerts] == runs_with_alert(values)


def test_a_rise_is_no_alert_and_the_new_level_is_what_counts_from_then_on() -> None:
    values = [*noise(20, 0.90, 1), *noise(20, 0.95, 2), *noise(8, 0.93, 3)]
    (run,) = runs_with_alert(values)
    assert run >= 42
    shift = new_shift(values[: run + 1])
    assert shift is not None
    assert shift.before == pytest.approx(0.95, abs=0.005)


def test_where_low_is_better_a_rise_is_the_alert() -> None:
    values = [*noise(20, 0.30, 1), *noise(8, 0.33, 2)]
    assert runs_with_alert(values) == []
    (run,) = runs_with_alert(values, low_is_better=True)
    shift = new_shift(values[: run + 1], low_is_better=True)
    assert shift is not None
    assert shift.before < shift.after
    assert shift.size == pytest.approx(0.03, abs=0.01)


def test_two_drops_are_two_alerts() -> None:
    values = [*noise(20, 0.95, 1), *noise(20, 0.92, 2), *noise(10, 0.89, 3)]
    first, second = runs_with_alert(values)
    assert 22 <= first < 28
    assert 42 <= second < 48


def test_a_slow_decline_is_alerted() -> None:
    # A point in ten runs: each step is far below the smallest shift.
    values = [value - 0.001 * run for run, value in enumerate(noise(60, 0.95, 4))]
    assert 1 <= len(runs_with_alert(values)) <= 4


def test_small_shifts_are_not_alerted() -> None:
    values = [*noise(30, 0.930, 1, 0.001), *noise(15, 0.922, 2, 0.001)]
    assert runs_with_alert(values) == []
    assert len(runs_with_alert(values, min_shift=0.005)) == 1


@pytest.mark.parametrize("outliers", [[0.5], [0.5, 0.6]])
def test_one_or_two_bad_runs_are_no_shift(outliers: list[float]) -> None:
    assert runs_with_alert([*noise(20, 0.93, 1), *outliers, *noise(20, 0.93, 2)]) == []


def test_equal_values_and_then_equal_lower_ones() -> None:
    (run,) = runs_with_alert([*[0.9] * 20, *[0.85] * 10])
    assert run <= 23
    assert runs_with_alert([0.9] * 40) == []


def test_short_series_have_no_shift() -> None:
    assert new_shift([]) is None
    assert new_shift([*[0.9] * 5, *[0.5] * (FEWEST_RUNS - 6)]) is None


def test_alerts_over_several_fields_need_clearer_shifts() -> None:
    # Eight runs and then four: 495 arrangements, so that p cannot be below 1/495.
    sinking = [*noise(12, 0.93, 1), *noise(4, 0.90, 2)]
    fields = {f"field {number}": noise(16, 0.9, number + 10) for number in range(20)}
    assert new_shifts({"Name": sinking})["Name"].start == 12
    assert new_shifts({"Name": sinking, **fields}) == {}
    later = [*sinking, *noise(6, 0.90, 3)]
    fields = {f"field {number}": noise(22, 0.9, number + 10) for number in range(20)}
    alerts = all_alerts({"Name": later, **fields})
    assert len(alerts["Name"]) == 1
    assert sum(map(len, alerts.values())) == 1


def test_runs_without_a_value_keep_their_number() -> None:
    values: list[float | None] = [*noise(20, 0.93, 1), None, None, *noise(8, 0.90, 2)]
    (alert,) = all_alerts({"Name": values, "Date": [None] * 30})["Name"]
    assert abs(alert.shift.start - 22) <= 1
    assert all_alerts({"Name": values})["Name"] == [alert] or alert.run >= 25
    with pytest.raises(ValueError, match="different numbers of runs"):
        all_alerts({"Name": values, "Date": [None]})
    assert all_alerts({}) == {}


def test_a_long_series_is_judged_quickly() -> None:
    values = [*noise(2000, 0.93, 1), *noise(8, 0.91, 2)]
    alerts = [alert for alert in all_alerts({"f1": values})["f1"] if alert.run >= 2000]
    assert len(alerts) == 1
    assert alerts[0].shift.start in range(1998, 2003)


def test_a_short_series_is_held_to_its_prediction_bound() -> None:
    values = noise(10, 0.93, 1)
    assert new_drops({"Name": values}) == {}
    drop = new_drops({"Name": [*values, 0.85]})["Name"]
    assert drop.start == 10
    assert 0.85 < drop.bound < 0.93
    assert drop.before == pytest.approx(0.93, abs=0.005)
    assert drop.after == 0.85
    assert drop.size == pytest.approx(0.08, abs=0.005)


def test_where_low_is_better_a_short_series_is_held_to_its_upper_bound() -> None:
    values = [*noise(10, 0.30, 1), 0.40]
    assert new_drops({"all": values}) == {}
    drop = new_drops({"all": values}, low_is_better=True)["all"]
    assert 0.30 < drop.bound < 0.40
    assert drop.after == 0.40


def test_too_few_or_too_many_or_missing_values_are_not_held_to_a_bound() -> None:
    assert new_drops({"Name": [*noise(4, 0.93, 1), 0.1]}) == {}
    assert new_drops({"Name": [*noise(FEWEST_RUNS, 0.93, 1), 0.1]}) == {}
    assert new_drops({"Name": [*noise(7, 0.93, 1), 0.1, None]}) == {}
    assert new_drops({"Name": [*noise(7, 0.93, 1, 0.0001), 0.925]}) == {}  # less than a point


def test_one_of_few_documents_is_no_drop() -> None:
    values = [*[0.9] * 6, 0.85]
    assert new_drops({"Name": values}, counts={"Name": 20}) == {}
    assert set(new_drops({"Name": values})) == {"Name"}


def test_change_points_in_both_directions() -> None:
    values = [*noise(15, 0.90, 9), *noise(15, 0.93, 10), *noise(15, 0.88, 11)]
    first, second = change_points(values)
    assert abs(first - 15) <= 1
    assert abs(second - 30) <= 1


def test_change_points_of_a_dip() -> None:
    first, second = change_points([*noise(15, 0.93, 1), *noise(8, 0.88, 2), *noise(15, 0.93, 3)])
    assert abs(first - 15) <= 1
    assert abs(second - 23) <= 1


def test_change_points_of_an_unchanged_series_are_rare() -> None:
    assert sum(len(change_points(noise(40, 0.9, seed))) for seed in range(50)) <= 3
    assert change_points([]) == []


def test_every_alert_is_a_change_point() -> None:
    values = [*noise(20, 0.93, 1), *noise(10, 0.91, 2), *noise(15, 0.95, 3), *noise(10, 0.92, 4)]
    points = change_points(values)
    alerts = all_alerts({"f1": values})["f1"]
    assert [min(abs(alert.shift.start - point) for point in points) <= 3 for alert in alerts] == [True, True]
    assert len(points) == 3


@pytest.mark.parametrize("seed", range(10))
def test_one_drop_is_not_alerted_again_when_its_start_was_wrong_at_first(seed: int) -> None:
    values = [*noise(20, 0.93, seed), *noise(40, 0.91, seed + 50)]
    (alert,) = all_alerts({"f1": values})["f1"]
    assert abs(alert.shift.start - 20) <= 4
    assert abs(change_points(values)[-1] - 20) <= 2


def test_a_second_drop_soon_after_the_first_is_another_alert() -> None:
    values = [*noise(20, 0.95, 1), *noise(6, 0.93, 2), *noise(12, 0.88, 3)]
    assert len(all_alerts({"f1": values})["f1"]) == 2


@pytest.mark.parametrize("spread", [0.004, 0.03])
def test_the_newest_run_alone_gets_the_alerts_of_a_whole_replay(spread: float) -> None:
    fields = {
        name: [
            *noise(18, 0.93, seed, spread),
            *noise(10, 0.93 - drop, seed + 50, spread),
            *noise(12, 0.93, seed, spread),
        ]
        for seed, (name, drop) in enumerate({"Name": 0.03, "Total": 0.1, "Date": 0.0}.items())
    }
    alerts = all_alerts(fields)
    assert alerts["Total"]
    for count in range(1, 41):
        newest = new_shifts({name: values[:count] for name, values in fields.items()})
        found = {name: alert.shift for name, several in alerts.items() for alert in several if alert.run == count - 1}
        assert newest == found


def test_a_run_without_a_fall_draws_no_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[float] = []

    def p_value(_values: object, split: Split, _alpha: float) -> float:
        drawn.append(split.score)
        return 1.0

    monkeypatch.setattr("pytest_ibmodels.history.shifts.split_p_value", p_value)
    values = [*noise(60, 0.90, 1, 0.03), 0.99, 0.98, 0.97]
    assert new_shifts({"Name": values, "Same": [0.5] * 63}) == {}
    assert drawn == []
    all_alerts({"Name": values})
    assert drawn
