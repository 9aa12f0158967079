"""Progress bar, redrawn in one line of the terminal while an item waits for a job."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from pytest_ibmodels.pytest.progress import uncaptured

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from pytest_ibmodels.pytest.progress_text import ProgressText

_BAR_WIDTH = 10


def is_possible(config: pytest.Config) -> bool:
    """Return whether this process may redraw a line: pytest writes to a terminal, and no worker or CI server does."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput") or config.getoption("numprocesses", None):
        return False
    is_plain = os.environ.get("CI") or os.environ.get("TERM", "dumb") in {"dumb", "unknown"}
    return bool(reporter.isatty) and not is_plain


@contextlib.contextmanager
def progress_bar(config: pytest.Config) -> Iterator[ProgressBar]:
    """Return a bar that is erased at the end."""
    bar = ProgressBar(config)
    try:
        yield bar
    finally:
        bar.erase()


class ProgressBar:
    """One line with a bar, drawn at the first call of :meth:`show`."""

    def __init__(self, config: pytest.Config) -> None:
        # Imported here, since most sessions draw no bar.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
        from rich.table import Column

        self._config = config
        # Not through pytest's writer, which would count the codes that move the cursor as part of its line. The console
        # writes to what `sys.stdout` is at that time: the terminal, as long as output is not captured.
        console = Console(force_terminal=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(_BAR_WIDTH),
            TaskProgressColumn(),
            # What does not fit is cut here, and the bar keeps its width.
            TextColumn("{task.fields[status]}", markup=False, table_column=Column(no_wrap=True, ratio=1)),
            console=console,
            expand=True,
            auto_refresh=False,  # a thread would write while the output of a test is captured
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("", total=None, status="")
        self._shown: object = None

    def show(self, text: ProgressText) -> None:
        """Draw the bar, if anything on it has changed."""
        shown = (text.heading(), text.status(), text.fraction)
        if shown == self._shown:
            return
        is_first, self._shown = self._shown is None, shown
        self._progress.update(
            self._task,
            description=shown[0],
            total=None if text.fraction is None else 1.0,
            completed=text.fraction or 0.0,
            status=shown[1],
        )
        with uncaptured(self._config):
            if is_first:
                reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
                reporter.ensure_newline()
                reporter.flush()
                self._progress.start()
            else:
                self._progress.refresh()

    def erase(self) -> None:
        """Remove the bar from the terminal."""
        if self._shown is not None:
            self._shown = None
            with uncaptured(self._config):
                self._progress.stop()
