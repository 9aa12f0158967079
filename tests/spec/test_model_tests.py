from __future__ import annotations

from textwrap import indent
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_ibmodels.spec import InferenceSpec, MarkUse, Minimum, ModelTest, ResourcesSpec, load_model_tests
from tests.spec.yamlfiles import said, written

if TYPE_CHECKING:
    from pathlib import Path

RIGHT = """\
env: sandbox
ibannotator: me/repo/fs/Drive/a.ibannotator
time_limit: 60
"""

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

METRICS = "(metrics: exact_match, precision, recall, f1, value_f1, accuracy, ece)"
NO_DATA = (
    "has no data to train on: give it `ibannotator`, the drive path of an Annotator project, `table` and `columns` "
    "of the environment's database, or `function` and `data` of your own"
)
KEYS = (
    "(keys: env, ibannotator, table, function, data, columns, limit, p_of_train, group_column, split_column, "
    "better_than_current, time_limit, config, repeats, resources, retries, metrics, baseline, trend, inference, marks, "
    "skip, xfail, package)"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model_tests.yaml"


def entry(*lines: str, name: str = "A") -> str:
    """A valid model test with additional lines, which start on line 5."""
    return f"{name}:\n{indent(RIGHT, '  ')}" + "".join(f"  {line}\n" for line in lines)


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


def test_a_minimum_may_be_written_long_and_above_one(file: Path) -> None:
    text = entry("metrics:", "  f1:", "    Name: {min: 0.9}", "    Total: 1.01", "    Long:", "      min: 1")
    metrics = load_model_tests(written(file, text)).tests["A"].metrics
    assert metrics == {"f1": {"Name": Minimum(0.9), "Total": Minimum(1.01), "Long": Minimum(1.0)}}


def test_bounds_may_be_below_above_or_both(file: Path) -> None:
    text = entry("metrics:", "  f1:", "    Name: {max: 0.9}", "    Total: {min: 0.5, max: 0.5}", "    min: 0.7")
    metrics = load_model_tests(written(file, text)).tests["A"].metrics
    assert metrics == {"f1": {"Name": Minimum(None, 0.9), "Total": Minimum(0.5, 0.5), "min": Minimum(0.7)}}


def test_a_metric_of_one_value_has_its_bounds_below_its_name(file: Path) -> None:
    of_one = ("  eval_loss: {max: 0.4}", "  accuracy: {min: 0.5, max: 0.9}", "  ece: {max: 0.08}")
    text = entry("metrics:", *of_one, "  macro_f1:", "    min: 1")
    assert load_model_tests(written(file, text)).tests["A"].metrics == {
        "eval_loss": {"all": Minimum(None, 0.4)},
        "accuracy": {"all": Minimum(0.5, 0.9)},
        "macro_f1": {"all": Minimum(1.0)},
        "ece": {"all": Minimum(None, 0.08)},
    }


def test_fields_may_be_called_min_and_max_everywhere(file: Path) -> None:
    text = entry("metrics:", "  loss: {min: {max: 0.4}, max: {max: 0.5}}", "  f1: {min: {min: 0.9}, max: 0.8}")
    assert load_model_tests(written(file, text)).tests["A"].metrics == {
        "loss": {"min": Minimum(None, 0.4), "max": Minimum(None, 0.5)},
        "f1": {"min": Minimum(0.9), "max": Minimum(0.8)},
    }


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (
            "loss: {Name: 0.4}",
            '6:18: `metrics.loss.Name` is a minimum, but "loss" should be low: write `{max: 0.4}`, or `{min: 0.4}` i',
        ),
        (
            "bleu: 0.4",
            "6:11: `metrics.bleu` has to be a mapping, but is the number 0.4: write `{min: 0.4}` or `{max: 0.4}`, or",
        ),
        (
            "ece: {all: 0.08}",
            '6:16: `metrics.ece.all` is a minimum, but "ece" should be low: write `{max: 0.08}`, or `{min: 0.08}` i',
        ),
        (
            "ece: 0.08",
            "6:10: `metrics.ece` has to be a mapping, but is the number 0.08: it should be low, so write `{max: 0",
        ),
        (
            "loss: {max: 0.2, min: 0.4}",
            "6:11: `metrics.loss` has a `min` of 0.4 above its `max` of 0.2: no value could pass",
        ),
        ("rmse: {max: -1}", "6:11: `metrics.rmse` has to be a number from 0, but is the number -1"),
    ],
)
def test_the_direction_of_a_bound_is_never_guessed_wrong(file: Path, metric: str, expected: str) -> None:
    (problem,) = said(lambda: load_model_tests(written(file, entry("metrics:", f"  {metric}"))))
    assert problem.startswith(expected)


