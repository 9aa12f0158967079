"""What a training was tested on, as it reports it (``test_part``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pytest_ibmodels.verdicts.reported import count, shown

_LONGEST = 200


@dataclass(frozen=True)
class TestPart:
    """The rows or documents that a model was measured on.

    Attributes:
        unit: `rows` or `documents`.
        fingerprint: hash of the keys of the test part: the same for the same rows or documents.
        seed: of the split; None if none was used.
        split: what the split goes by.
        duplicates: how many rows or documents were found more than once; None if nobody counted.
        on_both_sides: how many are learned from as well, so that metrics flatter; None if nobody counted.
        learned_before: how many the model in use has learned from; None if that is not known.
        labels_without_test_rows: labels, or fields, that nothing in the test part has.
    """

    __test__ = False  # no class of tests, whatever pytest makes of its name

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
    """Check and read a test part; no verdict hangs on it.

    Returns:
        The test part, and what is wrong with it, a sentence. Where it cannot be read it is None; where only a part of
        it cannot, that part is left out. Nothing is wrong with one that was not reported.
    """
    if reported is None:
        return None, ""
    if not isinstance(reported, Mapping):
        return None, f"it is {shown(reported)}, not an object"
    size, fingerprint, unit = count(reported.get("count")), reported.get("fingerprint"), reported.get("unit")
    if size is None:
        return None, f"its 'count' is {shown(reported.get('count'))}, not a whole number from 0"
    if not isinstance(fingerprint, str) or not fingerprint:
        return None, f"its 'fingerprint' is {shown(fingerprint)}, not a text"
    if unit not in ("rows", "documents"):
        return None, f"its 'unit' is {shown(unit)}, neither rows nor documents"
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
