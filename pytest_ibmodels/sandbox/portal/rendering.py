"""Templates of the portal. All texts are escaped."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import Response

from pytest_ibmodels.sandbox.plaintext import visible
from pytest_ibmodels.sandbox.portal.formats import FILTERS
from pytest_ibmodels.sandbox.portal.static_files import StaticFiles

STATIC_FILES = StaticFiles()


@dataclass(frozen=True)
class Live:
    """A part of a page that renews itself.

    Attributes:
        html: Its content.
        url: Path and query that answer the part anew.
        seen: Hash of the content: as long as it is the same, the answer is empty.
        seconds: Interval; None if the part changes no more.
    """

    html: Markup
    url: str
    seen: str
    seconds: float | None


def _visible(value: object) -> object:
    return visible(value) if type(value) is str else value


def typed(value: object) -> Markup:
    """Text that a person has typed, for the value of a field: escaped, and otherwise as it is."""
    return escape(str(value))


@cache
def environment() -> Environment:
    """Return the environment of the templates."""
    found = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.filters |= {**FILTERS, "typed": typed}
    found.globals["static"] = STATIC_FILES.url
    return found


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return a filled template."""
    return environment().get_template(template).render(values)


def live(template: str, url: str, seconds: float | None, values: Mapping[str, Any]) -> Live:
    """Fill the template of a part that renews itself."""
    html = render(template, values)
    seen = hashlib.sha256(html.encode(errors="replace")).hexdigest()[:16]
    return Live(Markup(html), url, seen, seconds)  # noqa: S704 - a filled template, whose texts are escaped


def html_response(html: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a page as a response; unpaired surrogates become question marks."""
    return Response(html.encode(errors="replace"), status, headers, "text/html; charset=utf-8")