def test_a_name_that_goes_on_after_that_of_a_metric_is_no_slip(file: Path) -> None:
    text = entry("metrics: {precision_5: {Name: 0.5}, macro.recall: {Name: 0.5}, ce: {max: 0.5}}")
    assert list(load_model_tests(written(file, text)).tests["A"].metrics) == ["precision_5", "macro.recall", "ce"]


def test_other_metrics_may_be_named(file: Path) -> None:
    text = entry("metrics: {accuracy: {Name: 0.5}, splitter_f1: {split: 0.5}, support: {Name: 5}}")
    assert list(load_model_tests(written(file, text)).tests["A"].metrics) == ["accuracy", "splitter_f1", "support"]


def test_field_names_are_any_text(file: Path) -> None:
    text = entry("metrics: {f1: {No: 0.1, 2024: 0.2, Straße & Nr.: 0.3}}")
    assert list(load_model_tests(written(file, text)).tests["A"].metrics["f1"]) == ["No", "2024", "Straße & Nr."]


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


@pytest.mark.parametrize(
    ("minimum", "expected"),
    [
        ("'0.9'", 'a number, but is the text "0.9": remove the quotes'),
        ("0,9x", 'a number, but is the text "0,9x"'),
        ("high", 'a number, but is the text "high"'),
        ("90%", 'a number, but is the text "90%": write 0.9'),
        ("'0,9'", 'a number, but is the text "0,9": write 0.9'),
        ("true", "a number, but is the truth value true"),
        ("[0.9]", "a number, but is a list"),
        ("-0.1", "a number from 0, but is the number -0.1"),
    ],
)
def test_wrong_minimums(file: Path, minimum: str, expected: str) -> None:
    text = entry("metrics:", "  f1:", f"    DL Number: {minimum}")
    assert said(lambda: load_model_tests(written(file, text))) == [f"7:18: `metrics.f1.DL Number` has to be {expected}"]


@pytest.mark.parametrize(
    ("minimum", "expected"),
    [
        (
            "{}",
            "7:13: `metrics.f1.Name` has no bound: give it a `min`, a `max`, or both",
        ),
        (
            "{min: 0.9, max: 0.5}",
            "7:13: `metrics.f1.Name` has a `min` of 0.9 above its `max` of 0.5: no value could pass",
        ),
        ("{max: -1}", "7:19: `metrics.f1.Name.max` has to be a number from 0, but is the number -1"),
        ("~", "7:13: `metrics.f1.Name` is empty: give it a value, or remove the key"),
        ("{max: ~}", "7:19: `metrics.f1.Name.max` is empty: give it a value, or remove the key"),
        ("{min: '0.9'}", '7:19: `metrics.f1.Name.min` has to be a number, but is the text "0.9": remove the quotes'),
        ("{minimum: 0.9}", "7:14: unknown key `metrics.f1.Name.minimum`: did you mean `min`? (keys: min, max)"),
        (".nan", "7:13: `.nan` is not a finite number: minimums, limits and hyperparameters have to be finite"),
    ],
)
def test_wrong_long_minimums(file: Path, minimum: str, expected: str) -> None:
    text = entry("metrics:", "  f1:", f"    Name: {minimum}")
    assert said(lambda: load_model_tests(written(file, text))) == [expected]


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (
            "precison",
            f"unknown metric `precison`: did you mean `precision`? {METRICS}",
        ),
        ("F1", f"unknown metric `F1`: did you mean `f1`? {METRICS}"),
        (
            "exact-match",
            f"unknown metric `exact-match`: did you mean `exact_match`? {METRICS}",
        ),
        ("macro f1", f'invalid metric name "macro f1": it contains " " {METRICS}'),
    ],
)
def test_wrong_metrics(file: Path, metric: str, expected: str) -> None:
    text = entry("metrics:", f"  {metric}: {{Name: 0.5}}")
    assert said(lambda: load_model_tests(written(file, text))) == [f"6:5: {expected}"]


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


