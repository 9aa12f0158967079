"""Passwords of databases in what jobs report."""

from __future__ import annotations

import pytest

from pytest_ibmodels.sandbox.execution.secrets import Secrets

URL = "postgresql+psycopg://me:{}@db.example.com/reviews"
REPORT = {
    "peak_memory": 5,
    "result": {"data": [1, 0.5, None, True], "test": "test", "labels": ["1", "data", "p"]},
    "metadata": {"path": "/models/data/test", "rows": {"train": 32, "test": 8}, "model_name": "test_data"},
}


@pytest.mark.parametrize(
    "password", ["data", "test", "train", "1", "p", "peak_memory", "metadata", "a", "result", "models"]
)
def test_results_stay_as_they_are_whatever_the_password_is(password: str) -> None:
    secrets = Secrets.from_url(URL.format(password))
    assert secrets.redact_urls(REPORT) == REPORT
    told = {"url": f"read {URL.format(password)}", "more": f"postgresql://h/x?sslPassword={password}&a={password}"}
    assert secrets.redact_urls(told) == {
        "url": f"read {URL.format('***')}",
        "more": f"postgresql://h/x?sslPassword=***&a={password}",
    }


@pytest.mark.parametrize(
    ("password", "text", "hidden"),
    [
        ("test", "the test failed, untested: tests of (test)", "the *** failed, untested: tests of (***)"),
        ("hun/ter@2", "no hun/ter@2 and hun%2Fter%402x", "no *** and ***x"),
        ("abc", "abc is no secret, but postgresql://me:abc@h is", "abc is no secret, but postgresql://me:***@h is"),
        ("über", "überall über", "überall ***"),
    ],
)
def test_texts_for_people_have_no_password_as_a_word(password: str, text: str, hidden: str) -> None:
    assert Secrets.from_passwords([password]).redact_text(text) == hidden


def test_short_passwords_are_told_of() -> None:
    assert Secrets.from_url(URL.format("abc")).has_short_password
    assert not Secrets.from_url(URL.format("abcd")).has_short_password
    assert not Secrets.from_url("sqlite:///reviews.db").has_short_password


@pytest.mark.parametrize(
    "url", ["postgresql://me:p@ss/w@h/x", "postgresql://me:p@ss@h/x?y=z", "postgresql://me:pass@h:port/x"]
)
def test_a_password_with_a_stray_at_is_a_secret_as_a_whole(url: str) -> None:
    assert "ss" not in Secrets.from_url(url).redact_text(f"cannot read {url}").replace(
        "pass", "ss" * ("me:pass" in url)
    )
