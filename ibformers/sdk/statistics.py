"""95 % intervals of metrics, computed from predictions in pure Python."""

from __future__ import annotations

import math
import random
from collections import Counter
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Kinds = Counter[tuple[str, str]]
    Share = tuple[float, float]

MACRO, WEIGHTED = "macro avg", "weighted avg"
_CONFIDENCE = 0.95
_DRAWS = 1_000_000
"""Most rows drawn for all resamples of a bootstrap."""
_ROUNDING = 1e-6


def wilson(successes: float, trials: float) -> Share:
    """Return the two-sided Wilson interval of a rate."""
    z = NormalDist().inv_cdf((1 + _CONFIDENCE) / 2)
    rate, spread = successes / trials, z * z / trials
    middle = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(rate * (1 - rate) / trials + spread / (4 * trials))
    return max(0.0, min(middle - half, rate)), min(1.0, max(middle + half, rate))


def intervals(metrics: Mapping[str, Any], pairs: Sequence[tuple[str, str]], seed: int) -> dict[str, Any]:
    """Return the interval of each metric that the predictions give, too: Wilson for a share, bootstrap for the others.

    Args:
        metrics: metrics as reported; one that differs from what the predictions give has no interval.
        pairs: expected and predicted label of each row.
        seed: seed of the bootstrap.
    """
    kinds: Kinds = Counter(pairs)
    known = _shares(kinds) if pairs else {}
    resamples: list[dict[str, dict[str, Share]]] = []
    found: dict[str, Any] = {}
    for metric, given in metrics.items():
        for field, value in (given if isinstance(given, dict) else {"all": given}).items():
            over, under = known.get(metric, {}).get(field, (0.0, 0.0))
            if not under or abs(over / under - value) > _ROUNDING:
                continue
            if metric in {"f1", "value_f1"} or field in {MACRO, WEIGHTED}:
                resamples = resamples or [_shares(one) for one in _resamples(kinds, seed)]
                low, high = _percentiles([one.get(metric, {}).get(field, (0.0, 0.0)) for one in resamples])
                if high - low < _ROUNDING:  # every row is right, or none is
                    is_average = field in {MACRO, WEIGHTED}
                    low, high = wilson(*known["accuracy"]["all"]) if is_average else wilson(over / 2, under - over / 2)
                low, high = min(low, value), max(high, value)
            else:
                low, high = wilson(over, under)
            found.setdefault(metric, {})[field] = (low, high)
    return {name: fields if isinstance(metrics[name], dict) else fields["all"] for name, fields in found.items()}


def _shares(kinds: Kinds) -> dict[str, dict[str, Share]]:
    """Return metric -> field -> numerator and denominator, of the number of rows of each kind."""
    expected, predicted, both = Counter[str](), Counter[str](), Counter[str]()
    for (right, guess), count in kinds.items():
        expected[right] += count
        predicted[guess] += count
        both[right] += count * (right == guess)
    total = sum(expected.values())
    found: dict[str, dict[str, Share]] = {
        name: {"all": (sum(both.values()), total)} for name in ("accuracy", "exact_match")
    }
    # A text is a value; an empty text is none.
    right_values = sum(both.values()) - both[""]
    found["value_f1"] = {"all": (2 * right_values, 2 * total - expected[""] - predicted[""])}
    for metric, under in (("precision", predicted), ("recall", expected), ("f1", expected + predicted)):
        shares = {label: ((1 + (metric == "f1")) * both[label], under[label]) for label in under}
        rates = {label: over / of for label, (over, of) in shares.items() if of and label in expected}
        weighted = sum(rate * expected[label] for label, rate in rates.items())
        averages = {MACRO: (sum(rates.values()), len(expected)), WEIGHTED: (weighted, total)}
        found[metric] = {**shares, **averages}
    return found


def _resamples(kinds: Kinds, seed: int) -> Iterator[Kinds]:
    """Draw bootstrap resamples of the rows: 2,000, fewer of more than 500 rows, and at least 200."""
    generator, total = random.Random(seed), kinds.total()  # noqa: S311 - reproducible, not secret
    names, weights = list(kinds), list(kinds.values())
    for _ in range(min(2000, max(200, _DRAWS // total))):
        yield Counter(generator.choices(names, weights, k=total))


def _percentiles(shares: Sequence[Share]) -> Share:
    ordered = sorted(over / under for over, under in shares if under) or [0.0]
    last = len(ordered) - 1
    return ordered[round(last * (1 - _CONFIDENCE) / 2)], ordered[round(last * (1 + _CONFIDENCE) / 2)]
