from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_ibmodels.spec import InferenceSpec, MarkUse, Minimum, ModelTest, load_model_tests
from tests.spec.yamlfiles import RIGHT, entry, said, written

if TYPE_CHECKING:
    from pathlib import Path

ORIGINAL = """\
TestName:
  env: dogfood
  # The .ibannotator file specified should be accessible using the API key in environments.yaml
  ibannotator: ib_annotation/data/fs/Prod Drive/datasets/Something.ibannotator
  time_limit: 1200 # 1200 seconds = 20 minutes
  config:
    batch_size: 2
    learning_rate: 5.e-5
    use_mixed_precision: true
    upload: false
    use_gpu: true
  metrics: # all metrics currently assuming higher is better
    exact_match:
      DL Number: 0.9
      Name: 0.3
      Address: 0.9
    precision:
      DL Number: 0.9
"""

NO_DATA = (
    "has no data to train on: give it `ibannotator`, the drive path of an Annotator project, `table` and `columns` "
    "of the environment's database, or `function` and `data` of your own"
)
KEYS = (
    "(keys: env, ibannotator, table, function, data, columns, limit, p_of_train, group_column, split_column, "
    "better_than_current, time_limit, config, repeats, resources, retries, metrics, baseline, trend, inference, marks, "
    "skip, xfail, package)"
)


def test_the_original_example_in_full(file: Path) -> None:
    read = load_model_tests(written(file, ORIGINAL))
    assert read.path == file
    assert dict(read.tests) == {
        "TestName": ModelTest(
            name="TestName",
            line=1,
            env=("dogfood",),
            ibannotator="ib_annotation/data/fs/Prod Drive/datasets/Something.ibannotator",
            time_limit=1200.0,
            config={
                "batch_size": 2,
                "learning_rate": 5e-5,
                "use_mixed_precision": True,
                "upload": False,
                "use_gpu": True,
            },
            metrics={
                "exact_match": {"DL Number": Minimum(0.9), "Name": Minimum(0.3), "Address": Minimum(0.9)},
                "precision": {"DL Number": Minimum(0.9)},
            },
            inference=InferenceSpec("first"),
        )
    }


def test_what_may_be_left_out(file: Path) -> None:
    test = load_model_tests(written(file, entry())).tests["A"]
    assert (test.config, test.metrics, test.inference.documents) == ({}, {}, "first")


def test_tests_keep_the_order_of_the_file(file: Path) -> None:
    text = "".join(entry(name=name) for name in ("Z", "a.b-c_1", "2024"))
    assert list(load_model_tests(written(file, text)).tests) == ["Z", "a.b-c_1", "2024"]


@pytest.mark.parametrize("text", ["", "# nothing yet\n"])
def test_an_empty_file_has_no_tests(file: Path, text: str) -> None:
    assert dict(load_model_tests(written(file, text)).tests) == {}


@pytest.mark.parametrize(("env", "names"), [("one", ("one",)), ("[one, two]", ("one", "two")), ("'2024'", ("2024",))])
def test_env_is_one_name_or_a_list(file: Path, env: str, names: tuple[str, ...]) -> None:
    text = entry().replace("env: sandbox", f"env: {env}")
    assert load_model_tests(written(file, text)).tests["A"].env == names


def test_the_leading_slash_of_a_drive_path_is_dropped(file: Path) -> None:
    text = entry().replace("me/repo", "/me/repo")
    assert load_model_tests(written(file, text)).tests["A"].ibannotator == "me/repo/fs/Drive/a.ibannotator"


@pytest.mark.parametrize(("text", "documents"), [("first", "first"), ("all", "all"), ("3", 3)])
def test_inference_documents(file: Path, text: str, documents: object) -> None:
    read = load_model_tests(written(file, entry(f"inference: {{documents: {text}}}")))
    assert read.tests["A"].inference.documents == documents


