"""The test part of a training, as the training reports it (``test_part``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_ibmodels.verdicts.reported import count, excerpt

_LONGEST = 200


@dataclass(frozen=True)
class TestPart:
    """The rows or documents that a model was measured on.

    Attributes:
        unit: `rows` or `documents`.
        fingerprint: hash of the keys of the test part: equal for the same rows or documents.
        seed: seed of the split; None if none was used.
        split: criterion of the split.
        duplicates: number of rows or documents found more than once; None if not counted.
        on_both_sides: number of them that are in the training part as well, so that metrics flatter; None if not
            counted.
        learned_before: number of them that the model in use has learned from; None if unknown.
        labels_without_test_rows: labels, or fields, that are missing in the test part.
    """

    __test__ = False  # not a test class, in spite of its name

    unit: str
    count: int
    fingerprint: str
    seed: int | None = None
    split: str = ""
    duplicates: int | None = None
    on_both_sides: int | None = None
    learned_before: int | None = None
    labels_without_test_rows: tuple[str, ...] = ()


def read_test_part(reported: object) -> tuple[TestPart | None, str]:
    """Parse and check a reported test part, which no verdict depends on.

    Returns:
        The test part, None if it is missing or malformed, and one sentence on what is malformed, else empty. Optional
        parts that are malformed are left out.
    """
    if reported is None:
        return None, ""
    if not isinstance(reported, Mapping):
        return None, f"it is {excerpt(reported)}, not an object"
    size, fingerprint, unit = count(reported.get("count")), reported.get("fingerprint"), reported.get("unit")
    if size is None:
        return None, f"its 'count' is {excerpt(reported.get('count'))}, not a whole number from 0"
    if not isinstance(fingerprint, str) or not fingerprint:
        return None, f"its 'fingerprint' is {excerpt(fingerprint)}, not a string"
    if unit not in ("rows", "documents"):
        return None, f"its 'unit' is {excerpt(unit)}, neither rows nor documents"
    seed, split, labels = (reported.get(name) for name in ("seed", "split", "labels_without_test_rows"))
    part = TestPart(
        unit=str(unit),
        count=size,
        fingerprint=fingerprint[:_LONGEST],
        seed=seed if isinstance(seed, int) and not isinstance(seed, bool) else None,
        split=split[:_LONGEST] if isinstance(split, str) else "",
        duplicates=count(reported.get("duplicates")),
        on_both_sides=count(reported.get("on_both_sides")),
        learned_before=count(reported.get("learned_before")),
        labels_without_test_rows=tuple(map(str, labels)) if isinstance(labels, list | tuple) else (),
    )
    return part, ""
