"""Model tests on a database table, and the databases of environments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from pytest_ibmodels.spec import (
    Environment,
    Minimum,
    TableSpec,
    environment_warnings,
    load,
    load_environments,
    load_model_tests,
)
from pytest_ibmodels.spec.databases import fill_in, has_stray_at, passwords, without_password
from pytest_ibmodels.spec.variables import Expanded
from tests.spec.yamlfiles import said, written

if TYPE_CHECKING:
    from pathlib import Path

STARS = "A:\n  env: e\n  table: iris.Review\n  columns: [Stars, Text]\n  time_limit: 60\n"


@pytest.fixture
def environments(tmp_path: Path) -> Path:
    return tmp_path / "environments.yaml"


def one(file: Path, entry: str) -> Environment:
    return load_environments(written(file, f"e: {{{entry}}}\n")).environments["e"]


def test_a_table_and_what_belongs_to_it(file: Path) -> None:
    text = STARS + "  limit: 20\n  p_of_train: 0.5\n  better_than_current: {max_drop: 0.01}\n"
    test = load_model_tests(written(file, text + "  metrics:\n    accuracy: 0.5\n    f1: {weighted avg: 0.4}\n")).tests[
        "A"
    ]
    assert test.ibannotator == ""
    assert test.table == TableSpec("iris.Review", ("Stars", "Text"), 20, 0.5, max_drop=0.01)
    assert test.metrics == {"accuracy": {"all": Minimum(0.5)}, "f1": {"weighted avg": Minimum(0.4)}}
    assert test.dataset == "table iris.Review (Stars, Text), 20 rows, p_of_train 0.5"


@pytest.mark.parametrize("key", ["group_column", "split_column"])
def test_a_column_that_decides_on_the_sides_of_rows(file: Path, key: str) -> None:
    test = load_model_tests(written(file, f"{STARS}  {key}: Author\n")).tests["A"]
    assert test.table is not None
    assert test.table.side_column == {key: "Author"}
    assert test.dataset == f"table iris.Review (Stars, Text), all rows, {key} Author"


@pytest.mark.parametrize(("given", "drop"), [("true", 0.0), ("{max_drop: 1e-2}", 0.01), ("{undecided: pass}", 0.0)])
def test_what_better_means(file: Path, given: str, drop: float) -> None:
    table = load_model_tests(written(file, f"{STARS}  better_than_current: {given}\n")).tests["A"].table
    assert table == TableSpec("iris.Review", ("Stars", "Text"), max_drop=drop)


def test_what_is_undecided_may_fail(file: Path) -> None:
    better = "better_than_current: {max_drop: 0.01, undecided: fail}"
    table = load_model_tests(written(file, f"{STARS}  {better}\n")).tests["A"].table
    assert table == TableSpec("iris.Review", ("Stars", "Text"), max_drop=0.01, undecided="fail")


def test_columns_as_one_text(file: Path) -> None:
    table = load_model_tests(written(file, STARS.replace("[Stars, Text]", '"Stars, Text"'))).tests["A"].table
    assert table is not None
    assert table.columns == ("Stars", "Text")


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "iris.Review",
            "Review; drop table x",
            "3:10: `table` has to be the name of a table, TABLE or SCHEMA.TABLE, of ",
        ),
        (
            "iris.Review",
            "a.b.c",
            "3:10: `table` has to be the name of a table, TABLE or SCHEMA.TABLE, of letters, digits and ",
        ),
        (
            "[Stars, Text]",
            "Stars",
            "4:12: `columns` has to be two columns, the label and the text, as in [Stars, Text], but",
        ),
        ("[Stars, Text]", "[Stars, 'x y']", "4:12: `columns` has to be names of columns, of letters, digits and"),
        ("[Stars, Text]", "[Text, Text]", '4:12: `columns` has "Text" twice: name the label, then the text'),
        (
            "  columns: [Stars, Text]\n",
            "",
            "1:1: model test `A` has no `columns`: name the label, then the text of the `table`",
        ),
        ("columns", "column", "4:3: unknown key `column`: did you mean `columns`?"),
        ("  table: iris.Review\n", "  tabel: x\n", "3:3: unknown key `tabel`: did you mean `table`?"),
        ("60\n", "60\n  limit: 1\n", "6:10: `limit` has to be a number from 2, but is the number 1"),
        ("60\n", "60\n  limit: true\n", "6:10: `limit` has to be a whole number, but is the truth value true"),
        (
            "60\n",
            "60\n  group_column: 5\n",
            "6:17: `group_column` has to be text, but is the number 5: put it in quotes",
        ),
        ("60\n", "60\n  split_column: a b\n", "6:17: `split_column` has to be the name of a column, of"),
        (
            "60\n",
            "60\n  group_column: Author\n  split_column: Part\n",
            "7:3: `split_column` and `group_column` exclude each other: remove one of them",
        ),
        (
            "60\n",
            "60\n  split_column: Part\n  p_of_train: 0.5\n",
            "6:3: `p_of_train` has no effect with `split_column`: remove one of them",
        ),
        ("60\n", "60\n  group_column: text\n", '6:17: `group_column` is "text", which is also one of `columns`'),
        ("60\n", "60\n  p_of_train: 1\n", "6:15: `p_of_train` has to be a number below 1, but is the number 1"),
        (
            "60\n",
            "60\n  better_than_current: 0.1\n",
            "6:24: `better_than_current` has to be true, false, or {max_drop: N",
        ),
        (
            "60\n",
            "60\n  better_than_current: {max_drop: -1}\n",
            "6:35: `better_than_current.max_drop` has to be a number from 0, but is the number -1",
        ),
        (
            "60\n",
            "60\n  better_than_current: {max_drp: 1}\n",
            "6:25: unknown key `better_than_current.max_drp`: did you mean `max_drop`? (keys: max_drop, undecided)",
        ),
        (
            "60\n",
            "60\n  better_than_current: {max_drop: 1}\n",
            "6:35: `better_than_current.max_drop` has to be a number below 1, but is the number 1",
        ),
        (
            "60\n",
            "60\n  better_than_current: {undecided: true}\n",
            "6:36: `better_than_current.undecided` has to be pass or fail, but is the truth value true",
        ),
        (
            "60\n",
            "60\n  ibannotator: a/b/fs/c/d.ibannotator\n",
            "3:3: `table` and `ibannotator` exclude each other: remove one of them",
        ),
        (
            "  table: iris.Review\n",
            "  ibannotator: a/b/fs/c/d.ibannotator\n",
            "4:3: `columns` needs a `table`: remove it",
        ),
    ],
)
def test_mistakes(file: Path, old: str, new: str, expected: str) -> None:
    found = said(lambda: load_model_tests(written(file, STARS.replace(old, new, 1))))
    assert found[0].startswith(expected)
    assert len(found) == 1


def test_a_table_needs_a_database(file: Path, environments: Path) -> None:
    remote = "host: https://x.org, path: a/b/fs/c, token: '${T}'"
    written(file, STARS)
    needs = "a model test with a `table` needs a database"
    told = f"{needs}, but environment `e` has none: add `database: URL` to its entry"
    assert said(lambda: load(file, written(environments, f"e: {{{remote}}}\n"))) == [f"2:8: {told}"]
    for entry in ("{host: sandbox}", "{host: '${HOST}'}", f"{{{remote}, database: 'sqlite:////x.db'}}"):
        load(file, written(environments, f"e: {entry}\n"))


def test_a_file_of_the_embedded_sandbox_counts_from_the_yaml_file(environments: Path) -> None:
    def resolved(entry: str) -> str:
        database = one(environments, entry).resolve({"PASSWORD": "p"}).database
        assert database is not None
        return database.get_secret_value()

    folder = environments.parent
    assert resolved("host: sandbox") == "sample:reviews"
    assert resolved("host: sandbox, database: 'sqlite:///a/b.db'") == f"sqlite:///{folder}/a/b.db"
    assert resolved("host: sandbox, database: 'sqlite:////a/b.db'") == "sqlite:////a/b.db"
    uri = "?mode=ro&uri=true"
    assert resolved(f"host: sandbox, database: 'sqlite:///file:b.db{uri}'") == f"sqlite:///file:{folder}/b.db{uri}"
    for same in (f"sqlite:///file:/a/b.db{uri}", "sqlite:///file:?mode=memory&uri=true"):
        assert resolved(f"host: sandbox, database: '{same}'") == same
    assert (
        resolved("host: sandbox, database: 'postgresql+psycopg://me:${PASSWORD}@h/x'")
        == "postgresql+psycopg://me:p@h/x"
    )
    remote = "host: https://x.org, path: a/b/fs/c, token: '${PASSWORD}'"
    assert resolved(f"{remote}, database: 'sqlite:///b.db'") == "sqlite:///b.db"


@pytest.mark.parametrize("database", ["reviews.db", "hunter2@x", "'sample:'", "sample:x/y", "5", "''"])
def test_what_is_no_database_is_not_shown(environments: Path, database: str) -> None:
    (found,) = said(lambda: load_environments(written(environments, f"e: {{host: sandbox, database: {database}}}\n")))
    assert "`database` has to be" in found or "`database` is empty" in found
    assert database.strip("'") in {"", "5"} or database not in found


def test_a_password_in_the_file_warns_and_one_in_a_variable_does_not(environments: Path) -> None:
    url = "postgresql+psycopg://me:{}@h/x"
    (caution,) = environment_warnings(one(environments, f"host: sandbox, database: '{url.format('hunter2')}'"), {})
    assert caution.message == (
        "environment `e` has the password of its database in the file; write `${VARIABLE}` instead, set it, "
        "and change this password"
    )
    environ = {"PASSWORD": "hunter2", "URL": url.format("hunter2")}
    for database in (url.format("${PASSWORD}"), "${URL}", "sqlite:///x.db", "postgresql://me@h/x"):
        assert environment_warnings(one(environments, f"host: sandbox, database: '{database}'"), environ) == []


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("postgresql+psycopg://me:hunter2@h/x", "hunter2"),
        ("postgresql://me:hun%2Fter%402@h/x", "hun/ter@2"),
        ("postgresql://h/x?user=me&password=hunter2", "hunter2"),
        ("iris://me:SY%53@h:1972/USER", "SYS"),
    ],
)
def test_the_password_of_a_url(url: str, secret: str) -> None:
    assert secret in passwords(url)
    assert not any(form in without_password(url) for form in passwords(url))
    assert "me" in without_password(url)


def test_a_url_without_a_password() -> None:
    assert passwords("sqlite:////x.db") == passwords("postgresql://me@h/x") == passwords("sample:reviews") == ()


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(password=TEXTS, name=TEXTS)
@example(password="p@ss/w%41rd#1?:[x] +&=y", name="me@corp")
def test_a_variable_in_a_url_is_the_value_itself(password: str, name: str) -> None:
    environ = {"PASSWORD": password, "NAME": name, "DRIVER": "postgresql+psycopg"}
    url = fill_in("${DRIVER}://${NAME}:${PASSWORD}@h:5432/x?password=${PASSWORD}", environ)
    parsed = make_url(url.text)
    assert (parsed.username, parsed.password, parsed.host, parsed.database) == (name, password, "h", "x")
    assert parsed.query["password"] == password
    assert not has_stray_at(url.text)
    assert password in passwords(url.text)
    assert make_url(fill_in("sqlite:////a/${NAME}/x.db", environ).text).database == f"/a/{name}/x.db"


def test_variables_of_a_url_that_are_not_set_are_named() -> None:
    assert fill_in("postgresql://${A}:${B:-x@y}@h/${A}", {}) == Expanded("postgresql://:x%40y@h/", ("A",))
    assert fill_in("${URL}", {"URL": "postgresql://me:p%40@h/x"}).text == "postgresql://me:p%40@h/x"


def test_an_at_sign_of_a_password_is_not_taken_for_the_host(environments: Path) -> None:
    entry = "host: sandbox, database: '${URL}'"
    (found,) = said(lambda: one(environments, entry).resolve({"URL": "postgresql://me:p@ss/word@h/x"}))
    assert "`database` has a misplaced `@`" in found
    assert "ss/word" not in found
    assert passwords("postgresql://me:p@ss/word@h/x") == ("p%40ss%2Fword", "p%40ss/word", "p@ss/word")
    assert passwords("postgresql://me:pa/ss@h/x") == ("pa%2Fss", "pa/ss")
