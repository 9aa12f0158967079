"""GitHub's job summary: Markdown, appended to the file that ``GITHUB_STEP_SUMMARY`` names.

Failures are annotated by pytest-github-actions-annotate-failures, from the location and the text of the items;
`github_annotations` adds trends and baselines.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from pytest_ibmodels.reports.baselines import HEADER, cells, sources, verdict_words
from pytest_ibmodels.reports.comparison import side_by_side
from pytest_ibmodels.reports.figures import counted, distinct_figures, figures, remark
from pytest_ibmodels.reports.repeats import NOISY
from pytest_ibmodels.reports.tables import clipped, plain
from pytest_ibmodels.reports.trends import trend_sentence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pytest_ibmodels.reports.comparison import SideBySideRow
    from pytest_ibmodels.reports.record import BaselineRecord, CheckRecord, InferenceRecord, RunRecord, TrainingRecord

MOST_BYTES = 1024 * 1024
"""GitHub drops the whole summary of a step if it is longer."""

_MOST_FAILURE_CHARACTERS = 20_000
_LEFT_OUT = "\n*The rest is left out: a summary may have 1 MiB.*\n"
_MOST_WORSE = 20
_SIGNS = {"passed": "✅", "failed": "❌", "xpassed": "❗"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~])")


def append_summary(path: Path, runs: Sequence[RunRecord]) -> None:
    """Append the summary to the file of the step, which stays below GitHub's limit.

    Raises:
        OSError: the file cannot be written.
    """
    size = path.stat().st_size if path.exists() else 0
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(summary(runs, MOST_BYTES - 1 - size))


def summary(runs: Sequence[RunRecord], room: int = MOST_BYTES - 1) -> str:
    """Markdown of verdicts, margins, environments side by side, and the texts of failures.

    Args:
        runs: records in the order in which they are shown.
        room: maximum length in bytes of UTF-8; the end is left out if it does not fit, and a last line says so.
    """
    kept: list[str] = []
    left = room - len(_LEFT_OUT)
    for block in _blocks(runs):
        left -= len(block.encode())
        if left < 0:
            kept.append(_LEFT_OUT if room > len(_LEFT_OUT) else "")
            break
        kept.append(block)
    return "".join(kept)


def _blocks(runs: Sequence[RunRecord]) -> Iterator[str]:
    """Parts of the summary that are kept or left out as a whole: lines, and texts of failures."""
    yield "## Model tests\n\n"
    yield from _table(("model test", "environment", "training", "inference", "seconds", "pages"), map(_verdicts, runs))
    yield from _baselines(runs)
    yield from _trends(runs)
    yield from _margins(runs)
    compared = side_by_side(runs)
    if compared.rows:
        yield "\n### Side by side, the worst in bold\n\n"
        yield from _table(
            ("model test", "field", "metric", *compared.environments), map(_side_by_side_row, compared.rows)
        )
    yield from _notes(runs)
    yield from _failures(runs)


def _verdicts(run: RunRecord) -> tuple[str, ...]:
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in run.seconds if value is not None)
    pages = ", ".join(f"[{name}]({address})" for name, address in run.links.items())
    return (
        _escaped(run.test),
        _escaped(run.environment),
        _verdict(run.training),
        _verdict(run.inference),
        seconds,
        pages,
    )


def _verdict(phase: TrainingRecord | InferenceRecord) -> str:
    words = phase.failure.kind if phase.outcome == "failed" and phase.failure is not None else phase.outcome
    reason = f" ({_escaped(clipped(phase.reason, 100))})" if phase.reason else ""
    return f"{_SIGNS.get(phase.outcome, '')} {words}{reason}".strip()


def _baselines(runs: Sequence[RunRecord]) -> Iterator[str]:
    """A section for each baseline, with the runs that were held to it."""
    held = [(run, run.training.baseline) for run in runs if run.training.baseline is not None]
    for name in dict.fromkeys(baseline.name for _, baseline in held):
        section = [both for both in held if both[1].name == name]
        yield f"\n### Compared with {_escaped(name)}\n\n"
        rows = [_change_row(run, cells(change)) for run, baseline in section for change in baseline.changes]
        if rows:
            yield from _table(("model test", "environment", *HEADER), rows)
            yield "\n"
        yield from (_baseline_line(*both) for both in section)
        yield from (_worse_documents(*both) for both in section if both[1].worse_count)


def _change_row(run: RunRecord, change: Sequence[str]) -> tuple[str, ...]:
    *texts, verdict = map(_escaped, change)
    return (_escaped(run.test), _escaped(run.environment), *texts, _bold(verdict, bold=verdict != "holds"))


def _baseline_line(run: RunRecord, baseline: BaselineRecord) -> str:
    sign = {"holds": "✅", "worse": "❌", "undecided": "⚠️" if baseline.passed else "❌"}[baseline.outcome]
    sentences = (verdict_words(baseline), *sources(baseline), *baseline.remarks)
    return f"- {sign} {_escaped(run.title)}: {_escaped('; '.join(sentences))}\n"


def _worse_documents(run: RunRecord, baseline: BaselineRecord) -> str:
    title = f"{run.title}: {counted(baseline.worse_count, 'document')} or rows got worse"
    lines = [f"- {_escaped(one.document)}: {_escaped(', '.join(one.fields))}" for one in baseline.worse[:_MOST_WORSE]]
    if baseline.worse_count > len(lines):
        lines.append(f"- and {baseline.worse_count - len(lines)} more")
    listed = "\n".join(lines)
    return f"\n<details><summary>{html.escape(title)}</summary>\n\n{listed}\n\n</details>\n"


def _trends(runs: Sequence[RunRecord]) -> Iterator[str]:
    """An alert of GitHub's Markdown, as a whole: without its first line the others are no alert."""
    trends = [(run, trend) for run in runs for trend in run.training.trends]
    if trends:
        lines = [f"> - {_escaped(run.title)}: {_escaped(trend_sentence(trend))}\n" for run, trend in trends]
        yield f"\n> [!WARNING]\n> Metrics that got worse over several runs:\n>\n{''.join(lines)}"


