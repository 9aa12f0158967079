from __future__ import annotations

import numpy as np
import pytest

from ibformers.statistics import bootstrap_interval, bootstrap_weights, mcnemar, percentile_interval, wilson


def test_all_right_of_few_shows_little() -> None:
    assert wilson(20, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_the_wilson_interval_is_that_of_its_formula() -> None:
    # Newcombe 1998, table I: 81 of 263, and 15 of 148.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson(81, 263, 0.9)[0] > wilson(81, 263)[0]


def test_a_rate_of_nothing_has_no_interval() -> None:
    with pytest.raises(ValueError, match="n"):
        wilson(0, 0)


def test_mcnemar_counts_the_units_that_only_one_model_gets_right() -> None:
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(0, 6) == pytest.approx(2 / 2**6)
    assert mcnemar(1, 6) == pytest.approx(2 * (1 + 7) / 2**7)


@pytest.mark.parametrize("units", [1, 7, 400])
def test_every_resample_draws_as_many_units_as_there_are(units: int) -> None:
    (weights,) = bootstrap_weights(units, seed=1)
    assert weights.shape == (2000, units)
    assert (weights.sum(axis=1) == units).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(units), abs=0.2)


@pytest.mark.parametrize("counts", [[100, 1, 50], [1, 2, 1]])
def test_equal_units_may_be_drawn_together(counts: list[int]) -> None:
    (weights,) = bootstrap_weights(np.array(counts), seed=1)
    total = sum(counts)
    assert (weights.sum(axis=1) == total).all()
    assert weights.mean(axis=0) == pytest.approx(counts, rel=0.1)
    share = np.array(counts) / total
    assert weights.std(axis=0) == pytest.approx(np.sqrt(total * share * (1 - share)), rel=0.1)


def test_the_same_seed_draws_the_same() -> None:
    first, again, other = (next(iter(bootstrap_weights(50, seed))) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_many_units_come_in_parts_that_memory_holds() -> None:
    parts = list(bootstrap_weights(100_000, seed=1, resamples=100))
    assert sum(len(part) for part in parts) == 100
    assert max(part.nbytes for part in parts) <= 32 * 2**20


def test_the_percentile_interval_leaves_out_what_is_not_defined() -> None:
    values = np.append(np.linspace(0, 1, 101), [np.nan] * 5)
    assert percentile_interval(values, 0.9) == pytest.approx((0.05, 0.95))
    with pytest.raises(ValueError, match="no resample"):
        percentile_interval(np.full(3, np.nan), 0.9)


def test_resamples_that_are_all_equal_are_no_certainty() -> None:
    assert bootstrap_interval(1.0, np.ones(2000), 20, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)
    assert bootstrap_interval(0.0, np.zeros(2000), 0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert bootstrap_interval(0.0, np.full(2000, np.nan), 0, 20) is None
    assert bootstrap_interval(0.5, np.linspace(0.6, 0.8, 2000), 5, 10) == pytest.approx((0.5, 0.795))


def test_the_bootstrap_agrees_with_wilson_on_a_rate() -> None:
    right = np.repeat([1, 0], [320, 80])
    values = np.concatenate([weights @ right / 400 for weights in bootstrap_weights(400, seed=3)])
    assert percentile_interval(values) == pytest.approx(wilson(320, 400), abs=0.01)