def test_marks_reasons_and_a_package(file: Path) -> None:
    text = entry("marks: [nightly, big]", "skip: ' not now '", "xfail: 'no'", "package: other/code")
    test = load_model_tests(written(file, text)).tests["A"]
    assert (test.marks, test.skip, test.xfail) == ((MarkUse("nightly", 5, 11), MarkUse("big", 5, 20)), "not now", "no")
    assert test.package == "other/code"
    assert load_model_tests(written(file, entry("marks: big"))).tests["A"].marks == (MarkUse("big", 5, 10),)


def test_config_is_passed_on_as_it_is(file: Path) -> None:
    text = entry("config: {a: 5e-5, b: '5e-5', c: [1, {d: null}], day: 2024-01-31, yes: no, e: 1_000}")
    assert load_model_tests(written(file, text)).tests["A"].config == {
        "a": 5e-5,
        "b": "5e-5",
        "c": [1, {"d": None}],
        "day": "2024-01-31",
        "yes": False,
        "e": 1000,
    }


def test_anchors_merge_keys_and_places_for_them(file: Path) -> None:
    text = """
        .defaults: &defaults
          env: sandbox
          time_limit: 60
          config: &config {batch_size: 2, epochs: 1}
        .limits: &limits {f1: {Name: 0.9}}
        A:
          <<: *defaults
          ibannotator: me/repo/fs/Drive/a.ibannotator
          config: {<<: *config, epochs: 3}
          metrics: *limits
        B:
          <<: [*defaults]
          ibannotator: me/repo/fs/Drive/b.ibannotator
          time_limit: 90
    """
    tests = load_model_tests(written(file, text)).tests
    assert list(tests) == ["A", "B"]
    assert tests["A"].config == {"batch_size": 2, "epochs": 3}
    assert tests["A"].metrics == {"f1": {"Name": Minimum(0.9)}}
    assert tests["B"].config == {"batch_size": 2, "epochs": 1}
    assert tests["B"].time_limit == 90


@pytest.mark.parametrize("name", ["x-ray", "x-", "-x", "_x", "a.b"])
def test_only_a_dot_hides_a_key(file: Path, name: str) -> None:
    text = f"{name}: {{env: sandbox, ibannotator: a/b/fs/c/d.ibannotator, time_limit: 60}}\n"
    assert list(load_model_tests(written(file, "." + text + text)).tests) == [name]


def test_a_mistake_in_an_anchor_is_told_once_and_where_it_is(file: Path) -> None:
    text = ".d: &d\n  <<: {}\n  time_limit: soon\n" + "".join(
        f"{name}:\n  <<: *d\n  env: sandbox\n  ibannotator: a/b/fs/c/d.ibannotator\n" for name in "AB"
    )
    assert said(lambda: load_model_tests(written(file, text))) == [
        '3:15: `time_limit` has to be a number, but is the text "soon"'
    ]


def test_all_problems_at_once_in_the_order_of_the_file(file: Path) -> None:
    text = "A:\n  envs: sandbox\n  time_limit: '60'\nB: 5\nA: {}\n"
    assert said(lambda: load_model_tests(written(file, text))) == [
        f"1:1: model test `A` {NO_DATA}",
        f"2:3: unknown key `envs`: did you mean `env`? {KEYS}",
        '3:15: `time_limit` has to be a number, but is the text "60": remove the quotes',
        "4:1: model test `B` has to be a mapping, but is the number 5",
        "5:1: `A` is given twice, first on line 1: keep one of them",
    ]


NAME_RULE = "names of model tests consist of letters, digits, `_`, `-` and `.`, but"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("A B", f'1:1: {NAME_RULE} "A B" contains " "'),
        ("A::B", f'1:1: {NAME_RULE} "A::B" contains ":"'),
        ("Größe", f'1:1: {NAME_RULE} "Größe" contains "ö"'),
        ("''", f"1:1: {NAME_RULE} this one is empty"),
    ],
)
def test_wrong_names(file: Path, name: str, expected: str) -> None:
    assert said(lambda: load_model_tests(written(file, entry(name=name)))) == [expected]


