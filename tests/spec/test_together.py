from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_ibmodels.spec import SpecError, check, load
from tests.spec.test_model_tests import NO_DATA
from tests.spec.yamlfiles import said, written

if TYPE_CHECKING:
    from pathlib import Path

TESTS = """
A:
  env: dogfod
  ibannotator: a/b/fs/c/d.ibannotator
  time_limit: 60
B:
  env: [sandbox, elsewhere]
  ibannotator: a/b/fs/c/d.ibannotator
  time_limit: 60
"""
ENVIRONMENTS = """
dogfood:
  host: https://dogfood.instabase.com
  path: a/b/fs/c
  token: ${DOGFOOD_TOKEN}
"""
UNKNOWN = [
    "3:8: unknown environment `dogfod`: did you mean `dogfood`? (environments: dogfood, sandbox)",
    "7:18: unknown environment `elsewhere` (environments: dogfood, sandbox)",
]


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    return tmp_path / "model_tests.yaml"


@pytest.fixture
def environments(tmp_path: Path) -> Path:
    return tmp_path / "environments.yaml"


def test_both_files_in_one_go(tests: Path, environments: Path) -> None:
    text = TESTS.replace("dogfod", "dogfood").replace("elsewhere", "dogfood")
    read, known = load(written(tests, text), written(environments, ENVIRONMENTS))
    assert list(read.tests) == ["A", "B"]
    assert list(known.environments) == ["dogfood", "sandbox"]


def test_no_environments_file_is_needed(tests: Path, environments: Path) -> None:
    text = TESTS.replace("dogfod", "sandbox").replace("[sandbox, elsewhere]", "sandbox")
    for path in (environments, None):
        _, known = load(written(tests, text), path)
        assert list(known.environments) == ["sandbox"]


def test_unknown_environments(tests: Path, environments: Path) -> None:
    assert said(lambda: load(written(tests, TESTS), written(environments, ENVIRONMENTS))) == UNKNOWN


def test_check_returns_the_problems(tests: Path, environments: Path) -> None:
    problems = check(written(tests, TESTS), written(environments, ENVIRONMENTS))
    assert [f"{problem.line}:{problem.column}: {problem.message}" for problem in problems] == UNKNOWN
    assert check(written(tests, ""), None) == []


def test_an_unknown_environment_in_an_anchor_is_told_once(tests: Path) -> None:
    text = ".d: &d\n  env: x\n  ibannotator: a/b/fs/c/d.ibannotator\n  time_limit: 5\nA: {<<: *d}\nB: {<<: *d}\n"
    assert said(lambda: load(written(tests, text), None)) == ["2:8: unknown environment `x` (environments: sandbox)"]


def test_everything_that_is_wrong_is_told_at_once(tests: Path, environments: Path) -> None:
    written(tests, TESTS + "C: {env: nowhere, time_limit: 5}\n")
    written(environments, ENVIRONMENTS + "staging: {hots: sandbox}\nelsewhere: 5\n")
    with pytest.raises(SpecError) as caught:
        load(tests, environments)
    known = "(environments: dogfood, staging, elsewhere, sandbox)"
    keys = "(keys: host, path, token, mounts, max_parallel, data, database, ca_bundle, verify, limits)"
    assert str(caught.value).splitlines() == [
        f"{environments}:6:11: unknown key `hots`: did you mean `host`? {keys}",
        f"{environments}:7:1: environment `elsewhere` has to be a mapping, but is the number 5",
        f"{tests}:3:8: unknown environment `dogfod`: did you mean `dogfood`? {known}",
        f"{tests}:10:1: model test `C` {NO_DATA}",
        f"{tests}:10:10: unknown environment `nowhere`: did you mean `elsewhere`? {known}",
    ]


def test_a_file_that_is_no_yaml_does_not_hide_the_other(tests: Path, environments: Path) -> None:
    written(tests, "A: {time_limit: 5, env: sandbox, ibannotator: 5}\n")
    written(environments, "a: 'x\n")
    assert said(lambda: load(tests, environments)) == [
        "2:1: not YAML: the quoted text that starts on line 1 is not closed",
        "1:47: `ibannotator` has to be text, but is the number 5: put it in quotes",
    ]


def test_problems_are_shown_relative_to_the_current_folder(
    tests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tests, "A: 5\n")
    message = "model_tests.yaml:1:1: model test `A` has to be a mapping, but is the number 5"
    with pytest.raises(SpecError) as caught:
        load(tests, None)
    assert str(caught.value) == f"{tmp_path}/{message}"
    monkeypatch.chdir(tmp_path)
    assert str(caught.value) == message


VOCABULARY = """
    A env host path token mounts metrics f1 min config time_limit inference documents sandbox 5e-5 '0.9' ~ << *a &a
    !!str ${A ${B:-} $${ a/b/fs/c https://x é # | " { } [ ] , :
"""
MARKS = [": ", ":", "\n", "\n  ", "\n    ", "\n  - ", ", ", " ", "\t", "\x07", "\n---\n"]
SCRAPS = st.lists(st.sampled_from(VOCABULARY.split() + MARKS), max_size=40).map("".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=400)
@given(SCRAPS, SCRAPS)
def test_whatever_stands_in_the_files_the_answer_is_values_or_problems(
    tests: Path, environments: Path, some: str, other: str
) -> None:
    tests.write_text(f"A:\n  env: {some}", encoding="utf-8")
    environments.write_text(f"A:\n  host: {other}", encoding="utf-8")
    with suppress(SpecError):
        _, known = load(tests, environments)
        for environment in known.environments.values():
            environment.resolve({})