def _margins(runs: Sequence[RunRecord]) -> Iterator[str]:
    """Table of all checks, without the columns that would be empty."""
    checks = [(run, check) for run in runs for check in (*run.training.checks, *run.inference.checks)]
    if not checks:
        return
    with_maximum = any(check.maximum is not None for _, check in checks)
    with_interval = any(check.interval or remark(check) for _, check in checks)
    header = ["model test", "environment", "metric", "field", "observed", "minimum"]
    with_repeats = any(check.repeats for _, check in checks)
    header += ["maximum"] * with_maximum + ["margin"] + ["95 % interval"] * with_interval + ["repeats"] * with_repeats
    yield "\n### Margins\n\n"
    yield from _table(header, (_margin(*both, with_maximum, with_interval, with_repeats) for both in checks))


def _margin(
    run: RunRecord, check: CheckRecord, with_maximum: bool, with_interval: bool, with_repeats: bool
) -> tuple[str, ...]:
    numbers = figures(check)
    margin = _escaped(check.problem if check.margin is None and check.problem else numbers.margin)
    return (
        *map(_escaped, (run.test, run.environment, check.metric, check.field)),
        numbers.observed,
        numbers.minimum,
        *([numbers.maximum] if with_maximum else []),
        _bold(margin, bold=not check.passed),
        *([_escaped(numbers.interval)] if with_interval else []),
        *([numbers.repeats] if with_repeats else []),
    )


def _notes(runs: Sequence[RunRecord]) -> Iterator[str]:
    for title, starts in (("Noise", NOISY), ("Against the models in use", ("warning:", "better_than_current"))):
        notes = [(run, note) for run in runs for note in run.notes if note.startswith(starts)]
        if notes:
            yield f"\n### {title}\n\n"
            yield from (f"- {_escaped(run.title)}: {_escaped(note)}\n" for run, note in notes)


def _side_by_side_row(row: SideBySideRow) -> tuple[str, ...]:
    values = (_bold(text, bold=index in row.worst) for index, text in enumerate(distinct_figures(row.observed)))
    return (_escaped(row.test), _escaped(row.field), _escaped(row.metric), *values)


def _failures(runs: Sequence[RunRecord]) -> Iterator[str]:
    for run in runs:
        for phase, record in (("training", run.training), ("inference", run.inference)):
            if record.outcome == "failed" and record.failure is not None:
                title = f"{run.title}: {phase}: {record.failure.kind}"
                text = clipped(plain(record.failure.text), _MOST_FAILURE_CHARACTERS)
                fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
                fenced = f"{fence}text\n{text}\n{fence}"
                yield f"\n<details><summary>{html.escape(title)}</summary>\n\n{fenced}\n\n</details>\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield _row([_escaped(cell) for cell in header]) + _row(["---"] * len(header))
    yield from map(_row, rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(plain(text).split()))


def _bold(text: str, *, bold: bool) -> str:
    return f"**{text}**" if bold else text
