"""Secrets are hidden in all their escaped forms."""

from __future__ import annotations

import html
import io
import json
import logging
import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple, NoReturn
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
    before = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(before)


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


class Pair(NamedTuple):
    name: str
    value: object


class Names(list[str]):
    pass


class Odd(tuple[str, ...]):
    """Tuple that cannot be rebuilt from its items."""

    __slots__ = ()

    def __new__(cls, one: str, other: str) -> Odd:
        return super().__new__(cls, (one, other))


def test_types_stay_and_what_has_no_secret_stays_the_same_object() -> None:
    remember("token-1234")
    assert redacted(Pair("a token-1234", ("token-1234",))) == Pair(f"a {HIDDEN}", (HIDDEN,))
    assert type(redacted(Pair("token-1234", 1))) is Pair
    assert type(redacted(Names(["token-1234"]))) is Names
    counted = redacted(defaultdict(list, {"x": ["token-1234"]}))
    assert (type(counted), counted["x"], counted["new"]) == (defaultdict, [HIDDEN], [])
    assert redacted(Odd("token-1234", "b")) == (HIDDEN, "b")
    for value in (Pair("a", 1), Names(["a"]), {"token-1234": ["a", (1, 2.5, None)]}, ("model_tests.yaml", 3, "why")):
        assert redacted(value) is value


@given(
    st.recursive(
        st.one_of(st.text("token-1234 ab.", max_size=20), st.integers(), st.floats(), st.booleans(), st.none()),
        lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text("token-1234"), inner),
        max_leaves=12,
    ).map(lambda value: [value, "a token-1234"])
)
def test_keys_numbers_and_forms_never_change(value: object) -> None:
    remember("token-1234")

    def shape(one: object) -> object:
        if isinstance(one, dict):
            return {key: shape(item) for key, item in one.items()}
        if isinstance(one, list | tuple):
            return type(one)(shape(item) for item in one)
        return str if isinstance(one, str) else repr(one)

    hidden = redacted(value)
    assert shape(hidden) == shape(value)
    assert "token-1234" not in str(list(_texts(hidden)))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def test_a_secret_that_may_be_a_word_is_hidden_as_a_word_of_its_own() -> None:
    remember("test", "pass")
    assert redacted("login with test: test-1, 'pass'") == f"login with {HIDDEN}: {HIDDEN}-1, '{HIDDEN}'"
    assert redacted("tests passed in test_training at the latest") == "tests passed in test_training at the latest"
    assert redacted("the te...st") == "the te...st"


def test_what_is_too_short_for_a_secret_is_left_alone() -> None:
    remember("", "f1")
    assert redacted("f1 of Name") == "f1 of Name"


def fail() -> NoReturn:
    raise RuntimeError("no login with token-1234")


def test_no_handler_sees_a_secret_whoever_adds_it_and_whenever() -> None:
    remember("token-1234")
    stream = io.StringIO()
    logger = logging.getLogger("of somebody")
    logger.propagate = False
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Verbose("%(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.debug("%s of %d", "token-1234", 3)
    logger.debug({"key": "token-1234"})
    logger.debug("plain", stack_info=True)
    try:
        fail()
    except RuntimeError as error:
        logger.exception("it failed")
        logger.error("it failed", exc_info=error)  # noqa: TRY400 - the other way to say it
    logger.removeHandler(handler)
    written = stream.getvalue()
    assert "token-1234" not in written
    assert written.startswith(f"{HIDDEN} of 3\n{{'key': '{HIDDEN}'}}\nplain\n")
    assert written.count(f"RuntimeError: no login with {HIDDEN}") == 2
    assert written.count("in fail") == 2


class Verbose(logging.Formatter):
    """Formatter with its own format of exceptions."""

    def formatException(self, ei: object) -> str:  # noqa: N802 - the name that logging calls
        assert isinstance(ei, tuple)
        return f"!!! {ei[1]!r}"


def test_an_exception_without_a_secret_stays_on_its_record(caplog: pytest.LogCaptureFixture) -> None:
    remember("token-9876")
    try:
        fail()
    except RuntimeError:
        logging.getLogger("anybody").exception("it failed")
    assert caplog.records[0].exc_info is not None


def test_arguments_that_do_not_fit_show_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    remember("token-1234")
    logger = logging.getLogger("of somebody else")
    logger.propagate = False
    logger.addHandler(handler := logging.StreamHandler())
    logger.warning("%d", ["token-1234"])
    logger.warning("%d of token-1234", "token-1234", 3)  # noqa: PLE1205 - that is the mistake
    logger.removeHandler(handler)
    written = capsys.readouterr().err
    assert "Logging error" in written
    assert "Arguments: (\"['***']\",)" in written
    assert "token-1234" not in re.sub(r"\n    .*", "", written)  # but for lines of this file


def test_records_of_the_http_client_and_at_the_root_hide_it(caplog: pytest.LogCaptureFixture) -> None:
    remember("token-1234")
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("httpcore.http11").debug("headers %r", [(b"location", b"/?token-1234")])
        logging.getLogger("anybody").info("%s of %d", "token-1234", 3)
    assert caplog.messages == [f"headers [(b'location', b'/?{HIDDEN}')]", f"{HIDDEN} of 3"]
