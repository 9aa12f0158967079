"""The new model against the one in use, on the same rows: `better_than_current`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pytest_ibmodels.verdicts.better import TOLERANCE, judge_difference, rows_to_decide
from pytest_ibmodels.verdicts.checks import BetterCheck
from pytest_ibmodels.verdicts.comparison import ComparisonError, read_comparison
from pytest_ibmodels.verdicts.metrics import observed_share

if TYPE_CHECKING:
    from pytest_ibmodels.verdicts.comparison import Comparison, Paired

_METRIC, _FIELD = "f1", "weighted avg"
NAME = "better_than_current"


def check_better(
    reported: object,
    current: object,
    max_drop: float,
    comparison: object = None,
    if_undecided: Literal["pass", "fail"] = "pass",
) -> BetterCheck | None:
    """Hold a new model to the one in use, by their F1 (weighted avg) on the same rows.

    Args:
        reported: ``evaluation_results`` of the new model.
        current: what the training reports of the model in use: ``has_learned`` and ``evaluation_results``.
        max_drop: by so much the new model may be worse.
        comparison: what the training reports of both, row by row; None if it compares no rows.
        if_undecided: what it means where the rows are too few to tell.

    Returns:
        None if there is no model in use that has learned the labels, so that nothing can be compared.
    """
    if comparison is not None:
        try:
            return _by_rows(read_comparison(comparison), max_drop, if_undecided)
        except ComparisonError as error:
            return _unreadable(f"the comparison that the training reported cannot be read: {error}", max_drop)
    if not isinstance(current, Mapping):
        return _unreadable("the training did not report how good the model in use is", max_drop)
    if not current.get("has_learned"):
        return None
    return _by_values(reported, current, max_drop)


def _by_rows(comparison: Comparison, max_drop: float, if_undecided: Literal["pass", "fail"]) -> BetterCheck:
    both = comparison.f1
    if both is None:
        return _check(None, max_drop, verdict="undecided", if_undecided=if_undecided, comparison=comparison)
    rows = comparison.rows
    verdict = judge_difference(
        both.difference, both.low, both.high, rows, comparison.only_old_right, comparison.only_new_right, max_drop
    )
    if verdict == "fails" and comparison.learned is None:
        # The model in use may know these rows by heart, so its lead shows nothing; that it has none shows enough.
        return _check(both, max_drop, verdict="undecided", if_undecided=if_undecided, comparison=comparison)
    needed = rows_to_decide(both.difference, both.low, both.high, rows, max_drop) if verdict == "undecided" else None
    return _check(both, max_drop, verdict=verdict, if_undecided=if_undecided, comparison=comparison, needed=needed)


def _check(
    both: Paired | None,
    max_drop: float,
    *,
    verdict: Literal["holds", "fails", "undecided"],
    if_undecided: Literal["pass", "fail"],
    comparison: Comparison,
    needed: int | None = None,
) -> BetterCheck:
    return BetterCheck(
        NAME,
        f"{_METRIC} {_FIELD}",
        None if both is None else both.old - max_drop,
        None if both is None else both.new,
        verdict=verdict,
        if_undecided=if_undecided,
        max_drop=max_drop,
        comparison=comparison,
        needed=needed,
    )


def _by_values(reported: object, current: Mapping[str, object], max_drop: float) -> BetterCheck:
    before, problem = observed_share(current.get("evaluation_results"), _METRIC, _FIELD)
    if before is None:
        return _unreadable(f"of the model in use: {problem}", max_drop)
    after, problem = observed_share(reported, _METRIC, _FIELD)
    if after is None:
        return _unreadable(problem, max_drop, before - max_drop)
    verdict: Literal["holds", "fails"] = "holds" if after - before >= -max_drop - TOLERANCE else "fails"
    name = f"{_METRIC} {_FIELD}"
    return BetterCheck(NAME, name, before - max_drop, after, verdict=verdict, max_drop=max_drop)


def _unreadable(problem: str, max_drop: float, minimum: float | None = None) -> BetterCheck:
    return BetterCheck(NAME, f"{_METRIC} {_FIELD}", minimum, problem=problem, max_drop=max_drop)
