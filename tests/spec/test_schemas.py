from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pytest_ibmodels.spec import schemas
from pytest_ibmodels.spec.reader import plain_copy, read_yaml

ROOT = Path(__file__).parents[2]
ENTRY: dict[str, Any] = {"env": "sandbox", "ibannotator": "a/b/fs/c/d.ibannotator", "time_limit": 60}
REMOTE: dict[str, Any] = {"host": "https://x.org", "path": "a/b/fs/c", "token": "${T}"}


def errors(file: str, value: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(schemas.schemas()[file])
    return [error.message for error in validator.iter_errors(value)]


def test_committed_schemas_are_current() -> None:
    assert schemas.main(["--check", str(ROOT / "schemas")]) == 0


def test_the_command_writes_and_compares(tmp_path: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pytest_ibmodels.spec.schemas", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

    first = run("--check")
    assert first.returncode == 1
    assert first.stderr.splitlines() == [
        "schemas/model_tests.schema.json is not current: run python -m pytest_ibmodels.spec.schemas schemas",
        "schemas/environments.schema.json is not current: run python -m pytest_ibmodels.spec.schemas schemas",
    ]
    assert (run("schemas").returncode, run("--check").returncode) == (0, 0)
    assert sorted(file.name for file in (tmp_path / "schemas").iterdir()) == [schemas.ENVIRONMENTS, schemas.MODEL_TESTS]
    assert (run("an/other").returncode, run("--check", "an/other").returncode, run().returncode) == (0, 0, 0)
    (tmp_path / "schemas" / schemas.MODEL_TESTS).write_text("{}\n", encoding="utf-8")
    assert run("--check").stderr.splitlines() == first.stderr.splitlines()[:1]


@pytest.mark.parametrize("name", [schemas.MODEL_TESTS, schemas.ENVIRONMENTS])
def test_schemas_are_valid_and_describe_every_key(name: str) -> None:
    schema = schemas.schemas()[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    for definition in schema["$defs"].values():
        assert definition["description"]
        for key, value in definition.get("properties", {}).items():
            assert value.get("description") or "$ref" in value, key


def reference_files() -> list[tuple[str, str]]:
    """Examples of the reference before its section "Mistakes"."""
    text = (ROOT / "docs" / "yaml.md").read_text(encoding="utf-8").partition("## Mistakes")[0]
    return re.findall(r"^```yaml\n# (model_tests|environments)\.yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("kind", "text"), reference_files())
def test_the_examples_of_the_reference_are_accepted(kind: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(text, encoding="utf-8")
    value = plain_copy(read_yaml(file).root)
    assert value
    assert errors(f"{kind}.schema.json", value) == []
    # Editors read YAML 1.1 or 1.2, not our dialect.
    assert errors(f"{kind}.schema.json", yaml.safe_load(text)) == []


@pytest.mark.parametrize("kind", ["model_tests", "environments"])
def test_the_files_of_this_repository_are_accepted(kind: str) -> None:
    file = ROOT / f"{kind}.yaml"
    assert errors(f"{kind}.schema.json", plain_copy(read_yaml(file).root)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"inference": {"documents": 3}},
        {"marks": ["a", "b"], "skip": "not now", "xfail": "broken", "package": "other"},
        {"marks": "a"},
        {"env": ["a", "b"]},
        {"metrics": {"f1": {"A": 0, "B": {"min": 1.01}}, "accuracy": {"A": 0.5}}},
        {"metrics": {"f1": {"A": {"min": 0.5, "max": 1}}, "loss": {"max": 0.4}, "rmse": {"A": {"max": 3}}}},
        {"config": {"anything": [1, None, {"x": "y"}]}},
        {"ibannotator": "/a/b/fs/c/x y/d.ibannotator"},
    ],
)
def test_right_model_tests_are_accepted(change: dict[str, Any]) -> None:
    assert errors(schemas.MODEL_TESTS, {"A": ENTRY | change, ".defaults": 5, "x-y": ENTRY}) == []


@pytest.mark.parametrize(
    "change",
    [
        {"envs": "sandbox"},
        {"env": []},
        {"env": "a b"},
        {"env": ["a", "a"]},
        {"ibannotator": "a/b/fs/c/d.json"},
        {"time_limit": "60"},
        {"time_limit": 0},
        {"config": None},
        {"metrics": {"f1": 0.9}},
        {"metrics": {"f1": {"A": "0.9"}}},
        {"metrics": {"f1": {"A": -1}}},
        {"metrics": {"f1": {"A": {"max": -1}}}},
        {"metrics": {"f1": {"A": {}}}},
        {"metrics": {"macro f1": {"A": 0.9}}},
        {"inference": {"documents": 0}},
        {"inference": {"document": "all"}},
        {"marks": ["a", "a"]},
        {"marks": "skip"},
        {"marks": "a b"},
        {"skip": True},
        {"package": 5},
    ],
)
def test_wrong_model_tests_are_not(change: dict[str, Any]) -> None:
    assert errors(schemas.MODEL_TESTS, {"A": ENTRY | change})


@pytest.mark.parametrize("key", ["env", "ibannotator", "time_limit"])
def test_required_keys_of_model_tests(key: str) -> None:
    assert errors(schemas.MODEL_TESTS, {"A": {name: value for name, value in ENTRY.items() if name != key}}) == [
        f"'{key}' is a required property"
    ]


def test_only_a_dot_hides_a_key() -> None:
    assert errors(schemas.MODEL_TESTS, {".ray": None, ".": 5, "..": {}}) == []
    assert errors(schemas.MODEL_TESTS, {"x-ray": None}) == ["None is not of type 'object'"]
    assert errors(schemas.ENVIRONMENTS, {"x-ray": None}) == ["None is not of type 'object'"]


def test_wrong_names_are_not_accepted() -> None:
    assert errors(schemas.MODEL_TESTS, {"A B": ENTRY})
    assert errors(schemas.ENVIRONMENTS, {"A B": REMOTE})


@pytest.mark.parametrize(
    "entry",
    [
        REMOTE,
        {"host": "sandbox"},
        {"host": "sandbox", "mounts": {"a/b/fs/c": "x"}, "data": "y", "max_parallel": "${N:-2}"},
        {"host": "${HOST:-sandbox}", "mounts": {}},
    ],
)
def test_right_environments_are_accepted(entry: dict[str, Any]) -> None:
    assert errors(schemas.ENVIRONMENTS, {"e": entry}) == []


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"host": "https://x.org"},
        {"host": "x.org", "path": "a/b/fs/c", "token": "t"},
        REMOTE | {"mounts": {}},
        REMOTE | {"data": "x"},
        REMOTE | {"max_parallel": 0},
        REMOTE | {"max_parallel": "two"},
        REMOTE | {"tokn": "x"},
        REMOTE | {"token": None},
    ],
)
def test_wrong_environments_are_not(entry: dict[str, Any]) -> None:
    assert errors(schemas.ENVIRONMENTS, {"e": entry})
