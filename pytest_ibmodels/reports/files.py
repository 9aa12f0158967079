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

from pytest_ibmodels.reports.outcomes import outcomes_of

if TYPE_CHECKING:
    from collections.abc import Generator

    from pytest_ibmodels.reports.record import ModelReport

_HTML = "pytest_ibmodels.reports.html"
_SUFFIXES = (".json", ".html")


class ReportFiles:
    """Writes what ``--model-report`` asks for.

    Raises:
        pytest.UsageError: when made, if a report could not be written at the end.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._started = datetime.now(UTC)
        is_worker = hasattr(config, "workerinput")
        self._paths = () if is_worker else report_paths(config)
        self._told: list[str] = []
        if any(path.suffix == ".html" for path in self._paths):
            _check_plots()

    # Inside the wrapper that prints the terminal's summary, and after the hooks that are no wrappers.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> Generator[None]:
        yield
        if self._paths and not self._config.getoption("collectonly"):
            report = self._report(exitstatus)
            for path in self._paths:
                self._told.append(_written(report, path))

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for sentence in self._told:
            terminalreporter.write_line(sentence)

    def _report(self, exitstatus: int) -> ModelReport:
        from pytest_ibmodels.reports.record import ModelReport, SessionRecord

        session = SessionRecord(
            started=self._started,
            finished=datetime.now(UTC),
            exit_status=int(exitstatus),
            plugin=version("pytest-ibmodels"),
            pytest=pytest.__version__,
            python=platform.python_version(),
        )
        return ModelReport(session=session, runs=tuple(outcomes_of(self._config).sorted_runs()))


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
        if path.suffix == ".html":
            importlib.import_module(_HTML).write(report, path)
        else:
            write_atomically(path, report.model_dump_json(indent=2) + "\n")
    except OSError as error:
        return f"model report: {path} could not be written: {error.strerror}"
    return f"model report: {path}"


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
