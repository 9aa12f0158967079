"""Tables of `ibmodels publish` and the commands beside it, a line per environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.reports.figures import counted
from pytest_ibmodels.reports.tables import one_line, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_ibmodels.engine.publishing import EnvironmentFacts, Outcome
    from pytest_ibmodels.instabase.wire_sandbox import NodeStatus, SandboxStatus

_ANSWERS = {True: "yes", False: "no", None: "-"}
_ALIVE = "alive"
"""State of a node on which jobs may start."""
_NODE_HEADER = ("node", "state", "cpus", "gpus", "memory", "running", "free slots")
_MOST_NODES = 50


def outcome_lines(outcomes: Sequence[Outcome]) -> list[str]:
    """Table of results per environment, and notes below it. The reason, which may be long, comes last."""
    rows = [
        (
            one.environment,
            one.package,
            one.version,
            _seconds(one),
            f"{one.state}: {one.reason}".removesuffix(": "),
        )
        for one in outcomes
    ]
    header = ("environment", "package", "version", "seconds", "outcome")
    notes = [f"{one.environment}: {note}" for one in outcomes for note in one.notes]
    return [*table(header, rows, right=frozenset({3}), indent=""), *notes]


def environment_lines(facts: Sequence[EnvironmentFacts], package: str | None) -> list[str]:
    """Table of environments with the versions of a package, newest last, problems below it, and sandboxes."""
    rows = [
        (
            one.name,
            one.host,
            _ANSWERS[one.is_reachable],
            _ANSWERS[one.is_token_accepted],
            "-" if one.versions is None else ", ".join(one.versions) or "none",
        )
        for one in facts
    ]
    header = ("environment", "host", "reachable", "token accepted", f"versions of {package or 'the package'}")
    problems = [f"{one.name}: {one.problem}" for one in facts if one.problem]
    return [*table(header, rows, indent=""), *problems, *_sandbox_lines(facts)]


def _sandbox_lines(facts: Sequence[EnvironmentFacts]) -> list[str]:
    """A line and a table of nodes for each sandbox; empty without any."""
    lines: list[str] = []
    for one in facts:
        if one.sandbox is not None:
            status = one.sandbox
            lines += ["", one_line(f"{one.name}: {_sandbox_line(status)}")]
            rows = [_node_cells(node) for node in status.nodes[:_MOST_NODES]]
            lines += table(_NODE_HEADER, rows, right=frozenset({2, 3, 4, 5, 6})) if rows else []
            if len(status.nodes) > _MOST_NODES:
                lines.append(f"  and {counted(len(status.nodes) - _MOST_NODES, 'more node')}")
    return lines


def _sandbox_line(status: SandboxStatus) -> str:
    alive = [node for node in status.nodes if node.state == _ALIVE]
    free, slots = sum(node.free for node in alive), sum(node.slots for node in alive)
    queue = f"{counted(status.queue, 'job')} in the queue"
    return f"sandbox {status.version}, executor {status.executor}, {free} of {slots} slots free, {queue}"


def _node_cells(node: NodeStatus) -> tuple[str, ...]:
    memory = "-" if node.memory is None else f"{node.memory / 2**30:.1f} GiB"
    slots = f"{node.free} of {node.slots}" if node.state == _ALIVE else "-"
    return (node.name, node.state, f"{node.cpus:g}", f"{node.gpus:g}", memory, str(node.running), slots)


def _seconds(one: Outcome) -> str:
    return f"{one.seconds:.1f}" if one.seconds else "-"
