"""Formats of ``--model-report``."""

from __future__ import annotations

from typing import NamedTuple


class Format(NamedTuple):
    """One format.

    Attributes:
        renderer: ``module:function``; the function takes a ``ModelReport`` and returns the text of the file. The module
            is imported only if the format is requested, since it may need packages of the extra ``report``.
        purpose: completes "FILE.suffix" in the help of the option.
    """

    renderer: str
    purpose: str


FORMATS = {
    ".json": Format("pytest_ibmodels.reports.record:ModelReport.to_json", "for machines"),
    ".html": Format("pytest_ibmodels.reports.html:page", "to look at"),
}
"""Suffix of the file → format."""
