"""The wording of the new model against the one in use, and of what both were tested on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.reports.figures import number, signed
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
    """Sentences on the new model against the one in use; none where nobody asked for that, or nothing can be read."""
    for check in checks:
        if isinstance(check, BetterCheck) and check.verdict is not None:
            yield from _notes(check)


def worse_rows(checks: Sequence[MetricCheck]) -> list[str]:
    """A table of the first rows that got worse, for a new model that is not as good as the one in use."""
    for check in checks:
        if isinstance(check, BetterCheck) and not check.passed and check.comparison and check.comparison.worse:
            worse = check.comparison.worse
            rows = [
                (str(one.row), repr(one.label), repr(one.old), repr(one.new), clipped(repr(one.text), 70))
                for one in worse[:_WORSE_SHOWN]
            ]
            header = ("row", "label", "in use", "new", "text")
            return ["rows that got worse, the first of them:", *table(header, rows, right=frozenset({0}))]
    return []


def measured_on(part: TestPart | TestPartRecord, comparison: Comparison | ComparisonRecord | None) -> str:
    """What the metrics were measured on, in one line."""
    unit = part.unit.removesuffix("s") if part.count == 1 else part.unit
    known = [f"split by {part.split}" if part.split else "", "" if part.seed is None else f"seed {part.seed}"]
    known.append(f"fingerprint {part.fingerprint}")
    parts = [f"tested on {part.count} {unit} ({', '.join(filter(None, known))})"]
    if part.duplicates:
        parts.append(f"{part.duplicates} duplicate{'s' * (part.duplicates != 1)}")
    labels = part.labels_without_test_rows
    if labels:
        named = ", ".join(map(repr, labels[:5])) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
        parts.append(f"without any {part.unit.removesuffix('s')} of {named}")
    if part.on_both_sides:
        parts.append(f"{part.on_both_sides} of them learned from as well, which flatters the metrics")
    learned = part.learned_before or (comparison.learned if comparison is not None else None)
    if learned:
        parts.append(f"{learned} of them learned before by the model in use")
    return "; ".join(parts)


def _notes(check: BetterCheck) -> Iterator[str]:
    comparison = check.comparison
    if comparison is None:
        yield (
            f"{NAME}: the training reported no comparison row by row, so two values were compared, which may differ by "
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
        rows = f"{comparison.rows} row{'s' * (comparison.rows != 1)}"
        allowed = f", of which {signed(-check.max_drop)} is allowed" if check.max_drop else ""
        yield (
            f"on {rows} the F1 (weighted avg) is {number(both.new)}, of the model in use {number(both.old)}: a "
            f"difference of {signed(both.difference)} ({comparison.confidence:.0%} interval {signed(both.low)} to "
            f"{signed(both.high)}){allowed}"
        )
        old, new = comparison.only_old_right, comparison.only_new_right
        yield f"only the model in use is right on {old}, only the new one on {new}"
    if check.undecided and comparison.rows < FEWEST_ROWS:
        yield f"at least {FEWEST_ROWS} rows are needed"
    elif check.undecided and check.needed is not None:
        yield f"about {check.needed:,} rows would decide it"
    if comparison.learned is None:
        unknown = "how many of these rows the model in use has learned is not known, as an older version trained it"
        yield f"{unknown}: train and promote a model to be able to tell" if check.undecided else unknown
    elif comparison.learned:
        yield f"{comparison.learned} more test rows were left out, as the model in use has learned them"
