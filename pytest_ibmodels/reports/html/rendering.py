"""Templates of the pages, and the filters that they use."""

from __future__ import annotations

from pathlib import Path

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined

from pytest_ibmodels.reports.figures import counted, span
from pytest_ibmodels.reports.html.formats import apart, duration, plain, signed, utc

_FILTERS = {function.__name__: function for function in (apart, counted, duration, plain, signed, span, utc)}
_STYLES = Path(__file__).parents[2] / "styles"
"""Folder of the colours, which the sandbox's portal has, too."""


def render(template: str, **values: object) -> str:
    """Return a page: a template filled with values, whose texts are escaped."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("pytest_ibmodels.reports.html"), FileSystemLoader(_STYLES)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= _FILTERS
    return environment.get_template(template).render(**values)