PATH_RULE = "2:16: `ibannotator` has to be"
PROJECT_RULE = f"{PATH_RULE} the drive path of an Annotator project, OWNER/REPO/fs/DRIVE/…/NAME.ibannotator"
ENV_RULE = "2:8: `env` has to be the name of an environment or a list of names"
MARKS_RULE = "`marks` has to be the name of a mark or a list of names"
DOCUMENTS_RULE = "2:26: `inference.documents` has to be first, all, or a number of documents from 1"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "env: 5",
            f"{ENV_RULE}, but is the number 5: put it in quotes",
        ),
        (
            "env: on",
            f"{ENV_RULE}, but is the truth value true: put it in quotes",
        ),
        ("env:", "2:7: `env` is empty: give it a value"),
        ("env: []", f"{ENV_RULE}, but is an empty list"),
        ("env: {a: b}", f"{ENV_RULE}, but is a mapping"),
        ("env: [a, 5]", "2:8: `env` has to be a list of names, but its item 2 is the number 5: put it in quotes"),
        ("env: [a, b, a]", "2:8: `env` has `a` twice: keep one of them"),
        ("ibannotator: 5", f"{PATH_RULE} text, but is the number 5: put it in quotes"),
        ("ibannotator: a.ibannotator", f'{PATH_RULE} a drive path, OWNER/REPO/fs/DRIVE/…, but is "a.ibannotator"'),
        (
            "ibannotator: a/b/c/d/e.ibannotator",
            f'{PATH_RULE} a drive path, OWNER/REPO/fs/DRIVE/…, but is "a/b/c/d/e.ibannotator"',
        ),
        (
            "ibannotator: a//fs/d/e.ibannotator",
            f'{PATH_RULE} a drive path, OWNER/REPO/fs/DRIVE/…, but is "a//fs/d/e.ibannotator"',
        ),
        (
            "ibannotator: a/b/fs/../e.ibannotator",
            f'{PATH_RULE} a full drive path, but "a/b/fs/../e.ibannotator" contains `..`',
        ),
        (
            'ibannotator: "a/b/fs/d/\\ne.ibannotator"',
            f'{PATH_RULE} a drive path, but "a/b/fs/d/\\ne.ibannotator" contains a control character',
        ),
        (
            "ibannotator: a/b/fs/d/e.json",
            f'{PROJECT_RULE}, but is "a/b/fs/d/e.json"',
        ),
        (
            "ibannotator: a/b/fs/d.ibannotator",
            f'{PROJECT_RULE}, but is "a/b/fs/d.ibannotator"',
        ),
        ("time_limit: '60'", '2:15: `time_limit` has to be a number, but is the text "60": remove the quotes'),
        ("time_limit: 20:00", '2:15: `time_limit` has to be a number, but is the text "20:00"'),
        ("time_limit: 060", '2:15: `time_limit` has to be a number, but is the text "060": remove the leading zero'),
        ("repeats: 0", "2:12: `repeats` has to be a number from 1, but is the number 0"),
        ("repeats: 21", "2:12: `repeats` has to be a number up to 20, but is the number 21"),
        ("repeats: 1.5", "2:12: `repeats` has to be a whole number, but is the number 1.5"),
        ("repeats: yes", "2:12: `repeats` has to be a whole number, but is the truth value true"),
        ("time_limit: yes", "2:15: `time_limit` has to be a number, but is the truth value true"),
        ("time_limit: 0", "2:15: `time_limit` has to be a number above 0, but is the number 0"),
        ("time_limit: -1.5", "2:15: `time_limit` has to be a number above 0, but is the number -1.5"),
        (
            "time_limit: .inf",
            "2:15: `.inf` is not a finite number: minimums, limits and hyperparameters have to be finite",
        ),
        (
            "time_limit: 1" + "0" * 400,
            f"2:15: `time_limit` has to be a number, but is the number 1{'0' * 59}…: it is too large",
        ),
        ("config: 5", "2:11: `config` has to be a mapping, but is the number 5"),
        ("config: []", "2:11: `config` has to be a mapping, but is a list"),
        ("config:", "2:10: `config` is empty: give it a value, or remove the key"),
        ("metrics: [f1]", "2:12: `metrics` has to be a mapping, but is a list"),
        (
            "metrics: {f1: 0.9}",
            "2:17: `metrics.f1` has to be a mapping, but is the number 0.9: a minimum belongs to a field, `FIELD: 0.9`",
        ),
        (
            "inference: all",
            '2:14: `inference` has to be false, or a mapping such as {documents: all}, but is the text "all"',
        ),
        (
            "inference: {document: 1}",
            "2:15: unknown key `inference.document`: did you mean `documents`? (keys: documents)",
        ),
        (
            "inference: {documents: 0}",
            f"{DOCUMENTS_RULE}, but is the number 0",
        ),
        (
            "inference: {documents: 1.5}",
            f"{DOCUMENTS_RULE}, but is the number 1.5",
        ),
        (
            "inference: {documents: true}",
            f"{DOCUMENTS_RULE}, but is the truth value true",
        ),
        (
            "inference: {documents: last}",
            f'{DOCUMENTS_RULE}, but is the text "last"',
        ),
        ("marks:", "2:9: `marks` is empty: give it a value, or remove the key"),
        ("marks: []", f"2:10: {MARKS_RULE}, but is an empty list"),
        ("marks: [a, 5]", "2:10: `marks` has to be a list of names, but its item 2 is the number 5: put it in quotes"),
        (
            "marks: a b",
            '2:10: `marks` has to be names of marks, of letters, digits and `_`, but has "a b"',
        ),
        ("marks: [a, a]", "2:10: `marks` has `a` twice: keep one of them"),
        ("marks: skip", "2:10: `marks` cannot have `skip`: write `skip: REASON` beside `marks`"),
        (
            "marks: [parametrize]",
            "2:10: `marks` cannot have `parametrize`: it needs arguments, which only Python can give",
        ),
        (
            "skip: yes",
            "2:9: `skip` has to be text, but is the truth value true: put it in quotes",
        ),
        ("skip: ''", '2:9: `skip` has to be text that is not empty, but is the text ""'),
        ("xfail:", "2:9: `xfail` is empty: give it a value, or remove the key"),
        ("package: 5", "2:12: `package` has to be text, but is the number 5: put it in quotes"),
        ("mark: a", f"2:3: unknown key `mark`: did you mean `marks`? {KEYS}"),
        ("name: B", f"2:3: unknown key `name` {KEYS}"),
        ("line: 3", f"2:3: unknown key `line`: did you mean `baseline`? {KEYS}"),
        ("environment: sandbox", f"2:3: unknown key `environment`: did you mean `env`? {KEYS}"),
        ("Metrics: {}", f"2:3: unknown key `Metrics`: did you mean `metrics`? {KEYS}"),
    ],
)
def test_wrong_entries(file: Path, line: str, expected: str) -> None:
    key = line.partition(":")[0]
    others = [right for right in RIGHT.splitlines() if not right.startswith(f"{key}:")]
    text = "A:\n" + "".join(f"  {each}\n" for each in [line, *others])
    assert said(lambda: load_model_tests(written(file, text))) == [expected]


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    assert said(lambda: load_model_tests(tmp_path / "model_tests.yaml")) == ["1:1: no such file"]


NAMES = st.text("abcXYZ019_-.", min_size=1, max_size=12).filter(lambda name: not name.startswith("."))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(NAMES, st.floats(0, 1e300), st.floats(1e-300, 1e300))
def test_names_and_numbers_come_back_as_they_are_written(file: Path, name: str, minimum: float, limit: float) -> None:
    text = f"""
        '{name}':
          env: '{name}'
          ibannotator: a/b/fs/c/d.ibannotator
          time_limit: {limit!r}
          metrics: {{f1: {{'{name}': {minimum!r}}}}}
    """
    test = load_model_tests(written(file, text)).tests[name]
    assert (test.name, test.env, test.time_limit) == (name, (name,), limit)
    assert test.metrics == {"f1": {name: Minimum(minimum)}}
