"""Intervals of metrics, and the comparison with the model in use, computed from predictions in pure Python."""

from __future__ import annotations

import math
import random
from collections import Counter
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Kinds = Counter[tuple[str, ...]]
    Value = Callable[[Kinds], float | None]

CONFIDENCE, DIFFERENCE_CONFIDENCE = 0.95, 0.9
_DRAWS = 1_000_000
"""Most rows drawn for all resamples of a bootstrap."""
_AGREES = 1e-6


def wilson(successes: float, trials: float) -> tuple[float, float]:
    """Return the two-sided 95 % Wilson interval of a rate."""
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    rate, spread = successes / trials, z * z / trials
    middle = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(rate * (1 - rate) / trials + spread / (4 * trials))
    return max(0.0, min(middle - half, rate)), min(1.0, max(middle + half, rate))


def scores(kinds: Kinds, column: int = 1) -> dict[str, dict[str, tuple[float, float]]]:
    """Return metric -> field -> numerator and denominator, of rows (expected, predicted, ...) with their counts."""
    expected, predicted, both = Counter[str](), Counter[str](), Counter[str]()
    for kind, count in kinds.items():
        expected[kind[0]] += count
        predicted[kind[column]] += count
        both[kind[0]] += count * (kind[0] == kind[column])
    labels, total = sorted({*expected, *predicted}), sum(expected.values())
    shares = {
        "precision": {label: (both[label], predicted[label]) for label in labels},
        "recall": {label: (both[label], expected[label]) for label in labels},
        "f1": {label: (2 * both[label], expected[label] + predicted[label]) for label in labels},
    }
    found: dict[str, dict[str, tuple[float, float]]] = {
        name: {"all": (sum(both.values()), total)} for name in ("accuracy", "exact_match")
    }
    for metric, fields in shares.items():
        rates = {label: over / under if under else 0.0 for label, (over, under) in fields.items()}
        weighted = sum(rates[label] * expected[label] for label in labels)
        found[metric] = {**fields, "macro avg": (sum(rates.values()), len(labels)), "weighted avg": (weighted, total)}
    return found


def _value(kinds: Kinds, metric: str, field: str, column: int = 1) -> float | None:
    over, under = scores(kinds, column).get(metric, {}).get(field, (0.0, 0.0))
    return over / under if under else None


def intervals(metrics: Mapping[str, Any], pairs: Sequence[tuple[str, str]], seed: int) -> dict[str, Any]:
    """Return the 95 % intervals of the metrics that the predictions give, too: a share's by Wilson, others' by bootstrap.

    Args:
        metrics: metrics as reported; one that differs from what the predictions give has no interval.
        pairs: expected and predicted label of each row.
        seed: seed of the bootstrap.
    """
    kinds: Kinds = Counter(pairs)
    known = scores(kinds) if pairs else {}
    found: dict[str, Any] = {}
    sampled: list[tuple[str, str, float]] = []
    for metric, given in metrics.items():
        for field, value in (given if isinstance(given, dict) else {"all": given}).items():
            over, under = known.get(metric, {}).get(field, (0.0, 0.0))
            if not under or abs(over / under - value) > _AGREES:
                continue
            if metric == "f1" or field.endswith(" avg"):
                sampled.append((metric, field, value))
            else:
                found.setdefault(metric, {})[field] = wilson(over, under)
    resamples = [scores(one) for one in _resamples(kinds, seed)] if sampled else []
    for metric, field, value in sampled:
        drawn = [one[metric].get(field, (0.0, 0.0)) for one in resamples]
        low, high = _percentiles([over / under for over, under in drawn if under], CONFIDENCE)
        if high - low < 1e-12:  # every row is right, or wrong
            low, high = wilson(*known["accuracy"]["all"])
        found.setdefault(metric, {})[field] = (min(low, value), max(high, value))
    return {name: fields["all"] if not isinstance(metrics[name], dict) else fields for name, fields in found.items()}


def comparison(
    rows: Sequence[tuple[str, str, str]], texts: Sequence[str], learned: int | None, seed: int
) -> dict[str, Any]:
    """Return the comparison of two models by rows, as `better_than_current` reads it.

    Args:
        rows: expected label, label of the new model, and label of the model in use, of each row.
        texts: input of each row, for people.
        learned: number of rows left out, as the model in use has learned them; None if unknown.
        seed: seed of the bootstrap.
    """
    kinds: Kinds = Counter(rows)
    only_new = sum(count for (expected, new, old), count in kinds.items() if new == expected != old)
    only_old = sum(count for (expected, new, old), count in kinds.items() if old == expected != new)
    reason = "" if rows else "Every test row was learned by the model in use, so none was compared."
    facts = {"rows": len(rows), "learned": learned or 0, "reason": reason, "confidence": DIFFERENCE_CONFIDENCE}
    facts = {**facts, "learned": learned, "only_old_right": only_old, "only_new_right": only_new}
    worse = [
        {"row": number, "text": text[:200], "label": expected, "old": old, "new": new}
        for number, ((expected, new, old), text) in enumerate(zip(rows, texts, strict=True), 1)
        if old == expected != new
    ]
    resamples = list(_resamples(kinds, seed)) if rows else []
    for metric, field in (("accuracy", "all"), ("f1", "weighted avg")):
        new, old = _value(kinds, metric, field, 1), _value(kinds, metric, field, 2)
        if new is None or old is None:
            facts[metric] = None
            continue
        drawn = [(_value(one, metric, field, 1) or 0.0) - (_value(one, metric, field, 2) or 0.0) for one in resamples]
        low, high = _percentiles(drawn, DIFFERENCE_CONFIDENCE)
        difference = new - old
        facts[metric] = {"old": old, "new": new, "difference": difference, "low": min(low, difference)}
        facts[metric]["high"] = max(high, difference)
    if facts["accuracy"]:
        facts["accuracy"]["p_value"] = mcnemar(only_old, only_new)
    return {**facts, "worse": worse[:50]}


def mcnemar(only_old_right: int, only_new_right: int) -> float:
    """Return the two-sided p-value of McNemar's exact test."""
    total, most = only_old_right + only_new_right, max(only_old_right, only_new_right)
    return min(1.0, 2 * sum(math.comb(total, k) for k in range(most, total + 1)) / 2**total) if total else 1.0


def _resamples(kinds: Kinds, seed: int) -> Iterable[Kinds]:
    """Draw bootstrap resamples of the rows: 2,000, or fewer of more than 500 rows, but at least 200."""
    generator, total = random.Random(seed), sum(kinds.values())
    names, weights = list(kinds), list(kinds.values())
    for _ in range(min(2000, max(200, _DRAWS // total))):
        yield Counter(generator.choices(names, weights, k=total))


def _percentiles(values: Sequence[float], confidence: float) -> tuple[float, float]:
    ordered = sorted(values) or [0.0]
    last = len(ordered) - 1
    low, high = last * (1 - confidence) / 2, last * (1 + confidence) / 2
    return _at(ordered, low), _at(ordered, high)


def _at(ordered: Sequence[float], position: float) -> float:
    below, above = ordered[math.floor(position)], ordered[math.ceil(position)]
    return below + (above - below) * (position - math.floor(position))
