"""The reports that are files: written once, at the end of the session, by the process that the user started."""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.pytest.reporting import outcomes_of
from pytest_ibmodels.reports.tables import harmless

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from pytest_ibmodels.reports.record import ModelReport, RunRecord

_HTML = "pytest_ibmodels.reports.html"
_SUFFIXES = (".json", ".html")


def register(config: pytest.Config) -> None:
    """Have report files written at the end of this session, if any are asked for; xdist's workers write none.

    Raises:
        pytest.UsageError: a report could not be written at the end.
    """
    if hasattr(config, "workerinput"):
        return
    files = ReportFiles(config, report_paths(config), _junit_path(config), _job_summary_path())
    if files.are_wanted:
        config.pluginmanager.register(files, "ibmodels-report-files")


class ReportFiles:
    """Writes the reports.

    Args:
        reports: what ``--model-report`` asks for.
        junit: the file that pytest's ``--junitxml`` writes, which is completed.
        job_summary: the file to which GitHub's job summary is appended.
    """

    def __init__(
        self, config: pytest.Config, reports: tuple[Path, ...], junit: Path | None, job_summary: Path | None
    ) -> None:
        self.are_wanted = bool(reports or junit or job_summary)
        self._config = config
        self._started = datetime.now(UTC)
        self._reports = reports
        self._junit = junit
        self._job_summary = job_summary
        self._told: list[str] = []
        if any(path.suffix == ".html" for path in reports):
            _check_plots()

    # Inside the wrapper that prints the terminal's summary, and after the hooks that are no wrappers.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> Generator[None]:
        yield
        if self._config.getoption("collectonly"):
            return
        try:
            self._write(exitstatus)
        except Exception as error:  # noqa: BLE001 - a fault in here must not end the session in place of its results
            self._told.append(f"pytest-ibmodels: a report could not be made: {type(error).__name__}: {error}")

    def _write(self, exitstatus: int) -> None:
        runs = outcomes_of(self._config).sorted_runs()
        if self._reports:
            report = self._report(exitstatus, runs)
            self._told += [_written(report, path) for path in self._reports]
        # A report that cannot be written is told, and leaves the session's outcome as it is.
        if runs and self._junit is not None and self._junit.is_file():
            self._told += _completed(self._junit, runs)
        if runs and self._job_summary is not None:
            self._told += _appended(self._job_summary, runs)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for sentence in self._told:
            terminalreporter.write_line(harmless(sentence))

    def _report(self, exitstatus: int, runs: Sequence[RunRecord]) -> ModelReport:
        from pytest_ibmodels.reports.record import ModelReport, SessionRecord

        session = SessionRecord(
            started=self._started,
            finished=datetime.now(UTC),
            exit_status=int(exitstatus),
            plugin=version("pytest-ibmodels"),
            pytest=pytest.__version__,
            python=platform.python_version(),
        )
        return ModelReport(session=session, runs=tuple(runs))


def _junit_path(config: pytest.Config) -> Path | None:
    given: str | None = config.getoption("xmlpath", None)
    return Path(os.path.expandvars(given)).expanduser().absolute() if given else None


def _job_summary_path() -> Path | None:
    path = os.environ.get("GITHUB_STEP_SUMMARY", "")
    return Path(path) if os.environ.get("GITHUB_ACTIONS") and path else None


def report_paths(config: pytest.Config) -> tuple[Path, ...]:
    """The files given with ``--model-report``, from the folder where pytest was started; their folders are made.

    Raises:
        pytest.UsageError: a file cannot be written there, or its suffix says nothing of its form.
    """
    given: list[str] = config.getoption("ibmodels_reports")
    return tuple(dict.fromkeys(_report_path(config.invocation_params.dir, name) for name in given))


def _report_path(folder: Path, given: str) -> Path:
    path = folder / given
    if path.suffix not in _SUFFIXES:
        known = " or ".join(_SUFFIXES)
        raise pytest.UsageError(f"--model-report {given}: the name should end in {known}, which says what is written")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise pytest.UsageError(f"--model-report {given}: its folder cannot be made: {error.strerror}") from None
    if path.is_dir():
        raise pytest.UsageError(f"--model-report {given}: this is a folder, not a file")
    if not os.access(path.parent, os.W_OK):
        raise pytest.UsageError(f"--model-report {given}: its folder is not writable")
    return path


def _check_plots() -> None:
    try:
        importlib.import_module(_HTML)
    except ModuleNotFoundError as error:
        raise pytest.UsageError(
            f"--model-report FILE.html needs a package that is not installed ({error.name}): "
            "pip install 'pytest-ibmodels[report]', or pip install -e '.[report]' in a clone"
        ) from None


def _written(report: ModelReport, path: Path) -> str:
    try:
        is_html = path.suffix == ".html"
        text = importlib.import_module(_HTML).page(report) if is_html else report.model_dump_json(indent=2) + "\n"
        write_atomically(path, text)
    except OSError as error:
        return f"model report: {path} could not be written: {error.strerror}"
    return f"model report: {path}"


def _completed(junit: Path, runs: Sequence[RunRecord]) -> list[str]:
    from xml.etree.ElementTree import ParseError

    from pytest_ibmodels.reports.junit import complete

    try:
        text = complete(junit.read_text(encoding="utf-8"), {run.nodeid: run for run in runs})
        write_atomically(junit, text)
    except (OSError, ParseError) as error:
        return [f"JUnit file: {junit} is as pytest wrote it, kinds of failures could not be added: {error}"]
    return []


def _appended(job_summary: Path, runs: Sequence[RunRecord]) -> list[str]:
    from pytest_ibmodels.reports.github import append_summary

    try:
        append_summary(job_summary, runs)
    except OSError as error:
        return [f"job summary: {job_summary} could not be written: {error.strerror}"]
    return []


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one, and never half of it.

    Raises:
        OSError: it cannot be written.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)  # as any other new file, where mkstemp lets nobody else read it
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
