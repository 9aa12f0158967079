"""Error of the history, in a module that imports nothing heavy."""

from __future__ import annotations


class HistoryError(Exception):
    """The history cannot be used; the text says why and what to do, without any password."""
