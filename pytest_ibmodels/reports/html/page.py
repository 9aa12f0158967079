"""The page: a template filled with the record of a session."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from pytest_ibmodels.reports.comparison import side_by_side
from pytest_ibmodels.reports.html.rendering import render
from pytest_ibmodels.reports.html.views import RunView, run_view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_ibmodels.reports.record import ModelReport

_EXIT = {
    0: "all passed",
    1: "some failed",
    2: "interrupted",
    3: "an internal error",
    4: "a mistake in the command line",
    5: "no tests were collected",
}


def page(report: ModelReport) -> str:
    """The page of a report, as one HTML document that refers to nothing outside itself.

    All texts from environments (names, texts, logs) are escaped; as a second barrier, the content security policy of
    the page forbids scripts and requests.
    """
    runs = [run_view(run, number) for number, run in enumerate(report.runs, start=1)]
    return render(
        "page.html",
        session=report.session,
        seconds=(report.session.finished - report.session.started).total_seconds(),
        headline=_headline(runs),
        tone=_tone(runs),
        runs=runs,
        exit_status=_EXIT.get(report.session.exit_status, f"exit status {report.session.exit_status}"),
        side_by_side=side_by_side(report.runs),
    )


def _headline(runs: Sequence[RunView]) -> str:
    if not runs:
        return "No model test ran"
    count = Counter(run.outcome.word for run in runs)
    total = len(runs)
    word = "failed" if count["failed"] else "passed" if count["passed"] else runs[0].outcome.word
    if count[word] == total:
        return f"All {total} runs {word}" if total > 1 else f"The run {word}" if word != "not run" else "Not run"
    return f"{count[word]} of {total} runs {word}"


def _tone(runs: Sequence[RunView]) -> str:
    tones = {run.outcome.tone for run in runs}
    return "bad" if "bad" in tones else "good" if "good" in tones else "quiet"
