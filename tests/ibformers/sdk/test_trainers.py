"""Trainers checked without a sandbox: what a good one writes and reports, and what is said of a bad one."""

from __future__ import annotations

import importlib
import json
import random
import subprocess
import sys
import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from ibformers.endpoints import run_promote_table
from ibformers.errors import ModelIsWorse, TrainingInputError
from ibformers.sdk import Job
from ibformers.sdk.statistics import intervals, wilson
from ibformers.sdk.testing import Checked, _LocalFiles, check_trainer
from ibformers.sdk.values import as_text, fingerprint, plain, row_key
from ibformers.statistics import wilson as wilson_of_scipy
from ibformers.tasks.text_classification import keys
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Check = Callable[..., Checked]

TRAINER = """
import json
from ibformers.sdk import Job, Result, trainer

def save(folder):
    (folder / "words").mkdir()
    (folder / "words" / "words.json").write_text(json.dumps({"money": "spam"}))

def predict(text):
    return "spam" if "money" in text else "ham"

@trainer
def train(job: Job) -> Result:
    train, test = job.split(job.read_table(), by="text")
    for step in (1, 2):
        job.log(step=step, of=2, loss=1 / step, speed=3)
    found = [{"input": row["text"], "predicted": predict(row["text"]), "expected": row["label"]} for row in test]
    right = sum(one["predicted"] == one["expected"] for one in found)
    return Result({"accuracy": right / len(found)}, found, save)

def load(folder):
    words = json.loads((folder / "words" / "words.json").read_text())
    return lambda text: next((label for word, label in words.items() if word in text), "ham")
"""
ROWS = "text,label\n" + "".join(f'"{word}, {number}",{label}\n' for number in range(60) for word, label in
                               (("money", "spam"), ("lunch", "ham")))  # fmt: skip


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Check]:
    """Write a package and a table, and check its trainer."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "train.csv").write_text(ROWS)
    (tmp_path / "mytrainer").mkdir()

    def run(code: str = TRAINER, data: Any = "train.csv", **options: Any) -> Checked:
        (tmp_path / "mytrainer" / "__init__.py").write_text(textwrap.dedent(code))
        importlib.invalidate_caches()
        module = importlib.import_module("mytrainer")
        paths = [tmp_path / one for one in ([data] if isinstance(data, str) else data)]
        return check_trainer(module.train, paths, **options)

    yield run
    sys.modules.pop("mytrainer", None)


def returning(result: str, more: str = "") -> str:
    """A trainer whose result is on line 7."""
    head = "from pathlib import Path\nfrom ibformers.sdk import Job, Result, trainer\n\n\n@trainer\ndef train(job):\n"
    return f"{head}    return {result}\n{more}"


def test_a_trainer_writes_and_reports_what_the_protocol_asks_for(check: Check) -> None:
    checked = check()
    assert checked.metrics == {"accuracy": 1.0}
    assert checked.intervals["accuracy"] == pytest.approx(wilson_of_scipy(checked.served, checked.served))
    assert set(checked.predictions.values()) == {"spam", "ham"}
    assert checked.served == len(checked.predictions) > 10
    assert [point["step"] for point in checked.history] == [1.0, 2.0]
    assert checked.history[1] == {"step": 2.0, "loss": 0.5, "metrics": {"speed": {"all": 3.0}}}
    assert checked.messages[0] == "Model training in progress."


def test_a_model_that_predicts_something_else_than_training_is_told(check: Check) -> None:
    with pytest.raises(AssertionError, match="row-1: training predicted '.*', but the loaded model 'eggs' for"):
        check(TRAINER.replace("return lambda text: ", "return lambda text: 'eggs' or "))


BAD = {
    returning("None"): "mytrainer/__init__.py:5: the trainer returned nothing: return a `Result`, which has metrics.",
    returning("{'accuracy': 1}"): "mytrainer/__init__.py:5: the trainer returned a dict: *",
    returning("Result({})"): "mytrainer/__init__.py:7: the result has no metrics: give it some, as in *",
    returning("Result({'f1': {'spam': float('nan')}})"): (
        "mytrainer/__init__.py:7: metric `f1.spam` is NaN: report a finite number, or leave it out."
    ),
    returning("Result({'loss': 'low'})"): "mytrainer/__init__.py:7: metric `loss` is 'low', not a number: *",
    returning("Result({'a': 1}, [{'predicted': 'x', 'input': Path('x')}])"): (
        "mytrainer/__init__.py:7: prediction 1: `input` is a PosixPath, which JSON does not have."
    ),
    returning("Result({'a': 1}, [{'predicted': ['x']}])"): (
        "mytrainer/__init__.py:7: prediction 1: `predicted` is ['x'], not a text, a number or a truth value."
    ),
    returning("Result({'a': 1}, [{'id': 'a', 'predicted': 1}, {'id': 'a', 'predicted': 2}])"): (
        "mytrainer/__init__.py:7: prediction 2 has the id 'a', as an earlier one has."
    ),
    returning("Result({'a': 1}, [{'expected': 1}])"): "mytrainer/__init__.py:7: prediction 1: it has no `predicted`.",
    returning("Result({'a': 1}, [{'predicted': 1, 'gold': 2}])"): (
        "mytrainer/__init__.py:7: prediction 1: unknown key `gold` (keys: id, input, predicted, expected, score)."
    ),
    returning("Result({'a': 1}, ['x'])"): "mytrainer/__init__.py:7: prediction 1: it is a str, not a mapping *",
    returning("Result({'a': 1}, model=(lambda: 1, 2))"): (
        "mytrainer/__init__.py:7: the model cannot be saved: PicklingError: *: give `model` an object that *"
    ),
    returning("Result({'a': 1}, model=save)", "def save(folder):\n    (folder / 'x' / 'y').write_text('')\n"): (
        "mytrainer/__init__.py:9: the model cannot be saved: FileNotFoundError: "
        "[Errno 2] No such file or directory: 'x/y': *"
    ),
    returning("Result({'a': 1}, model='weights')"): (
        "mytrainer/__init__.py:7: the model cannot be saved: FileNotFoundError*"
    ),
    returning("Result({'a': 1})"): (
        "mytrainer/__init__.py:1: there is no `load(folder)`, so the model cannot be served: add one that returns a "
        "function of an input, or set `inference: false` in the model test."
    ),
    returning("Result({'a': 1})", "def load(folder):\n    return open(folder / 'w.pt')\n"): (
        "mytrainer/__init__.py:9: load() raised FileNotFoundError: [Errno 2] No such file or directory: 'w.pt'."
    ),
    returning("Result({'a': 1})", "def load(folder):\n    return 7\n"): (
        "mytrainer/__init__.py:8: load() returned a int: return a function of an input."
    ),
    returning("Result({'a': 1}, [{'predicted': 1, 'input': 'x'}])", "def load(folder):\n    return lambda x: x[9]\n"): (
        "mytrainer/__init__.py:9: the loaded model failed: IndexError: string index out of range."
    ),
    returning("job.log(loss=float('inf'))"): "mytrainer/__init__.py:7: job.log: `loss` is infinite.",
    returning("job.open('test.csv')"): "mytrainer/__init__.py:7: The data has no file test.csv*: there is train.csv.",
    returning("job.split(['one'])"): "mytrainer/__init__.py:7: The split of 1 rows by the row leaves none to t*.",
}  # fmt: skip


@pytest.mark.parametrize("code", BAD)
def test_a_mistake_is_one_sentence_with_file_and_line(check: Check, code: str) -> None:
    with pytest.raises(TrainingInputError) as raised:
        check(code)
    message = raised.value.user_message
    assert "\n" not in message
    assert "/tmp" not in message  # noqa: S108
    start, star, end = BAD[code].partition("*")
    assert message.startswith(start)
    assert message.endswith(end.rpartition("*")[2]) if star else message == start


CONFIGS = """
    from dataclasses import dataclass
    from pydantic import BaseModel
    from ibformers.sdk import Job, Result, trainer

    @dataclass
    class Settings:
        rate: float
        epochs: int = 3

    class Model(BaseModel):
        rate: float
        epochs: int = 3

    @trainer(config=CLASS)
    def train(job):
        return Result({"rate": job.config.rate, "epochs": job.config.epochs, "seed": job.seed})
