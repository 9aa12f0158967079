"""Phrases on where a training ran and what it asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.engine.repeats import name_of
from pytest_ibmodels.reports.figures import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_ibmodels.engine.case import Run
    from pytest_ibmodels.engine.placement import Placement
    from pytest_ibmodels.reports.placement_record import PlacedRecord, ResourcesRecord

_UNITS = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("TB", 10**12), ("GB", 10**9), ("MB", 10**6))


def restart_notes(run: Run) -> Iterator[str]:
    """Yield a note for each training of a run that was started again after its machine was lost."""
    for one in run.trainings:
        if one.placement.was_started_again:
            note = _restart_note(one.placement)
            yield f"{name_of(one.case)}: {note}" if run.repeats else note


def _restart_note(placement: Placement) -> str:
    node = f" on node {placement.node}" if placement.node else ""
    reason = f", because {' and '.join(placement.lost)}" if placement.lost else ""
    return f"started again{node}{reason}"


def node_text(placed: PlacedRecord) -> str:
    """Node and attempt of a training; empty if neither is known."""
    attempt = f"attempt {placed.attempt}" if placed.attempt is not None and placed.attempt > 1 else ""
    if placed.node is None:
        return attempt
    return f"{placed.node} ({attempt})" if attempt else placed.node


def resources_text(resources: ResourcesRecord) -> str:
    """Resources in words, such as `2 CPUs, 1 GPU, 8 GiB of memory`."""
    cpus = f"{resources.cpus:g} CPU{'s' * (resources.cpus != 1)}"
    parts = [cpus, counted(resources.gpus, "GPU") if resources.gpus else ""]
    parts.append(f"{memory_text(resources.memory)} of memory" if resources.memory is not None else "")
    return ", ".join(filter(None, parts))


def memory_text(size: int) -> str:
    """Bytes in the largest unit that divides them; other sizes in GiB or MiB, rounded."""
    for unit, factor in _UNITS:
        if size and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
