"""Whether pytest will run an item, as far as its marks say, before its turn comes.

pytest's own evaluation is private; its rules are documented ("skip and xfail", "String conditions"), and tests hold
that both come to the same.
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
    """Whether a mark of the item or of a node above keeps it from running: skip, skipif, xfail with ``run=False``.

    A condition that cannot be evaluated does so, too: pytest then fails the item in place of running it.
    """
    if item.get_closest_marker("skip") is not None:
        return True
    if any(_applies(item, mark) for mark in item.iter_markers("skipif")):
        return True
    if item.config.getoption("runxfail"):
        return False
    # Of several xfail marks the closest one that applies counts.
    applying = (mark for mark in item.iter_markers("xfail") if _applies(item, mark))
    return not next((mark.kwargs.get("run", True) for mark in applying), True)


def _applies(item: pytest.Function, mark: pytest.Mark) -> bool:
    conditions: Iterable[object] = (mark.kwargs["condition"],) if "condition" in mark.kwargs else mark.args
    conditions = tuple(conditions)
    try:
        return not conditions or any(_holds(item, condition) for condition in conditions)
    except Exception:  # noqa: BLE001 - whatever the condition raises, pytest makes an error of it
        return True


def _holds(item: pytest.Function, condition: object) -> bool:
    if not isinstance(condition, str):
        return bool(condition)
    names: dict[str, object] = {"os": os, "sys": sys, "platform": platform, "config": item.config}
    for given in reversed(item.ihook.pytest_markeval_namespace(config=item.config)):
        names.update(given)
    names.update(item.obj.__globals__)
    return bool(eval(compile(condition, "<condition of a mark>", "eval"), names))  # noqa: S307 - as pytest does
