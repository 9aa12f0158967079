"""Invisible characters are reported with their name, code point and place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from pytest_ibmodels.redaction import is_invisible, visible
from pytest_ibmodels.spec import SpecError, load, load_environments, reader
from pytest_ibmodels.spec.reader import plain_copy, read_yaml
from tests.spec.yamlfiles import said, written

if TYPE_CHECKING:
    from pathlib import Path

PARSERS = [pytest.param(yaml.CBaseLoader, id="libyaml"), pytest.param(yaml.BaseLoader, id="pure Python")]
SPACE = "is in the place of a space: write a plain space"
UNSEEN = "is invisible here: remove it, or put the text in quotes"


@pytest.fixture(params=PARSERS, autouse=True)
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "PARSER", request.param)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Good:\n\u00a0\u00a0env: dogfood\n", f"2:1: a no-break space, U+00A0, {SPACE}"),
        ("Good:\n  env:\u00a0dogfood\n  time_limit: 60\n", f"2:7: a no-break space, U+00A0, {SPACE}"),
        ("Good:\n  env:\u202fdogfood\n", f"2:7: a narrow no-break space, U+202F, {SPACE}"),
        ("Good:\n  env:\n  -\u2003a\n  - b\n", f"3:4: an em space, U+2003, {SPACE}"),
        ("Good:\n  env: [a,\u00a0b]\n", f"2:11: a no-break space, U+00A0, {SPACE}"),
        ("Good:\n  metrics: {f1:\u3000{Name: 0.9}}\n", f"2:16: an ideographic space, U+3000, {SPACE}"),
        ("Good:\n  env: a\u00a0# why\n", f"2:9: a no-break space, U+00A0, {SPACE}"),
        ("Good\u00a0:\n  env: a\n", f"1:5: a no-break space, U+00A0, {SPACE}"),
        ("Good:\r\n\u00a0 env: a\r\n", f"2:1: a no-break space, U+00A0, {SPACE}"),
        ("Good:\n  env: dogfood\u200b\n", f"2:15: a zero-width space, U+200B, {UNSEEN}"),
        ("Good:\n  env: dog\u200bfood\n", f"2:11: a zero-width space, U+200B, {UNSEEN}"),
        ("Good:\n  ti\u00adme_limit: 60\n", f"2:5: a soft hyphen, U+00AD, {UNSEEN}"),
        ("Good:\n  env: \ufeffdogfood\n", f"2:8: a byte order mark, U+FEFF, {UNSEEN}"),
        ("Good:\n  \ufeffenv: dogfood\n", f"2:3: a byte order mark, U+FEFF, {UNSEEN}"),
        ("Good: \u200e{env: a}\n", f"1:7: a left-to-right mark, U+200E, {UNSEEN}"),
        ("Good:\n  env: \u202edogfood\n", f"2:8: a right-to-left override, U+202E, {UNSEEN}"),
    ],
)
def test_a_stray_character_is_named_where_it_stands(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "file.yaml"
    file.write_bytes(text.encode())
    other = written(tmp_path / "other.yaml", "{}")
    assert problem in said(lambda: load(file, other))
    assert said(lambda: load_environments(file)) == [problem]


@pytest.mark.parametrize(
    "text",
    [
        "Prix\u00a0total",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\U0001f469\u200d\U0001f4bb works",
        "\u2764\ufe0f",
        "caf\u00e9",
        '"x\u200b"',
        "'\u00a0'",
        "a # \u200b why",
    ],
)
def test_what_may_be_meant_is_read(tmp_path: Path, text: str) -> None:
    document = read_yaml(written(tmp_path / "file.yaml", f"A:\n  skip: {text}\n"))
    assert document.problems == []
    assert plain_copy(document.root) == yaml.safe_load(f"A:\n  skip: {text}\n")


def test_messages_show_what_cannot_be_seen(tmp_path: Path) -> None:
    file = written(tmp_path / "model_tests.yaml", 'Good:\n  env: "dogfood\u200b"\n  time_limit: "6\u00a00"\n')
    environments = written(tmp_path / "environments.yaml", "dogfood:\n  host: sandbox\n")
    with pytest.raises(SpecError) as caught:
        load(file, environments)
    text = str(caught.value)
    assert "dogfood\\u200b`: did you mean `dogfood`?" in text
    assert '"6\\u00a00"' in text or '"6\\xa00"' in text
    assert not any(map(is_invisible, text))


def test_an_accent_that_stands_apart_is_shown() -> None:
    assert visible("caf\u00e9 cafe\u0301 \u0928\u093f") == "caf\u00e9 cafe\\u0301 \u0928\u093f"
