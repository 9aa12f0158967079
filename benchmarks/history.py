"""Measure the trend alert on simulated histories: how often a drop is seen, and how often nothing is.

    python benchmarks/history.py [--histories 500]

A history has 12 to 60 runs around a mean between 0.80 and 0.95 with a standard deviation of 0.7 points, and then 8 runs
that are 2 points lower. The alert has to come within these 8 runs. Unchanged histories of 20 to 68 runs show the false
alerts, as a share of the runs that are judged, which are those from the twelfth on.

Values are used as drawn, and rounded to the rates that 100 and 20 documents can have. One of 20 documents is 5 points:
most drops of 2 points leave no trace in the rounded values, whatever the method, so that the goal there is a drop of
5 points, and the drop of 2 points is only shown. All seeds are fixed. Exits with 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_ibmodels.history.shifts import FEWEST_RUNS
from pytest_ibmodels.history.trend import all_alerts, new_drops

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED = 42
SPREAD = 0.007
AFTER = 8
MOST_FALSE, FEWEST_SEEN = 1 / 200, 0.9


def normal(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return rng.normal(0, SPREAD, count)


def wide(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return rng.normal(0, 5 * SPREAD, count)


def heavy_tailed(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Student's t with 3 degrees of freedom, scaled to the same standard deviation: outliers are common."""
    drawn: NDArray[np.float64] = rng.standard_t(3, count) * SPREAD / np.sqrt(3)
    return drawn


def history(rng: np.random.Generator, before: int, drop: float, documents: int | None, draw: Any) -> list[float]:
    """Values of one history: so many runs, and `AFTER` runs that are lower by a drop."""
    values = rng.uniform(0.80, 0.95) + draw(rng, before + AFTER)
    values[before:] -= drop
    if documents is not None:
        values = np.round(values * documents) / documents
    found: list[float] = np.clip(values, 0, 1).tolist()
    return found


def seen(histories: int, drop: float, documents: int | None, draw: Any, *key: int) -> tuple[float, float]:
    """Share of the histories whose drop is alerted within `AFTER` runs, and the median number of runs it takes."""
    rng = np.random.default_rng([SEED, *key])
    delays = []
    for _ in range(histories):
        before = int(rng.integers(12, 61))
        values = history(rng, before, drop, documents, draw)
        runs = [alert.run for alert in all_alerts({"": values})[""] if alert.run >= before]
        delays += [runs[0] - before + 1] if runs else []
    return len(delays) / histories, float(np.median(delays)) if delays else float("nan")


def false_alerts(histories: int, documents: int | None, draw: Any, *key: int) -> tuple[int, int]:
    """Number of alerts in unchanged histories, and number of runs that are judged."""
    rng = np.random.default_rng([SEED, *key])
    alerts = runs = 0
    for _ in range(histories):
        values = history(rng, int(rng.integers(12, 61)), 0.0, documents, draw)
        alerts += len(all_alerts({"": values})[""])
        runs += len(values) - FEWEST_RUNS + 1
    return alerts, runs


def false_drops(histories: int, documents: int | None, draw: Any, *key: int) -> tuple[int, int]:
    """Number of newest values below their prediction bound in unchanged histories of 6 to 11 runs, and of runs."""
    rng = np.random.default_rng([SEED, *key])
    drops = runs = 0
    for _ in range(histories):
        values = history(rng, FEWEST_RUNS - 1 - AFTER, 0.0, documents, draw)
        for count in range(6, FEWEST_RUNS):
            counts = {"": documents} if documents else {}
            drops += len(new_drops({"": values[:count]}, counts=counts))
            runs += 1
    return drops, runs


def reached(label: str, shown: str, *, is_good: bool, goal: str) -> bool:
    print(f"  {label:42} {shown:34} goal: {goal}{'' if is_good else ': MISSED'}", flush=True)
    return is_good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--histories", type=int, default=500)
    histories = parser.parse_args().histories
    started = time.perf_counter()
    good = True
    cases: list[tuple[str, int | None, Any]] = [
        ("as drawn", None, normal),
        ("heavy tails", None, heavy_tailed),
        ("on 100 documents", 100, normal),
        ("on 20 documents", 20, normal),
    ]
    print(f"drop alerted within {AFTER} runs ({histories} histories each)")
    for number, (name, documents, draw) in enumerate(cases):
        drop = 0.05 if documents == 20 else 0.02
        share, delay = seen(histories, drop, documents, draw, 0, number)
        shown = f"{share:6.1%}, after {delay:.0f} runs (median)"
        good &= reached(f"{drop * 100:.0f} points, {name}", shown, is_good=share >= FEWEST_SEEN, goal="at least 90 %")
    share, _ = seen(histories, 0.02, 20, normal, 1)
    reached("2 points, on 20 documents", f"{share:6.1%}", is_good=True, goal="none, see above")
    print(f"\nfalse alerts ({histories} unchanged histories each)")
    for number, (name, documents, draw) in enumerate([*cases, ("spread of 3.5 points", 100, wide)]):
        for kind, count in ((f"from {FEWEST_RUNS} runs on", false_alerts), ("6 to 11 runs", false_drops)):
            alerts, runs = count(histories, documents, draw, 2, number)
            shown = f"{alerts} in {runs} runs" + (f", 1 in {runs / alerts:.0f}" if alerts else "")
            # Prediction bounds assume a normal distribution; change points assume none.
            has_goal = count is false_alerts or draw is not heavy_tailed
            is_good = alerts <= MOST_FALSE * runs or not has_goal
            goal = "at most 1 in 200" if has_goal else "none, bounds are for normal values"
            good &= reached(f"{name}, {kind}", shown, is_good=is_good, goal=goal)
    print(f"\n{time.perf_counter() - started:.0f} s")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
