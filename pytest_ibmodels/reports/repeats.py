"""Sentences on runs that train several times with different seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.reports.figures import counted, figures
from pytest_ibmodels.verdicts.metrics import ALL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_ibmodels.reports.record import RepeatRecord
    from pytest_ibmodels.verdicts.checks import MetricCheck

NOISY = "noisy"
"""First word of the sentence on a run whose repeats fall on both sides of a bound."""

_MOST_NAMED = 3


def noise_notes(checks: Sequence[MetricCheck]) -> Iterator[str]:
    """The sentence that a run is noisy, with the number of repeats that pass; nothing if it is not."""
    noisy = [check for check in checks if check.noisy]
    if not noisy:
        return
    judged = [check for check in checks if check.repeats]
    count = len(noisy[0].repeats)
    passed = sum(all(check.is_within(check.repeats[number]) for check in judged) for number in range(count))
    named = "; ".join(map(_both_sides, noisy[:_MOST_NAMED]))
    more = f"; and {len(noisy) - _MOST_NAMED} more" if len(noisy) > _MOST_NAMED else ""
    yield f"{NOISY}: {passed} of {count} repeats {'passes' if passed == 1 else 'pass'}; {named}{more}"


def trained_times(repeats: Sequence[RepeatRecord]) -> str:
    """How often a run trained, with seconds and seeds."""
    seeds = ", ".join(str(repeat.seed) for repeat in repeats)
    seconds = ", ".join("-" if repeat.seconds is None else f"{repeat.seconds:.1f}" for repeat in repeats)
    return f"trained {counted(len(repeats), 'time')} in {seconds} s, with the seeds {seeds}"


def jobs_line(repeats: Sequence[RepeatRecord]) -> str:
    """The jobs of a run that trained several times."""
    jobs = (f"{repeat.job_id or '-'}{' (re-attached)' if repeat.reattached else ''}" for repeat in repeats)
    return f"jobs {', '.join(jobs)}; inference serves the model of the first"


def _both_sides(check: MetricCheck) -> str:
    numbers = figures(check)
    bounds = [f"minimum of {numbers.minimum}"] if check.minimum is not None else []
    bounds += [f"maximum of {numbers.maximum}"] if check.maximum is not None else []
    name = check.metric if check.field == ALL else f"{check.metric} of {check.field}"
    return f"{name} falls on both sides of its {' and '.join(bounds)} ({numbers.repeats})"
