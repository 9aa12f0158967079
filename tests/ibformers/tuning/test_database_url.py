"""Database URLs with variables for passwords."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from ibformers.databases.url import error_reason, fill_variables, parse_url, shown_url
from ibformers.errors import RequestRefused

SPECIAL = "p@ss/w%41rd#1?:[x] +&=y"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(password=TEXTS, name=TEXTS)
@example(password=SPECIAL, name=SPECIAL)
def test_a_variable_is_the_value_itself_wherever_it_stands(password: str, name: str) -> None:
    environ = {"PASSWORD": password, "USER_NAME": name}
    url = fill_variables("postgresql+psycopg://${USER_NAME}:${PASSWORD}@db.example.com:5432/reviews", environ)
    parsed = parse_url(url)
    assert (parsed.username, parsed.password, parsed.host, parsed.port) == (name, password, "db.example.com", 5432)
    assert parsed.database == "reviews"
    assert shown_url(parsed).endswith(":***@db.example.com:5432/reviews")
    asked = parse_url(fill_variables("postgresql://db.example.com/reviews?password=${PASSWORD}", environ))
    assert asked.query == {"password": password}


@given(folder=TEXTS.filter(lambda text: "\0" not in text))
@example(folder="/srv/team?1/feature%2Flogin#2 @x")
def test_a_folder_from_a_variable_stays_what_it_is(folder: str) -> None:
    assert (
        parse_url(fill_variables("sqlite:////srv/${FOLDER}/x.db", {"FOLDER": folder})).database == f"/srv/{folder}/x.db"
    )


def test_a_whole_url_is_taken_as_it_is() -> None:
    url = "postgresql://me:p%40ss@h/x"
    assert fill_variables("${URL}", {"URL": url}) == url
    assert parse_url(url).password == "p@ss"


@pytest.mark.parametrize(
    "url", ["postgresql://me:p@ss@h/x", "postgresql://me:p@ss/w@h/x", "postgresql://h:pass/x", "x"]
)
def test_what_may_be_a_part_of_a_password_is_not_shown(url: str) -> None:
    with pytest.raises(RequestRefused) as caught:
        parse_url(url)
    assert "ss" not in caught.value.user_message.replace("password", "")


def test_a_driver_may_repeat_the_password_of_a_query() -> None:
    url = make_url("postgresql://me:one@h/x?password=two-three&sslmode=require")
    assert shown_url(url) == "postgresql://me:***@h/x"
    assert error_reason(ValueError("no one knows two-three\nmore"), url) == "no *** knows ***"
