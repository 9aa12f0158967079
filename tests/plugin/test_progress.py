"""Progress of a waiting item: the words of a line, and a bar that is redrawn in place."""

from __future__ import annotations

import io

import pytest

from pytest_ibmodels.engine.case import Progress
from pytest_ibmodels.pytest.progress_bar import is_possible, progress_bar
from pytest_ibmodels.pytest.progress_text import ProgressText, RemainingTime, state_words
from pytest_ibmodels.redaction import remember
from pytest_ibmodels.spec import ModelTest
from pytest_ibmodels.spec.model_test import Minimum

TEXT = ProgressText("Receipts on e: training", "loss 0.2500", 0.25, 30.0, 90.0, "epoch 1 of 4", "", "1 more to train")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("progress", "metrics", "words"),
    [
        (Progress(state="STARTED"), {}, "STARTED"),
        (Progress(state="STARTED", repeats="1 of 3 repeats ended"), {}, "STARTED, 1 of 3 repeats ended"),
        (Progress(loss=0.25, metrics={"f1": {"Name": 0.5, "Total": 0.75}}), {}, "loss 0.2500, f1 Name 0.5000"),
        (
            Progress(metrics={"f1": {"Name": 0.5, "Total": 0.75}}),
            {"recall": {"Name": Minimum(0.5)}, "f1": {"Total": Minimum(0.5)}},
            "f1 Total 0.7500",
        ),
        (Progress(metrics={"f1": {"Name": "NaN"}, "accuracy": {"all": 0.9}}), {}, "accuracy 0.9000"),
        (Progress(state="STARTED", metrics={"f1": 7}), {}, "STARTED"),
    ],
)
def test_loss_and_metric_replace_the_state(
    progress: Progress, metrics: dict[str, dict[str, Minimum]], words: str
) -> None:
    test = ModelTest(name="T", env=("e",), line=1, ibannotator="p.ibannotator", time_limit=60, metrics=metrics)
    assert state_words(progress, test) == words


def test_the_time_that_is_left_falls_between_polls_and_needs_some_progress() -> None:
    remaining = RemainingTime()
    polls = [
        (None, 1.0),
        (0.01, 10.0),
        (0.25, 30.0),
        (0.25, 40.0),
        (0.25, 500.0),
        (0.5, 100.0),
        (1.0, 200.0),
        (1.5, 9.0),
    ]
    assert [remaining.seconds(*poll) for poll in polls] == [None, None, 90.0, 80.0, 0.0, 100.0, 0.0, None]


def test_a_line_has_no_message_of_the_job() -> None:
    assert TEXT.line() == "Receipts on e: training, loss 0.2500, 25%, 30 s, 1 more to train"


def test_the_words_of_a_bar_are_in_one_line_and_hide_secrets() -> None:
    remember("s3cret-of-the-bar")
    text = TEXT._replace(message="first\n\x1b[31msecond s3cret-of-the-bar " + "x" * 100)
    words = text.status()
    assert words.startswith("30 s, about 90 s left, loss 0.2500, 1 more to train, first second *** xxx")
    assert len(words) < 130
    assert words.isprintable()


def test_a_bar_is_redrawn_and_erased(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("CI", raising=False)
    config, out = pytester.parseconfig("-s"), Terminal()
    config.pluginmanager.register(pytest.TerminalReporter(config, out), "terminalreporter")
    assert is_possible(config)
    with monkeypatch.context() as patched:
        patched.setattr("sys.stdout", out)
        with progress_bar(config) as bar:
            bar.show(TEXT)
            size = len(out.getvalue())
            bar.show(TEXT)
            assert len(out.getvalue()) == size
            bar.show(TEXT._replace(fraction=0.5, state="[red]loss[/red] 0.1000"))
    written = out.getvalue()
    assert "25% 30 s, about 90 s left, loss 0.2500, 1 more to train, epoch 1 of 4" in written.replace(
        "\x1b[35m", ""
    ).replace("\x1b[0m", "")
    assert "[red]loss[/red] 0.1000" in written
    assert written.count("\n") == 0 or written.rstrip().endswith("\x1b[2K")


@pytest.mark.parametrize("variable", [("CI", "true"), ("TERM", "dumb")])
def test_ci_servers_and_plain_terminals_get_lines(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, variable: tuple[str, str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv(*variable)
    config = pytester.parseconfig()
    config.pluginmanager.register(pytest.TerminalReporter(config, Terminal()), "terminalreporter")
    assert not is_possible(config)
