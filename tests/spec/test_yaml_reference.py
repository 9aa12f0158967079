"""What `docs/yaml.md` shows is what happens."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from pytest_ibmodels.spec import SpecError, load, load_environments
from pytest_ibmodels.spec.entries import EnvironmentEntry, ModelTestEntry

REFERENCE = Path(__file__).parents[2] / "docs" / "yaml.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    """YAML files by name, and what is said about them (nothing: they are right)."""

    files: dict[str, str]
    said: str | None


def examples() -> list[Example]:
    found: list[Example] = []
    files: dict[str, str] = {}
    for kind, text in BLOCK.findall(REFERENCE.read_text(encoding="utf-8")):
        if kind == "text":
            found.append(Example(files, text.rstrip("\n")))
            files = {}
            continue
        name = text.partition("\n")[0].removeprefix("# ")
        if name in files or (files and name == "model_tests.yaml"):
            found.append(Example(files, None))
            files = {}
        if name.endswith(".yaml"):
            files[name] = text
    return found


EXAMPLES = examples()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_there_are_examples_of_both_kinds() -> None:
    assert sum(example.said is None for example in EXAMPLES) >= 3
    assert sum(example.said is not None for example in EXAMPLES) >= 3
