"""``--maxfail`` among runs that go on at once: no more trainings are begun when it is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_ibmodels.engine.case import Run


class FailureLimit:
    """Holds back trainings that have not begun, once as many runs have failed as the session may have failures.

    pytest counts failures in the order of its items, and some it expects. So a run that an item waits for is never
    held back: either that item is not come to any more, or the failures did not count.

    Args:
        most: failures after which the session stops; 0 for never.
    """

    def __init__(self, most: int = 0) -> None:
        self._most = most
        self._failed = 0

    def failed(self) -> None:
        """Count a run."""
        self._failed += 1

    def holds(self, run: Run) -> bool:
        return 0 < self._most <= self._failed and not run.wanted.is_set()
