"""Tables of `ibmodels publish` and the commands beside it, a line per environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.reports.tables import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_ibmodels.engine.publishing import EnvironmentFacts, Outcome

_ANSWERS = {True: "yes", False: "no", None: "-"}


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
    """Table of environments with the versions of a package, newest last, and problems below it."""
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
    return [*table(header, rows, indent=""), *problems]


def _seconds(one: Outcome) -> str:
    return f"{one.seconds:.1f}" if one.seconds else "-"
