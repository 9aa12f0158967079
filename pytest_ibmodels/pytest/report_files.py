"""Reports that are files, written once at the end of the session by the process that the user started."""

from __future__ import annotations

import os
import pkgutil
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.pytest.history_access import history_of
from pytest_ibmodels.pytest.reporting import outcomes_of
from pytest_ibmodels.reports.files import write_atomically
from pytest_ibmodels.reports.formats import FORMATS
from pytest_ibmodels.reports.tables import harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from pytest_ibmodels.reports.record import ModelReport, RunRecord

    Renderer = Callable[[ModelReport], str]


def register(config: pytest.Config) -> None:
    """Write the requested report files at the end of this session; xdist's workers write none.

    Raises:
        pytest.UsageError: a report cannot be written.
    """
    if hasattr(config, "workerinput"):
        return
    reports = {path: _renderer(path.suffix) for path in _report_paths(config)}
    files = ReportFiles(config, reports, _junit_path(config), _job_summary_path())
    if files.are_requested:
        config.pluginmanager.register(files, "ibmodels-report-files")


class ReportFiles:
    """Writes the reports.

    Args:
        reports: file of ``--model-report`` → its renderer.
        junit: file of pytest's ``--junitxml``, which is completed; None without that option.
        job_summary: file of GitHub's job summary, to which a summary is appended; None outside GitHub.
    """

    def __init__(
        self, config: pytest.Config, reports: dict[Path, Renderer], junit: Path | None, job_summary: Path | None
    ) -> None:
        self.are_requested = bool(reports or junit or job_summary)
        self._config = config
        self._started = datetime.now(UTC)
        self._reports = reports
        self._junit = junit
        self._job_summary = job_summary
        self._messages: list[str] = []

    # Inside the wrapper that prints the terminal's summary, and after the hooks that are no wrappers.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> Generator[None]:
        yield
        if self._config.getoption("collectonly"):
            return
        try:
            self._write(exitstatus)
        except Exception as error:  # noqa: BLE001 - an error in a report must not hide the session's results
            self._messages.append(f"pytest-ibmodels: a report could not be made: {type(error).__name__}: {error}")

    def _write(self, exitstatus: int) -> None:
        runs = outcomes_of(self._config).sorted_runs()
        if self._reports:
            report = self._report(exitstatus, runs)
            self._messages += [_write_report(report, path, render) for path, render in self._reports.items()]
        # A report that cannot be written is announced and leaves the session's exit code unchanged.
        if runs and self._junit is not None and self._junit.is_file():
            self._messages += _complete_junit(self._junit, runs)
        if runs and self._job_summary is not None:
            self._messages += _append_summary(self._job_summary, runs)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for message in self._messages:
            terminalreporter.write_line(harmless(message))

    def _report(self, exitstatus: int, runs: Sequence[RunRecord]) -> ModelReport:
        from pytest_ibmodels.reports.record import ModelReport, SessionRecord

        origin = history_of(self._config).origin()
        session = SessionRecord(
            started=self._started,
            finished=datetime.now(UTC),
            exit_status=int(exitstatus),
            plugin=version("pytest-ibmodels"),
            pytest=pytest.__version__,
            python=platform.python_version(),
            commit=origin.commit,
            branch=origin.branch,
            is_dirty=origin.is_dirty,
        )
        return ModelReport(session=session, runs=tuple(runs))


def _junit_path(config: pytest.Config) -> Path | None:
    given: str | None = config.getoption("xmlpath", None)
    return Path(os.path.expandvars(given)).expanduser().absolute() if given else None


def _job_summary_path() -> Path | None:
    path = os.environ.get("GITHUB_STEP_SUMMARY", "")
    return Path(path) if os.environ.get("GITHUB_ACTIONS") and path else None


def _report_paths(config: pytest.Config) -> list[Path]:
    """Return the files of ``--model-report``, relative to the folder where pytest was started; create their folders.

    Raises:
        pytest.UsageError: a file cannot be written there, or its suffix is no known format.
    """
    given: list[str] = config.getoption("ibmodels_reports")
    return [_report_path(config.invocation_params.dir, name) for name in given]


def _report_path(folder: Path, given: str) -> Path:
    path = folder / given
    if path.suffix not in FORMATS:
        known = " or ".join(FORMATS)
        raise pytest.UsageError(f"--model-report {given}: unknown format; the name of the file has to end in {known}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise pytest.UsageError(f"--model-report {given}: its folder cannot be made: {error.strerror}") from None
    if path.is_dir():
        raise pytest.UsageError(f"--model-report {given}: this is a folder, not a file")
    if not os.access(path.parent, os.W_OK):
        raise pytest.UsageError(f"--model-report {given}: its folder is not writable")
    return path


def _renderer(suffix: str) -> Renderer:
    try:
        renderer: Renderer = pkgutil.resolve_name(FORMATS[suffix].renderer)
    except ModuleNotFoundError as error:
        raise pytest.UsageError(
            f"--model-report FILE{suffix} needs a package that is not installed ({error.name}): "
            "pip install 'pytest-ibmodels[report]', or pip install -e '.[report]' in a clone"
        ) from None
    return renderer


def _write_report(report: ModelReport, path: Path, render: Renderer) -> str:
    try:
        write_atomically(path, render(report))
    except OSError as error:
        return f"model report: {path} could not be written: {error.strerror}"
    return f"model report: {path}"


def _complete_junit(junit: Path, runs: Sequence[RunRecord]) -> list[str]:
    from xml.etree.ElementTree import ParseError

    from pytest_ibmodels.reports.junit import complete

    try:
        text = complete(junit.read_text(encoding="utf-8"), {run.nodeid: run for run in runs})
        write_atomically(junit, text)
    except (OSError, ParseError) as error:
        return [f"JUnit file: {junit} is as pytest wrote it, kinds of failures could not be added: {error}"]
    return []


def _append_summary(job_summary: Path, runs: Sequence[RunRecord]) -> list[str]:
    from pytest_ibmodels.reports.github import append_summary

    try:
        append_summary(job_summary, runs)
    except OSError as error:
        return [f"job summary: {job_summary} could not be written: {error.strerror}"]
    return []
