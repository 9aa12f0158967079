"""Ends of commands: exit codes, and messages for wrong arguments."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
import typer

if TYPE_CHECKING:
    from collections.abc import Callable

INTERRUPTED = 130
"""Exit code of Typer for a command that was interrupted."""


def end(run: Callable[[], int]) -> None:
    """Exit with the code that ``run`` returns, or with a message for a wrong argument."""
    try:
        code = int(run())
    except pytest.UsageError as error:
        sys.stderr.write(f"ERROR: {error}\n")
        code = pytest.ExitCode.USAGE_ERROR
    if code == pytest.ExitCode.INTERRUPTED:
        code = INTERRUPTED
    raise typer.Exit(code)
