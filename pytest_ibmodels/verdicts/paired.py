"""The check `better_than_current`: the new model against the model in use, on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pytest_ibmodels.verdicts.better import TOLERANCE, judge_difference, rows_to_decide
from pytest_ibmodels.verdicts.checks import BetterCheck
from pytest_ibmodels.verdicts.comparison import ComparisonError, read_comparison
from pytest_ibmodels.verdicts.metrics import observed_fraction

if TYPE_CHECKING:
    from pytest_ibmodels.verdicts.better import IfUndecided, Verdict
    from pytest_ibmodels.verdicts.comparison import Comparison

_METRIC, _FIELD = "f1", "weighted avg"
_LABEL = f"{_METRIC} {_FIELD}"
NAME = "better_than_current"


def check_better(
    reported: object,
    current: object,
    max_drop: float,
    comparison: object = None,
    if_undecided: IfUndecided = "pass",
) -> BetterCheck | None:
    """Hold a new model to the model in use, by their F1 (weighted avg) on the same rows.

    Args:
        reported: ``evaluation_results`` of the new model.
        current: report of the training on the model in use: ``has_learned`` and ``evaluation_results``.
        max_drop: largest allowed drop of the F1.
        comparison: row-by-row comparison from the training; None if it made none.
        if_undecided: outcome of the check if there are too few rows to decide.

    Returns:
        None if no model that has learned the labels is in use, so that there is nothing to compare with.
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


def _by_rows(comparison: Comparison, max_drop: float, if_undecided: IfUndecided) -> BetterCheck:
    f1, rows = comparison.f1, comparison.rows
    verdict: Verdict = "undecided"
    needed = None
    if f1 is not None:
        only_right = comparison.only_old_right, comparison.only_new_right
        verdict = judge_difference(f1.difference, f1.low, f1.high, rows, *only_right, max_drop)
        if verdict == "undecided":
            needed = rows_to_decide(f1.difference, f1.low, f1.high, rows, max_drop)
        elif verdict == "fails" and comparison.learned is None:
            # The lead of a model in use that may have learned these rows proves nothing.
            verdict = "undecided"
    return BetterCheck(
        NAME,
        _LABEL,
        None if f1 is None else f1.old - max_drop,
        None if f1 is None else f1.new,
        verdict=verdict,
        if_undecided=if_undecided,
        max_drop=max_drop,
        comparison=comparison,
        needed=needed,
    )


def _by_values(reported: object, current: Mapping[str, object], max_drop: float) -> BetterCheck:
    before, problem = observed_fraction(current.get("evaluation_results"), _METRIC, _FIELD)
    if before is None:
        return _unreadable(f"model in use: {problem}", max_drop)
    after, problem = observed_fraction(reported, _METRIC, _FIELD)
    if after is None:
        return _unreadable(problem, max_drop, before - max_drop)
    verdict: Verdict = "holds" if after - before >= -max_drop - TOLERANCE else "fails"
    return BetterCheck(NAME, _LABEL, before - max_drop, after, verdict=verdict, max_drop=max_drop)


def _unreadable(problem: str, max_drop: float, minimum: float | None = None) -> BetterCheck:
    return BetterCheck(NAME, _LABEL, minimum, problem=problem, max_drop=max_drop)
