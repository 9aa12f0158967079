from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_ibmodels.spec import reader
from pytest_ibmodels.spec.reader import (
    MAX_ALIASED,
    Document,
    LocatedDict,
    LocatedList,
    pause_gc,
    plain_copy,
    read_yaml,
)
from tests.spec.yamlfiles import said, written

if TYPE_CHECKING:
    from pathlib import Path

PARSERS = [pytest.param(yaml.CBaseLoader, id="libyaml"), pytest.param(yaml.BaseLoader, id="pure Python")]


@pytest.fixture(params=PARSERS, autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every test with both of PyYAML's parsers."""
    monkeypatch.setattr(reader, "PARSER", request.param)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.yaml"


def values(file: Path, text: str) -> Any:
    document = read_yaml(written(file, text))
    assert document.problems == []
    return plain_copy(document.root)


def noted(file: Path, text: str) -> list[str]:
    """Problems of a file that is read in spite of them."""
    return [f"{found.line}:{found.column}: {found.message}" for found in read_yaml(written(file, text)).problems]


def test_values_and_their_places(file: Path) -> None:
    root = read_yaml(written(file, "A:\n  n: 5e-5\n  list: [x, '5']\n")).root
    assert plain_copy(root) == {"A": {"n": 5e-5, "list": ["x", "5"]}}
    inner = root["A"]
    assert isinstance(inner, LocatedDict)
    key, value = inner.marks["n"]
    assert (key.line, key.column, value.line, value.column) == (1, 2, 1, 5)
    assert isinstance(inner["list"], LocatedList)
    assert [(mark.line, mark.column) for mark in inner["list"].marks] == [(2, 9), (2, 12)]


def test_keys_are_text_as_they_stand(file: Path) -> None:
    assert values(file, "No: 1\n2024: 2\n1.50: 3\n~: 4\n'on': 5\n") == {"No": 1, "2024": 2, "1.50": 3, "~": 4, "on": 5}


def test_quotes_and_blocks_keep_text(file: Path) -> None:
    text = """
        a: '5'
        b: "true"
        c: |
          7
        d: >-
          1
          2
        e: !!str 9
        f: ! 9
    """
    assert values(file, text) == {"a": "5", "b": "true", "c": "7\n", "d": "1 2", "e": "9", "f": "9"}


def test_tags_of_plain_types_may_be_written_out(file: Path) -> None:
    assert values(file, "a: !!int '5'\nb: !!float 5\nc: !!map {x: !!null ''}\nd: !!seq [!!bool yes]\n") == {
        "a": 5,
        "b": 5,
        "c": {"x": None},
        "d": [True],
    }


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n", "---\n", "~\n", "\ufeff"])
def test_an_empty_file_is_an_empty_mapping(file: Path, text: str) -> None:
    assert values(file, text) == {}


def test_a_byte_order_mark_is_no_part_of_the_first_key(file: Path) -> None:
    assert values(file, "\ufeffa: 1\n") == {"a": 1}


def test_anchors_and_aliases(file: Path) -> None:
    assert values(file, "a: &x [1, 2]\nb: *x\nc: &s text\n*s : 3\n") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": "text",
        "text": 3,
    }


def test_merge_keys(file: Path) -> None:
    text = """
        one: &one {a: 1, b: 1}
        two: &two {b: 2, c: 2}
        single: {<<: *one, b: 9}
        several: {c: 9, <<: [*one, *two]}
        nested: &nested {<<: *one, d: 4}
        again: {<<: *nested}
        text: {'<<': 5}
    """
    read = values(file, text)
    assert read["single"] == {"a": 1, "b": 9}
    assert read["several"] == {"a": 1, "b": 1, "c": 9}
    assert read["again"] == {"a": 1, "b": 1, "d": 4}
    assert read["text"] == {"<<": 5}


