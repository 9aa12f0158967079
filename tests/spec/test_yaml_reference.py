"""The examples of `docs/yaml.md` behave as shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from pytest_ibmodels.spec import SpecError, load, load_environments
from pytest_ibmodels.spec.entries import ModelTestEntry
from pytest_ibmodels.spec.environment_entries import EnvironmentEntry

REFERENCE = Path(__file__).parents[2] / "docs" / "yaml.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    """YAML files by name, and the problems that are shown for them; None means that they are valid."""

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


@pytest.mark.parametrize(
    "example", [example for example in EXAMPLES if example.said is None], ids=lambda one: "+".join(one.files)
)
def test_right_examples_are_right(example: Example, here: Path) -> None:
    for name, text in example.files.items():
        (here / name).write_text(text, encoding="utf-8")
    if "model_tests.yaml" in example.files:
        tests, _ = load(here / "model_tests.yaml", here / "environments.yaml")
        assert tests.tests
    else:
        assert load_environments(here / "environments.yaml").path


@pytest.mark.parametrize(
    "example", [example for example in EXAMPLES if example.said and example.files], ids=lambda one: "+".join(one.files)
)
def test_mistakes_are_told_as_shown(example: Example, here: Path) -> None:
    for name, text in example.files.items():
        (here / name).write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load(here / "model_tests.yaml", here / "environments.yaml")
    assert str(caught.value) == example.said


def test_an_unset_variable_is_told_as_shown(here: Path) -> None:
    text = next(
        example.files["environments.yaml"]
        for example in EXAMPLES
        if "dogfood" in example.files.get("environments.yaml", "")
    )
    (here / "environments.yaml").write_text(text, encoding="utf-8")
    environments = load_environments(here / "environments.yaml").environments
    with pytest.raises(SpecError) as caught:
        environments["dogfood"].resolve({})
    assert [example.said for example in EXAMPLES if not example.files] == [str(caught.value)]
    assert environments["local"].resolve({}).data == here / ".sandbox"


def test_the_defaults_of_the_sandbox_are_those_shown(here: Path) -> None:
    text = next(
        example.files["environments.yaml"] for example in EXAMPLES if list(example.files) == ["environments.yaml"]
    )
    (here / "environments.yaml").write_text(text, encoding="utf-8")
    shown = load_environments(here / "environments.yaml").environments["sandbox"].resolve({})
    assert shown == load_environments(None).environments["sandbox"].resolve({})


@pytest.mark.parametrize("model", [ModelTestEntry, EnvironmentEntry])
def test_every_key_is_in_a_table(model: type[ModelTestEntry | EnvironmentEntry]) -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    assert [key for key in model.model_fields if not re.search(rf"^\| `{key}\b", text, re.MULTILINE)] == []
