"""Model tests on a function of the project's own, and models that are not served."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_ibmodels.spec import DataPath, InferenceSpec, ScriptSpec, load, load_model_tests
from tests.spec.yamlfiles import said, written

MAILS = "A:\n  env: sandbox\n  function: mytrainer.train\n  data: ./train.csv\n  time_limit: 60\n"


def test_a_function_and_what_belongs_to_it(file: Path) -> None:
    text = MAILS.replace("./train.csv", "[../x/train.csv, /srv/a/fs/b, /me/data/fs/D/i, me/data/fs/D/images/]")
    tests, _ = load(written(file, text + "  better_than_current: {max_drop: 0.01}\n  inference: false\n"), None)
    test, place = tests.tests["A"], "model_tests.yaml:4"
    assert test.script == ScriptSpec(
        "mytrainer.train",
        (
            DataPath("../x/train.csv", file.parents[1] / "x" / "train.csv", place),
            DataPath("/srv/a/fs/b", Path("/srv/a/fs/b"), place),
            DataPath("/me/data/fs/D/i", Path("/me/data/fs/D/i"), place),
            DataPath("me/data/fs/D/images", None, place),
        ),
        max_drop=0.01,
    )
    assert (test.ibannotator, test.table, test.package) == ("", None, "mytrainer")
    assert test.inference == InferenceSpec(enabled=False)
    assert test.dataset.startswith("function mytrainer.train on ../x/train.csv, /srv/a/fs/b, ")


def test_the_folder_of_the_code_may_be_elsewhere(file: Path) -> None:
    test = load_model_tests(
        written(file, MAILS.replace("mytrainer.", "mytrainer.jobs.") + "  package: src/mytrainer\n")
    )
    assert test.tests["A"].package == "src/mytrainer"
    without = load_model_tests(written(file, MAILS.replace("  data: ./train.csv\n", ""))).tests["A"]
    assert without.script == ScriptSpec("mytrainer.train")
    assert without.dataset == "function mytrainer.train on no data"


def test_every_route_may_do_without_inference(file: Path) -> None:
    text = "A: {env: sandbox, ibannotator: a/b/fs/c/d.ibannotator, time_limit: 5, inference: false}\n"
    assert not load_model_tests(written(file, text)).tests["A"].inference.enabled
    assert load_model_tests(written(file, text.replace("false", "true"))).tests["A"].inference == InferenceSpec()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "mytrainer.train",
            "train",
            "3:13: `function` has to be the dotted path of a function, FOLDER.FUNCTION or FOL",
        ),
        ("mytrainer.train", "my-trainer.train", "3:13: `function` has to be the dotted path of a function, FOLDER.FUN"),
        ("mytrainer.train", "json.train", "3:13: `function` begins with `json`, which is a module of Python itself: "),
        ("mytrainer.train", "5", "3:13: `function` has to be text, but is the number"),
        (
            "./train.csv",
            "{}",
            "4:9: `data` has to be a local file or folder, a drive path, or a list of these, but is ",
        ),
        (
            "./train.csv",
            "[]",
            "4:9: `data` has to be a local file or folder, a drive path, or a list of these, but is ",
        ),
        ("./train.csv", "[a/x.csv, b/x.csv]", '4:9: `data` has two paths that end in "x.csv", by which the training f'),
        ("60\n", "60\n  limit: 5\n", "6:3: `limit` needs a `table`: remove it"),
        ("60\n", "60\n  ibannotator: a/b/fs/c/d.ibannotator\n", "3:3: `function` and `ibannotator` exclude each"),
        ("60\n", "60\n  package: src/other\n", '6:12: `package` ends in "other", but `function` begins with "mytrain'),
        (
            "function: mytrainer.train",
            "ibannotator: a/b/fs/c/d.ibannotator",
            "4:3: `data` needs a `function`: remove it",
        ),
        ("function:", "funktion:", "3:3: unknown key `funktion`: did you mean `function`?"),
    ],
)
def test_mistakes(file: Path, old: str, new: str, expected: str) -> None:
    first, *_ = said(lambda: load_model_tests(written(file, MAILS.replace(old, new))))
    assert first.startswith(expected)