def test_merged_keys_keep_their_own_places(file: Path) -> None:
    root = read_yaml(written(file, "a: &a\n  x: 1\nb:\n  <<: *a\n  y: 2\n")).root
    assert [mark.line for mark, _ in root["b"].marks.values()] == [1, 4]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", ["3:1: `a` is given twice, first on line 1: keep one of them"]),
        ("a:\n  f1: {x: 1, x: 2}\n", ["2:14: `x` is given twice, first on line 2: keep one of them"]),
        ("s: &s x\nx: 1\n*s : 2\n", ["3:1: `x` is given twice, first on line 2: keep one of them"]),
        (
            "a: &a {x: 1}\nb:\n  <<: *a\n  <<: *a\n",
            ["4:3: `<<` is given twice, first on line 3: merge a list instead, `<<: [*one, *other]`"],
        ),
        ("a: .nan\n", ["1:4: `.nan` is not a finite number: minimums, limits and hyperparameters have to be finite"]),
        (
            "a: [1e999]\n",
            ["1:5: `1e999` is not a finite number: minimums, limits and hyperparameters have to be finite"],
        ),
        ("a: !!timestamp 2024-01-31\n", ["1:4: the YAML tag `!!timestamp` has no meaning here: remove it"]),
        ("a: !ENV {b: 1}\n", ["1:4: the YAML tag `!ENV` has no meaning here: remove it"]),
    ],
)
def test_what_is_reported_while_reading_goes_on(file: Path, text: str, expected: list[str]) -> None:
    assert noted(file, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a\n", "1:1: the file has to be a mapping, `name:` and below it its keys, but is a list"),
        ("text\n", '1:1: the file has to be a mapping, `name:` and below it its keys, but is the text "text"'),
        ("a: 1\n---\nb: 2\n", "2:1: a second YAML document starts here: one file holds one, remove the `---`"),
        ("a: *x\n", "1:4: `*x` has no anchor `&x` above it"),
        ("b: &base 1\na: *bse\n", "2:4: `*bse` has no anchor `&bse` above it: did you mean `base`?"),
        ("a: &a [*a]\n", "1:8: `*a` stands inside `&a`: a value cannot contain itself"),
        ("a: {{x}}\n", "1:5: a key has to be text, but is a mapping: put it in quotes if it is text in brackets"),
        (
            "a: &n 5\n*n : 1\n",
            "2:1: a key has to be text, but is the number 5: put it in quotes if it is text in brackets",
        ),
        ("a: {<<: 3}\n", "1:9: `<<` merges a mapping or a list of mappings, but this is the number 3"),
        ("a: {<<: [3]}\n", "1:9: `<<` merges a mapping or a list of mappings, but this is the number 3"),
        ("a: " + "[" * 200 + "]" * 200, "1:103: nested more than 100 levels deep"),
    ],
)
def test_what_ends_reading(file: Path, text: str, expected: str) -> None:
    assert said(lambda: read_yaml(written(file, text))) == [expected]


def test_problems_found_before_reading_ends_are_told_too(file: Path) -> None:
    assert said(lambda: read_yaml(written(file, "a: 1\na: 2\nb: *x\n"))) == [
        "2:1: `a` is given twice, first on line 1: keep one of them",
        "3:4: `*x` has no anchor `&x` above it",
    ]