"""


@pytest.mark.parametrize("kind", ["Settings", "Model"])
@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"rate": 2, "seed": 7, "split_seed": 1}, {"rate": 2.0, "epochs": 3, "seed": 7}),
        ({"rat": 0.5}, "mytrainer/__init__.py:15: config has no `rat` (did you mean rate?) (keys: epochs, rate)."),
        ({}, "mytrainer/__init__.py:15: config is invalid: *rate*"),
        ({"rate": 1.0, "epochs": "many"}, "mytrainer/__init__.py:15: config is invalid: `epochs`*"),
    ],
)
def test_a_config_of_ones_own_is_checked(check: Check, kind: str, config: dict[str, Any], told: Any) -> None:
    code = CONFIGS.replace("CLASS", kind)
    if isinstance(told, dict):
        assert check(code, config=config, inference=False).metrics == told
        return
    with pytest.raises(TrainingInputError) as raised:
        check(code, config=config)
    start, _, part = told.partition("*")
    assert raised.value.user_message.startswith(start)
    assert part.rstrip("*") in raised.value.user_message


def test_a_model_in_use_is_compared_by_rows_and_replaced_on_request(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    check()
    train, models, files = sys.modules["mytrainer"].train, tmp_path / "models", _LocalFiles(tmp_path)
    arguments = {"file_client": files, "models_path": str(models), "current_model": "Mails", "model_name": "M"}
    arguments["data"] = [{"path": str(tmp_path / "train.csv"), "files": None}]
    first = train(save_path="one", **arguments)
    assert first["current"] == {"version": None, "has_learned": False, "evaluation_results": {}}
    assert first["comparison"] is None
    promoted = run_promote_table("one", files, str(models), "M")
    assert promoted["in_use"]

    second = train(save_path="two", **arguments)
    assert second["current"]["version"] == promoted["in_use"]
    assert second["current"]["evaluation_results"]["f1"]["weighted avg"] == 1.0
    assert second["test_part"] == first["test_part"]
    compared = second["comparison"]
    assert (compared["rows"], compared["learned"]) == (first["test_part"]["count"], 0)
    assert compared["f1"]["difference"] == compared["only_old_right"] == 0

    # With another split, rows that the model in use has learned are left out.
    other = train(save_path="three", hyperparams={"split_seed": 5}, **arguments)["comparison"]
    assert other["rows"] + other["learned"] == len(json.loads(files.read_file("three/predictions.json")))
    assert other["learned"] > 10

    monkeypatch.setattr(sys.modules["mytrainer"], "predict", lambda text: "ham")  # noqa: ARG005
    worse = train(save_path="four", **arguments)["comparison"]
    assert worse["f1"]["high"] < 0
    assert worse["worse"][0] | {"row": 0, "text": ""} == {
        "row": 0,
        "text": "",
        "label": "spam",
        "old": "spam",
        "new": "ham",
    }
    with pytest.raises(ModelIsWorse, match="Mails stays as it is: the new model is certainly worse"):
        run_promote_table("four", files, str(models), "M")

    monkeypatch.setattr(sys.modules["mytrainer"], "load", lambda folder: 1 / 0)  # noqa: ARG005
    unknown = train(save_path="five", **arguments)
    assert unknown["comparison"] is None
    assert unknown["current"]["evaluation_results"] == {"accuracy": 1.0}  # as its own training reported
    assert "load() raised ZeroDivisionError: division by zero" in caplog.text


NUMBERS = """
    from ibformers.sdk import Result, trainer

    @trainer
    def train(job):
        rows = [{"input": {"x": x / 7}, "predicted": x / 7 * ERROR, "expected": x / 7} for x in range(1, 40)]
        return Result({"rmse": 0.0}, rows)

    def load(folder):
        return lambda row: row["x"]
