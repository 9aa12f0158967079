"""The keys of a model test that pytest has marks for: ``marks``, ``skip`` and ``xfail``."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.spec import Problem
from pytest_ibmodels.spec.messages import did_you_mean

if TYPE_CHECKING:
    from pytest_ibmodels.spec import MarkUse, ModelTest


def add_marks(node: pytest.Collector, test: ModelTest) -> list[Problem]:
    """Put the marks of a model test on its node, from which its items have them.

    Returns:
        A problem for every mark that is not registered, where the project is strict about that. Where it is not,
        pytest's warning is given, at the mark's line.
    """
    if test.skip is not None:
        node.add_marker(pytest.mark.skip(reason=test.skip))
    if test.xfail is not None:
        node.add_marker(pytest.mark.xfail(reason=test.xfail))
    return [_unknown(node, use) for use in test.marks if not _add(node, use)]


def _add(node: pytest.Collector, use: MarkUse) -> bool:
    """Whether the mark could be put on the node."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            node.add_marker(use.name)
        except pytest.fail.Exception:  # pytest's way to be strict
            return False
    try:
        for _ in said:
            message = _unknown(node, use).message
            warnings.warn_explicit(message, pytest.PytestUnknownMarkWarning, str(node.path), use.line)
    except pytest.PytestUnknownMarkWarning:  # warnings are errors
        return False
    return True


def _unknown(node: pytest.Collector, use: MarkUse) -> Problem:
    lines: list[str] = node.config.getini("markers")
    known = {line.partition(":")[0].partition("(")[0].strip() for line in lines}
    advice = did_you_mean(use.name, known) or ": register it with pytest's setting `markers`, or remove it"
    return Problem(node.path, use.line, use.column, f"there is no mark `{use.name}`{advice}")
