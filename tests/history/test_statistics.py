from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ibmodels.history.statistics import (
    best_split,
    holm,
    mean_and_spread,
    prediction_bound,
    probability_below,
    split_p_value,
)

FRACTIONS = st.lists(st.floats(0, 1), min_size=2, max_size=40)


def noise(count: int, mean: float, seed: int, spread: float = 0.007) -> list[float]:
    values: list[float] = np.random.default_rng(seed).normal(mean, spread, count).tolist()
    return values


def test_prediction_bound_is_mean_minus_t_times_spread() -> None:
    # t(0.99, 4) = 3.7469, from a printed table.
    values = [0.90, 0.91, 0.92, 0.93, 0.94]
    spread = math.sqrt(0.001 / 4)
    assert prediction_bound(values) == pytest.approx(0.92 - 3.7469 * spread * math.sqrt(1.2), abs=1e-6)
    assert prediction_bound(values, 0.5) == pytest.approx(0.92)


def test_prediction_bound_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    below = sum(row[-1] < prediction_bound(row[:-1].tolist(), 0.95) for row in rng.normal(0.9, 0.01, (2000, 11)))
    assert below / 2000 == pytest.approx(0.05, abs=0.015)


def test_equal_values_on_few_documents_still_have_a_spread() -> None:
    assert mean_and_spread([0.9] * 10)[1] == 0
    assert mean_and_spread([0.9] * 10, 1 / 20)[1] == pytest.approx(0.05 / math.sqrt(12))
    assert prediction_bound([0.9] * 10) == pytest.approx(0.9)
    assert prediction_bound([0.9] * 10, 0.99, 1 / 20) < 0.87


def test_a_spread_needs_two_values() -> None:
    with pytest.raises(ValueError, match="at least two values, but there are 1"):
        mean_and_spread([0.9])


@given(FRACTIONS, st.floats(0, 1), st.floats(0, 0.2))
def test_probability_below_is_a_probability_and_rises_with_the_drop(
    values: list[float], limit: float, drop: float
) -> None:
    without, lowered = probability_below(values, limit), probability_below(values, limit, drop=drop)
    assert 0 <= without <= lowered <= 1


def test_probability_below_matches_the_prediction_bound() -> None:
    values = noise(20, 0.9, 3)
    assert probability_below(values, prediction_bound(values, 0.99)) == pytest.approx(0.01)
    assert probability_below(values, 0.85) < 0.001
    assert probability_below(values, 0.85, drop=0.1) > 0.999


def test_values_without_spread_fall_below_what_is_above_them() -> None:
    assert probability_below([0.9] * 5, 0.9) == 0
    assert probability_below([0.9] * 5, 0.91) == 1
    assert probability_below([0.9] * 5, 0.88, drop=0.05) == 1


def test_holm_rejects_step_by_step() -> None:
    # Holm: 0.01 <= 0.05/4, 0.015 <= 0.05/3, 0.03 > 0.05/2, so 0.04 is not looked at.
    assert holm([0.04, 0.01, 0.03, 0.015], 0.05) == [False, True, False, True]
    assert holm([0.01, 0.02, 0.04], 0.05) == [True, True, True]
    assert holm([], 0.05) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_between_bonferroni_and_no_correction(p_values: list[float]) -> None:
    for p_value, is_significant in zip(p_values, holm(p_values, 0.05), strict=True):
        assert is_significant or p_value > 0.05 / len(p_values)
        assert not is_significant or p_value <= 0.05


def test_best_split_finds_the_fall() -> None:
    values = [*noise(20, 0.93, 4), *noise(6, 0.90, 5)]
    split = best_split(values)
    assert split is not None
    assert split.cut == 20
    assert split.before == pytest.approx(0.93, abs=0.005)
    assert split.after == pytest.approx(0.90, abs=0.005)
    assert split_p_value(values, split) < 0.001


def test_split_p_values_are_uniform_without_a_change() -> None:
    rng = np.random.default_rng(6)
    small = 0
    for row in rng.normal(0, 1, (300, 20)).tolist():
        split = best_split(row)
        assert split is not None
        small += split_p_value(row, split) <= 0.1
    assert small / 300 == pytest.approx(0.1, abs=0.05)


def test_split_p_value_is_always_the_same() -> None:
    values = [*noise(12, 0.93, 7), *noise(4, 0.92, 8)]
    split = best_split(values)
    assert split is not None
    assert split_p_value(values, split) == split_p_value(values, split)


@pytest.mark.parametrize("values", [[], [0.9] * 7, [0.9] * 30])
def test_no_split_of_short_or_equal_values(values: list[float]) -> None:
    assert best_split(values) is None