"""


def test_numbers_may_differ_in_their_last_digits(check: Check) -> None:
    checked = check(NUMBERS.replace("ERROR", "(1 + 3e-6)"))
    assert checked.served == 39
    assert checked.predictions["row-1"] == "0.142857"
    assert checked.intervals == {}


def test_numbers_that_differ_are_told(check: Check) -> None:
    with pytest.raises(AssertionError, match="row-1: training predicted '0.144286', but the loaded model '0.142857'"):
        check(NUMBERS.replace("ERROR", "1.01"))


def test_tables_are_read_strictly(tmp_path: Path) -> None:
    def read(name: str, text: str) -> Any:
        (tmp_path / name).write_text(text)
        return Job(data_paths=[tmp_path / name]).read_table()

    assert read("a.csv", '\ufefftext,label\n"a\nb",x\n') == [{"text": "a\nb", "label": "x"}]
    assert read("a.tsv", "text\tlabel\na,b\tx\n") == [{"text": "a,b", "label": "x"}]
    assert read("a.jsonl", '{"a": null}\n\n{"a": 2}\n') == [{"a": None}, {"a": 2}]
    for name, text, told in (
        ("b.csv", "a,b\n1,2\n1,2,3\n", "b.csv:3: this row has not as many cells as the header."),
        ("b.csv", "a,b\n1\n", "b.csv:2: this row has not as many cells as the header."),
        ("b.csv", "a,b\n", "b.csv has no rows."),
        ("b.jsonl", "[1]\n", "b.jsonl:1: this line is no JSON object."),
        ("b.jsonl", "{\n", "b.jsonl cannot be read as a table: *"),
    ):
        with pytest.raises(TrainingInputError, match=told.replace("*", ".*")):
            read(name, text)


def test_files_are_found_by_name_and_below_folders(tmp_path: Path) -> None:
    (tmp_path / "images" / "a").mkdir(parents=True)
    (tmp_path / "images" / "a" / "1.txt").write_text("ä")
    (tmp_path / "labels.csv").write_text("id\n1\n")
    job = Job(data_paths=[tmp_path / "images", tmp_path / "labels.csv"])
    with job.open("a/1.txt") as file:
        assert file.read() == "ä"
    assert job.read_table("labels.csv") == [{"id": "1"}]
    assert [job.path(name) for name in ("images", "a")] == [tmp_path / "images", tmp_path / "images" / "a"]
    with pytest.raises(TrainingInputError, match=r"The data has no file images: there is a/1.txt, labels.csv"):
        job.open("images")
    with pytest.raises(TrainingInputError, match=r"names 2 paths: use `job.data_paths` or `job.open\(NAME\)`"):
        _ = job.data_path
    with pytest.raises(TrainingInputError, match=r"The data has 2 files \(a/1.txt, labels.csv\): name one"):
        job.read_table()
    with pytest.raises(TrainingInputError, match="`data` of the model test names no path: add one"):
        _ = Job().data_path


def test_the_split_is_that_of_tables() -> None:
    texts = [f"Straße {number} ΐ" for number in range(300)] + ["plain text", "Plain  TEXT "]
    job = Job(seed=9, split_seed=7)
    train, test = job.split(texts, train=0.7)
    as_keys = np.array([keys.text_key(text) for text in texts], dtype=np.uint64)
    sides = keys.training_mask(as_keys, 0.7, 7)
    assert train == [text for text, side in zip(texts, sides, strict=True) if side]
    assert len(train) + len(test) == len(texts)
    assert fingerprint(row_key(text) for text in texts) == keys.fingerprint(as_keys)
    rows = [{"text": text, "n": number} for number, text in enumerate(texts)]
    for by in ("text", lambda row: row["text"]):
        assert [row["text"] for row in job.split(rows, by=by, train=0.7)[0]] == train
    assert sorted(row["n"] for part in job.split(rows) for row in part) == list(range(len(rows)))


def test_an_empty_text_is_no_value() -> None:
    pairs = [("9.00", "9.00")] * 12 + [("9.00", "1.00")] * 4 + [("9.00", "")] * 2 + [("", "1.00")] * 2 + [("", "")] * 80
    value = 2 * 12 / (18 + 18)
    low, high = intervals({"value_f1": {"all": value}}, pairs, seed=1)["value_f1"]["all"]
    assert 0.4 < low < value < high < 0.9


def test_intervals_are_those_of_the_reported_metrics() -> None:
    assert wilson(20, 20) == pytest.approx(wilson_of_scipy(20, 20))
    assert wilson(3, 17) == pytest.approx(wilson_of_scipy(3, 17))
    chance = random.Random(3)  # noqa: S311
    pairs = [(label, label if chance.random() < 0.8 else "c") for label in chance.choices("ab", k=300)]
    right, found = zip(*pairs, strict=True)
    labels = ["a", "b"]
    scores = {"precision": precision_score, "recall": recall_score, "f1": f1_score}
    metrics: dict[str, Any] = {}
    for name, score in scores.items():
        each = score(right, found, labels=labels, average=None, zero_division=0)
        mean = float(score(right, found, average="weighted", zero_division=0))
        metrics[name] = {**dict(zip(labels, map(float, each), strict=True)), "weighted avg": mean}
    metrics |= {"accuracy": sum(a == b for a, b in pairs) / 300, "loss": 0.4, "auc": 0.5}
    got = intervals(metrics, pairs, seed=1)
    assert set(got) == {"precision", "recall", "f1", "accuracy"}  # nothing is known of the others
    counts = Counter(pairs)
    assert got["recall"]["a"] == pytest.approx(wilson(counts["a", "a"], counts["a", "a"] + counts["a", "c"]))
    low, high = got["f1"]["weighted avg"]
    assert low < metrics["f1"]["weighted avg"] < high
    assert 0.03 < high - low < 0.12
    assert intervals({"accuracy": 0.123}, pairs, seed=1) == {}  # the metric was measured on something else


def test_values_of_other_libraries_become_plain() -> None:
    assert plain({np.int64(1): np.array([1.5, 2]), "x": (np.bool_(True), None)}) == {"1": [1.5, 2.0], "x": [True, None]}
    texts = [as_text(value) for value in (np.str_("a"), np.float32(0.1), 1 / 3, 7, True)]
    assert texts == ["a", "0.1", "0.333333", "7", "True"]


def test_the_sdk_needs_nothing_but_python() -> None:
    script = (
        "import sys; before = set(sys.modules); import ibformers.sdk, ibformers.sdk.testing; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert set(done.stdout.split()) - sys.stdlib_module_names == {"ibformers"}
