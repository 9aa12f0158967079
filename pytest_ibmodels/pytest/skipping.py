"""Evaluation of ``skip``, ``skipif`` and ``xfail`` marks before pytest runs an item.

pytest's own evaluation is private. Its rules are documented ("skip and xfail", "String conditions"), and tests check
that both agree.
"""

from __future__ import annotations

import os
import platform
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest


def is_kept_from_running(item: pytest.Function) -> bool:
    """Return whether a mark of the item or of its parents skips it: skip, skipif, xfail with ``run=False``.

    A condition that cannot be evaluated counts as true, since pytest then fails the item without running it.
    """
    if item.get_closest_marker("skip") is not None:
        return True
    if any(_applies(item, mark) for mark in item.iter_markers("skipif")):
        return True
    if item.config.getoption("runxfail"):
        return False
    # Of several xfail marks, pytest uses the closest one that applies.
    applying = (mark for mark in item.iter_markers("xfail") if _applies(item, mark))
    return not next((mark.kwargs.get("run", True) for mark in applying), True)


def _applies(item: pytest.Function, mark: pytest.Mark) -> bool:
    conditions: Iterable[object] = (mark.kwargs["condition"],) if "condition" in mark.kwargs else mark.args
    conditions = tuple(conditions)
    try:
        return not conditions or any(_holds(item, condition) for condition in conditions)
    except Exception:  # noqa: BLE001 - pytest reports any exception of a condition as an error
        return True


def _holds(item: pytest.Function, condition: object) -> bool:
    if not isinstance(condition, str):
        return bool(condition)
    names: dict[str, object] = {"os": os, "sys": sys, "platform": platform, "config": item.config}
    for given in reversed(item.ihook.pytest_markeval_namespace(config=item.config)):
        names.update(given)
    names.update(item.obj.__globals__)
    return bool(eval(compile(condition, "<condition of a mark>", "eval"), names))  # noqa: S307 - as pytest does
