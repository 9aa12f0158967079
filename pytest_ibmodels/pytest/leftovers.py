"""Between pytest and the journal: which one it is, what an earlier session left, what a crashed worker left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.engine.connection import for_each_environment
from pytest_ibmodels.engine.sweep import (
    SweepResult,
    SweepStatus,
    sweep,
)
from pytest_ibmodels.instabase.retrying import Retrier
from pytest_ibmodels.journal.store import Journal, JournalError
from pytest_ibmodels.pytest import options
from pytest_ibmodels.reports.sweeping import left_line
from pytest_ibmodels.reports.tables import harmless
from pytest_ibmodels.spec import SpecError, load_environments

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import pytest

    from pytest_ibmodels.journal.store import Entry
    from pytest_ibmodels.spec import Environment

_SWEEP_SECONDS = 60.0
_INTERRUPTED_SECONDS = 5.0


def journal_of(config: pytest.Config) -> Journal:
    """The journal of this root folder, as this process uses it."""
    return Journal(options.journal_file(config), options.session_id(config))


def announcement(config: pytest.Config, cases: Collection[tuple[str, str]]) -> list[str]:
    """What to say of trainings that an earlier session left running, before this one begins with its own.

    ``cases`` are those of this session, as environment and model test.
    """
    if config.getoption("ibmodels_reattach") or not options.journal_file(config).exists():
        return []
    journal = journal_of(config)
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
    """Remove what workers of this session left that did not end in good order, and say so."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    for line in _sweep_after_workers(config, interrupted=interrupted):
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_line(harmless(line))


def _sweep_after_workers(config: pytest.Config, *, interrupted: bool) -> list[str]:
    journal = journal_of(config)
    try:
        left = journal.left(session=journal.session)
        if not left:
            return []
        known = load_environments(options.environments_path(config)).environments
        seconds = _INTERRUPTED_SECONDS if interrupted else _SWEEP_SECONDS
        outcomes, _ = sweep_everywhere(known, left, journal, seconds=seconds)
    except (JournalError, SpecError) as error:
        return [str(error)]
    finally:
        journal.close()
    removed = sum(one.status is not SweepStatus.LEFT for one in outcomes)
    lines = [f"removed what workers left behind when they crashed: {_count(removed, 'thing')}"] if removed else []
    return lines + [left_line(one) for one in outcomes if one.status is SweepStatus.LEFT]


def sweep_everywhere(
    known: Mapping[str, Environment],
    entries: Sequence[Entry],
    journal: Journal,
    *,
    seconds: float | None = None,
    tell: Callable[[str, str], None] | None = None,
) -> tuple[list[SweepResult], bool]:
    """Remove things from all their environments at once.

    Args:
        known: the environments that there are, by name.
        entries: what to remove.
        journal: the one that holds them.
        seconds: after which the rest is left; None: when it is done.
        tell: gets an environment's name and a sentence on what takes long there.

    Returns:
        What became of each, and whether Ctrl-C or SIGTERM cut that short.
    """
    by_name: dict[str, list[Entry]] = {}
    for entry in entries:
        by_name.setdefault(entry.environment, []).append(entry)

    async def visit(environment: Environment) -> list[SweepResult]:
        def hear(_error: BaseException, sentence: str) -> None:
            if tell is not None:
                tell(environment.name, sentence)

        mine = by_name[environment.name]
        return await sweep(environment, mine, journal, seconds=seconds, retrier=Retrier(on_retry=hear))

    ended, interrupted = for_each_environment([known[name] for name in by_name if name in known], visit)
    outcomes: list[SweepResult] = []
    for name, several in by_name.items():
        reason = "interrupted" if name in known else "environments.yaml no longer names this environment"
        outcomes += ended.get(name) or [SweepResult(entry, SweepStatus.LEFT, reason) for entry in several]
    return outcomes, interrupted


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'s' * (number != 1)}"
