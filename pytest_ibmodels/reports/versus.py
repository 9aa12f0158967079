"""Sentences and tables on the new model against the model in use, and on the test part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.reports.figures import counted, number, signed
from pytest_ibmodels.reports.tables import clipped, table
from pytest_ibmodels.verdicts.better import FEWEST_ROWS
from pytest_ibmodels.verdicts.checks import BetterCheck
from pytest_ibmodels.verdicts.paired import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_ibmodels.reports.record import ComparisonRecord, TestPartRecord
    from pytest_ibmodels.verdicts.checks import MetricCheck
    from pytest_ibmodels.verdicts.comparison import Comparison
    from pytest_ibmodels.verdicts.parts import TestPart

_WORSE_SHOWN = 10


def better_notes(checks: Sequence[MetricCheck]) -> Iterator[str]:
    """Sentences on the checks `better_than_current`; none for a check that could not be judged."""
    for check in checks:
        if isinstance(check, BetterCheck) and check.verdict is not None:
            yield from _notes(check)


def worse_rows(checks: Sequence[MetricCheck]) -> list[str]:
    """Table of the first rows that got worse, if the new model is not as good as the model in use; else empty."""
    for check in checks:
        if isinstance(check, BetterCheck) and not check.passed and check.comparison and check.comparison.worse:
            worse = check.comparison.worse
            rows = [
                (str(one.row), repr(one.label), repr(one.old), repr(one.new), clipped(repr(one.text), 70))
                for one in worse[:_WORSE_SHOWN]
            ]
            header = ("row", "label", "in use", "new", "text")
            return ["first rows that got worse:", *table(header, rows, right=frozenset({0}))]
    return []


def measured_on(part: TestPart | TestPartRecord, comparison: Comparison | ComparisonRecord | None) -> str:
    """One line on the test part that the metrics were measured on."""
    unit = part.unit.removesuffix("s")
    known = [f"split by {part.split}" if part.split else "", "" if part.seed is None else f"seed {part.seed}"]
    known.append(f"fingerprint {part.fingerprint}")
    parts = [f"tested on {counted(part.count, unit)} ({', '.join(filter(None, known))})"]
    if part.duplicates:
        parts.append(counted(part.duplicates, "duplicate"))
    labels = part.labels_without_test_rows
    if labels:
        named = ", ".join(map(repr, labels[:5])) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
        parts.append(f"without any {unit} of {named}")
    if part.on_both_sides:
        parts.append(f"{part.on_both_sides} of them also in the training part, which flatters the metrics")
    learned = part.learned_before or (comparison.learned if comparison is not None else None)
    if learned:
        parts.append(f"{learned} of them already learned by the model in use")
    return "; ".join(parts)


def _notes(check: BetterCheck) -> Iterator[str]:
    comparison = check.comparison
    if comparison is None:
        yield (
            f"{NAME}: the training reported no row-by-row comparison, so two values were compared, which may differ by "
            "chance"
        )
        return
    verdict = f"warning: {NAME} is undecided" if check.undecided else f"{NAME} {check.verdict}"
    yield f"{verdict}: {'; '.join(_parts(check, comparison))}"


def _parts(check: BetterCheck, comparison: Comparison) -> Iterator[str]:
    both = comparison.f1
    if comparison.reason:
        yield comparison.reason.rstrip(".")
    if both is not None:
        allowed = f", where a drop of {number(check.max_drop)} is allowed" if check.max_drop else ""
        yield (
            f"on {counted(comparison.rows, 'row')} the F1 (weighted avg) is {number(both.new)}, and {number(both.old)} "
            f"for the model in use: a difference of {signed(both.difference)} ({comparison.confidence:.0%} interval "
            f"{signed(both.low)} to {signed(both.high)}){allowed}"
        )
        old, new = comparison.only_old_right, comparison.only_new_right
        yield f"only the model in use is right on {old}, only the new one on {new}"
    if check.undecided and comparison.rows < FEWEST_ROWS:
        yield f"at least {FEWEST_ROWS} rows are needed"
    elif check.undecided and check.needed is not None:
        yield f"about {check.needed:,} rows would decide it"
    if comparison.learned is None:
        unknown = "it is unknown how many of these rows the model in use has learned, as its training did not say"
        yield f"{unknown}: train and promote a model to find out" if check.undecided else unknown
    elif comparison.learned:
        yield f"{comparison.learned} more test rows were left out, as the model in use has learned them"
