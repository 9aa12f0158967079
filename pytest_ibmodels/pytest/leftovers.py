"""Leftovers in environments: jobs of an earlier session, and everything that crashed workers created."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.engine.sweep import SweepStatus, sweep_environments
from pytest_ibmodels.journal.store import Journal, JournalError
from pytest_ibmodels.pytest import options
from pytest_ibmodels.reports.sweeping import left_line
from pytest_ibmodels.reports.tables import harmless
from pytest_ibmodels.spec import SpecError, load_environments
from pytest_ibmodels.spec.project import environments_path, journal_file

if TYPE_CHECKING:
    from collections.abc import Collection

    import pytest

_SWEEP_SECONDS = 60.0
_INTERRUPTED_SECONDS = 5.0


def open_journal(config: pytest.Config) -> Journal:
    """Open the journal of this root folder for this session."""
    return Journal(journal_file(config), options.session_id(config))


def announcement(config: pytest.Config, cases: Collection[tuple[str, str]]) -> list[str]:
    """Return lines on jobs of an earlier session that ``--reattach`` could continue.

    ``cases`` are environment and model test of this session's cases.
    """
    if config.getoption("ibmodels_reattach"):
        return []
    journal = open_journal(config)
    try:
        left = [entry for entry in journal.left() if entry.kind == "job" and entry.job is not None]
    except JournalError as error:
        return [str(error)]
    finally:
        journal.close()
    left = [entry for entry in left if entry.job and (entry.environment, entry.job.test) in cases]
    running = sum(entry.job is not None and not entry.job.ended for entry in left)
    parts = [_count(running, "running job")] if running or not left else []
    parts += [_count(len(left) - running, "finished job")] if len(left) > running else []
    return [f"found {' and '.join(parts)}; --reattach to continue"] if left else []


def sweep_after_workers(config: pytest.Config, *, interrupted: bool) -> None:
    """Remove the leftovers of crashed workers of this session, and print what was removed."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    for line in _sweep_after_workers(config, interrupted=interrupted):
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(harmless(line))


def _sweep_after_workers(config: pytest.Config, *, interrupted: bool) -> list[str]:
    journal = open_journal(config)
    try:
        left = journal.left(session=journal.session)
        if not left:
            return []
        known = load_environments(environments_path(config)).environments
        seconds = _INTERRUPTED_SECONDS if interrupted else _SWEEP_SECONDS
        outcomes, _ = sweep_environments(known, left, journal, seconds=seconds)
    except (JournalError, SpecError) as error:
        return [str(error)]
    finally:
        journal.close()
    removed = sum(one.status is not SweepStatus.LEFT for one in outcomes)
    lines = [f"removed what workers left behind when they crashed: {_count(removed, 'thing')}"] if removed else []
    return lines + [left_line(one) for one in outcomes if one.status is SweepStatus.LEFT]


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'s' * (number != 1)}"