GIB = 2**30


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), (None, None)),
        (
            ("resources: {cpus: 2, gpus: 1, memory: 8 GiB}", "retries: 0", "config: {use_cpu: false}"),
            (ResourcesSpec(2.0, 1, 8 * GIB), 0),
        ),
        (("resources: {cpus: 0.5}", "retries: 10"), (ResourcesSpec(0.5, 0, None), 10)),
        (("resources: {memory: 1.5GiB}",), (ResourcesSpec(1.0, 0, 3 * GIB // 2), None)),
        (("resources: {memory: 2 GB}",), (ResourcesSpec(1.0, 0, 2_000_000_000), None)),
        (("resources: {memory: 3_000_000_000}",), (ResourcesSpec(1.0, 0, 3_000_000_000), None)),
    ],
)
def test_resources_and_retries(file: Path, lines: tuple[str, ...], expected: tuple[ResourcesSpec | None, int]) -> None:
    test = load_model_tests(written(file, entry(*lines))).tests["A"]
    assert (test.resources, test.retries) == expected


TEXT = "5:23: `resources.memory` has to be text such as 8 GiB, or a number of bytes, but is"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("resources: {memory: 8G}",), f'{TEXT} the text "8G": write 8 GiB'),
        (("resources: {memory: 8gb}",), f'{TEXT} the text "8gb": write 8 GB'),
        (
            ("resources: {memory: 8 KiB}",),
            f'{TEXT} the text "8 KiB": units are MiB, GiB, TiB, MB, GB, TB',
        ),
        (("resources: {memory: 8e9}",), f"{TEXT} the number 8000000000.0"),
        (
            ("resources: {memory: 8}",),
            "5:23: `resources.memory` is 8 bytes, less than any training needs: write it with its unit, as in 8 GiB",
        ),
        (
            (f"resources: {{memory: {'9' * 400} GiB}}",),
            f'5:23: `resources.memory` is the text "{"9" * 60}…", more than any machine has',
        ),
        (
            ("resources: {}",),
            "5:14: `resources` names nothing: give it `cpus`, `gpus` or `memory`, or remove it",
        ),
        (("resources: 2",), "5:14: `resources` has to be a mapping, but is the number 2"),
        (
            ("resources: {cpu: 2}",),
            "5:15: unknown key `resources.cpu`: did you mean `cpus`? (keys: cpus, gpus, memory)",
        ),
        (("resources: {cpus: 0}",), "5:21: `resources.cpus` has to be a number above 0, but is the number 0"),
        (("resources: {gpus: 0.5}",), "5:21: `resources.gpus` has to be a whole number, but is the number 0.5"),
        (("retries: 11",), "5:12: `retries` has to be a number up to 10, but is the number 11"),
        (
            ("resources: {gpus: 1}", "config: {use_gpu: false}"),
            "5:21: `resources.gpus` is 1, but `config.use_gpu` is false, so the training would use none: remove one",
        ),
    ],
)
def test_wrong_resources_and_retries(file: Path, lines: tuple[str, ...], expected: str) -> None:
    assert said(lambda: load_model_tests(written(file, entry(*lines)))) == [expected]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("repeats: 3", "config: {seed: 7}"), (3, 7)),
        (("repeats: 3", "config: {}"), (3, 42)),
        (("config: {seed: x}",), (1, None)),
    ],
)
def test_repeats_count_seeds_from_the_config(file: Path, lines: tuple[str, ...], expected: tuple[int, int]) -> None:
    test = load_model_tests(written(file, entry(*lines))).tests["A"]
    assert (test.repeats, test.seed) == expected


@pytest.mark.parametrize("seed", ["x", "1.5", "yes"])
def test_repeats_need_a_whole_number_as_the_seed(file: Path, seed: str) -> None:
    text = entry("repeats: 2", f"config: {{seed: {seed}}}")
    (said_of_it,) = said(lambda: load_model_tests(written(file, text)))
    assert said_of_it.endswith(
        ": `config.seed` has to be a whole number, since `repeats` counts the seeds of further trainings from it"
    )
