"""A person at the portal, without a browser: pages are fetched and forms are sent as a browser does."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Self

import httpx

from tests.sandbox.running import SECONDS, TOKEN

if TYPE_CHECKING:
    from collections.abc import Mapping


class Person:
    """A browser's window: it has cookies, and sends the hidden fields of the page that it shows."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.http.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, fields: Mapping[str, str], origin: str | None = None) -> httpx.Response:
        headers = {"Origin": self.url if origin is None else origin} if origin != "" else {}
        return self.http.post(path, data=dict(fields), headers=headers)

    def sign_in(self, secret: str = TOKEN, **fields: str) -> httpx.Response:
        return self.post("/portal/sign-in", {"secret": secret, **fields})

    def send(self, page: str, action: str, **fields: str) -> httpx.Response:
        """Send the form of a page, with its hidden fields and those that are typed."""
        return self.post(action, {**hidden_fields(self.get(page).text, action), **fields})


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, dict[str, str]] = {}
        self._action = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._action = found.get("action", "").partition("#")[0]
            self.fields.setdefault(self._action, {})
        elif tag == "input" and found.get("type") == "hidden":
            self.fields.setdefault(self._action, {})[found["name"]] = found["value"]


def hidden_fields(html: str, action: str) -> dict[str, str]:
    """The hidden fields of the form that is sent to ``action``."""
    forms = _Forms()
    forms.feed(html)
    assert action in forms.fields, f"no form is sent to {action}: {sorted(forms.fields)}"
    return forms.fields[action]


def text_of(response: httpx.Response) -> str:
    """The text of a page's main part, without tags."""
    main = response.text.partition("<main")[2]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", f"<main{main}")))
