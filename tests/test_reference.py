"""Every name that the plugin adds to pytest is in the reference, with its default and its arguments."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any, cast

import pytest
import typer

from pytest_ibmodels import cli, hooks
from pytest_ibmodels.pytest import (
    fixtures,
    options,
)

DOCS = Path(__file__).parents[1] / "docs"
REFERENCE = (DOCS / "reference.md").read_text(encoding="utf-8")
FIXTURE = type(pytest.fixture(lambda: None))


def rows(section: str) -> dict[str, list[str]]:
    """Rows of the table in a section, by their first cell; code as plain text."""
    text = REFERENCE.partition(f"\n## {section}\n")[2].partition("\n## ")[0].replace("`", "")
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return {first: others for first, *others in cells[2:]}


class Recorder:
    """Fake parser of pytest that records what is added to it."""

    def __init__(self) -> None:
        self.options: list[str] = []
        self.settings: dict[str, str] = {}

    def getgroup(self, *_: str) -> Recorder:
        return self

    def addoption(self, *names: str, metavar: str = "", **_: Any) -> None:
        self.options += [f"{name} {metavar}".strip() for name in names]

    def addini(self, name: str, _help: str, *_: Any, default: Any = None, **__: Any) -> None:
        self.settings[name] = default if isinstance(default, str) else " ".join(default)


@pytest.fixture(scope="module")
def added() -> Recorder:
    recorder = Recorder()
    options.add_options(cast("pytest.Parser", recorder))
    return recorder


def test_every_option_is_in_the_reference(added: Recorder) -> None:
    short = [option.replace("--ibmodels-", "--", 1) for option in added.options]
    assert sorted(short) == sorted(rows("Options"))
    assert "--ibmodels-env NAME" in added.options
    assert all(option.startswith("--ibmodels-") for option in added.options)


def test_every_setting_is_in_the_reference_with_its_default(added: Recorder) -> None:
    assert {name: cells[0] for name, cells in rows("Settings").items()} == added.settings


def test_every_mark_is_in_the_reference() -> None:
    assert set(rows("Marks")) == set(options.MARKERS)


def test_every_fixture_is_in_the_reference_and_has_a_docstring() -> None:
    found: dict[str, object] = {
        name: fixture for name, fixture in vars(fixtures).items() if isinstance(fixture, FIXTURE)
    }
    found |= {name: function for name, (function, _) in fixtures.COMMON.items()}
    assert set(rows("Fixtures")) == set(found)
    assert [name for name, fixture in found.items() if not fixture.__doc__] == []
    extending = (DOCS / "extending.md").read_text(encoding="utf-8")
    assert [name for name in found if f"| `{name}` |" not in extending] == []


def test_every_hook_is_in_the_reference_with_its_arguments_and_has_a_docstring() -> None:
    found = {name: getattr(hooks, name) for name in vars(hooks) if name.startswith("pytest_")}
    signatures = {f"{name}({', '.join(inspect.signature(hook).parameters)})" for name, hook in found.items()}
    assert set(rows("Hooks")) == signatures
    assert [name for name, hook in found.items() if not hook.__doc__] == []


def test_every_fact_that_hooks_are_given_is_documented() -> None:
    extending = (DOCS / "extending.md").read_text(encoding="utf-8")
    facts = [field.name for field in dataclasses.fields(hooks.RunFacts)]
    assert [name for name in facts if not re.search(rf"^\| .*`run\.{name}`.* \|", extending, re.MULTILINE)] == []


def test_every_command_is_in_the_reference() -> None:
    group = cast("Any", typer.main.get_command(cli.app))
    assert set(rows("The command `ibmodels`")) == {f"ibmodels {name}" for name in group.commands}