TAB = "not YAML: a tab in the indentation: indent with spaces only"
COLON = "not YAML: a second `:` on one line, or a line that is indented too far: put quotes around text that holds `: `"
MISFIT = "not YAML: unexpected text: its indentation is wrong, or it follows a closed quote or bracket"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A:\n\tenv: x\n", f"2:1: {TAB}"),
        ("A:\n  env: x\n\ttime_limit: 3\n", f"3:1: {TAB}"),
        (
            "A:\n  env: a: b\n",
            f"2:9: {COLON}",
        ),
        (
            "A:\n  env: a\n  x\n  b: 3\n",
            "4:3: not YAML: line 3 is not `key: value`: its `:` is missing, or its indentation is wrong",
        ),
        ('A:\n  env: "a\n  b: 3\n', "4:1: not YAML: the quoted text that starts on line 2 is not closed"),
        (
            "A:\n  env: [a\n  b: 3\n",
            "3:4: not YAML: the `[` of line 2 is not closed: a `,` or `]` is missing before this",
        ),
        (
            "A:\n  env: {a: 1\n  b: 3\n",
            "3:4: not YAML: the `{` of line 2 is not closed: a `,` or `}` is missing before this",
        ),
        ("A:\n  env: a\n b: 3\n", f"3:2: {MISFIT}"),
        ("A: 'x' y\n", f"1:8: {MISFIT}"),
        ("A: @x\n", "1:4: not YAML: this character cannot start a value: put the text in quotes"),
        ("A: & b\n", "1:5: not YAML: `&` starts the name of an anchor: put the text in quotes if it is not an anchor"),
        ("A: *\n", "1:5: not YAML: `*` starts the name of an anchor: put the text in quotes if it is not an anchor"),
        ("A: 1\nB: a\x07b\n", "2:5: not YAML: the control character '\\x07' is not allowed"),
    ],
)
def test_syntax_errors_in_plain_words(file: Path, text: str, expected: str) -> None:
    assert said(lambda: read_yaml(written(file, text))) == [expected]


def test_an_unknown_escape_names_the_way_out(file: Path) -> None:
    (problem,) = said(lambda: read_yaml(written(file, 'A: "a\\d"\n')))
    # The two parsers count the backslash differently.
    assert (
        problem.partition(": ")[2]
        == "not YAML: unknown `\\` escape in double quotes: write `\\\\`, or use single quotes"
    )


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert said(lambda: read_yaml(tmp_path / "none.yaml")) == ["1:1: no such file"]
    assert said(lambda: read_yaml(tmp_path)) == ["1:1: this is a folder, not a file"]
    assert said(lambda: read_yaml(written(tmp_path / "f", "") / "file.yaml")) == [
        "1:1: the file cannot be read: Not a directory"
    ]


def test_a_file_that_is_not_utf_8(file: Path) -> None:
    file.write_bytes("a: 1\nb: é\n".encode("latin-1"))
    assert said(lambda: read_yaml(file)) == ["2:4: byte 0xe9 is not UTF-8: save the file as UTF-8"]


def test_aliases_that_expand_without_end_are_refused_early(file: Path) -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (problem,) = said(lambda: read_yaml(written(file, "\n".join(levels))))
    assert problem.endswith(f"the aliases of this file expand to more than {MAX_ALIASED:,} values: use fewer `*`")


def test_merges_that_expand_without_end_are_refused_early(file: Path) -> None:
    levels = ["a0: &a0 {" + ", ".join(f"k{n}: x" for n in range(10)) + "}"]
    levels += [f"a{n}: &a{n} {{" + ", ".join(f"k{m}: *a{n - 1}" for m in range(10)) + "}" for n in range(1, 12)]
    levels += ["b: {<<: *a11}"]
    assert len(said(lambda: read_yaml(written(file, "\n".join(levels))))) == 1


def test_plain_values_are_nobody_elses(file: Path) -> None:
    root = read_yaml(written(file, "a: &a {x: [1]}\nb: *a\n")).root
    copied = plain_copy(root)
    copied["a"]["x"].append(2)
    assert copied["b"] == {"x": [1]}
    assert root["a"] == {"x": [1]}
    assert type(copied["a"]) is dict
    assert type(copied["a"]["x"]) is list


def test_the_collector_runs_again_after_a_pause_that_failed() -> None:
    assert gc.isenabled()

    def fail() -> None:
        with pause_gc():
            assert not gc.isenabled()
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    assert gc.isenabled()


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("abc 0.:#-'\"é"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcé 1", max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.dictionaries(st.text("abc", min_size=1), JSON_VALUES, max_size=3))
def test_what_pyyaml_writes_is_read_back(file: Path, value: dict[str, Any]) -> None:
    document: Document = read_yaml(written(file, yaml.safe_dump(value, allow_unicode=True)))
    assert document.problems == []
    assert plain_copy(document.root) == value
