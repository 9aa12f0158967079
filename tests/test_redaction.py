"""Secrets in the forms in which texts have them."""

from __future__ import annotations

import html
import json
import logging
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_ibmodels import redaction
from pytest_ibmodels.redaction import HIDDEN, redacted, remember

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "a'\"b\\<&>/+=c d"


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(redaction, "_forms", [])
    yield
    for filterer in (*map(logging.getLogger, redaction._LOGGERS), *logging.getLogger().handlers):
        filterer.removeFilter(redaction._hide_in_record)


@pytest.mark.parametrize(
    "written",
    [SECRET, quote(SECRET), quote(SECRET, safe=""), html.escape(SECRET), json.dumps(SECRET)[1:-1], repr(SECRET)[1:-1]],
)
def test_a_secret_is_hidden_however_it_is_written(written: str) -> None:
    remember(SECRET)
    assert redacted(f"<{written}> and {written}") == f"<{HIDDEN}> and {HIDDEN}"


def test_a_longer_secret_is_hidden_before_one_that_it_contains() -> None:
    remember("tokens")
    remember("tokens-of-all")
    assert redacted("tokens-of-all") == HIDDEN


@given(st.integers(4, 19), st.integers(4, 19))
def test_pieces_at_a_cut_are_hidden(begin: int, end: int) -> None:
    secret = "ABCDEFGHIJKLMNOPQRST"
    remember(secret)
    for dots in ("...", "…"):
        assert redacted(f"x {secret[:begin]}{dots}{secret[-end:]} y") == f"x {HIDDEN}{dots}{HIDDEN} y"
    assert redacted(f"and {secret[:begin]} so on") == f"and {secret[:begin]} so on"


def test_values_keep_their_form_and_keys() -> None:
    remember("token-1234")
    value = {"token-1234": ["a token-1234", ("token-1234", 1, None)], "x": {"y": True}}
    assert redacted(value) == {"token-1234": [f"a {HIDDEN}", (HIDDEN, 1, None)], "x": {"y": True}}


def test_what_is_too_short_for_a_secret_is_left_alone() -> None:
    remember("", "f1")
    assert redacted("f1 of Name") == "f1 of Name"


def test_records_of_the_http_client_and_at_the_root_hide_it(caplog: pytest.LogCaptureFixture) -> None:
    remember("token-1234")
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("httpcore.http11").debug("headers %r", [(b"location", b"/?token-1234")])
        logging.getLogger("anybody").info("%s of %d", "token-1234", 3)
    assert caplog.messages == [f"headers [(b'location', b'/?{HIDDEN}')]", f"{HIDDEN} of 3"]
