"""Training job on a table: its files, its package, and its promotion."""

from __future__ import annotations

import base64
import importlib
import json
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from ibformers.endpoints import run_promote_table, run_train_table
from ibformers.registry.store import ModelStore
from ibformers.tuning import ModelBusy, ModelIsWorse, NoCandidate, Predictor, RequestRefused
from tests.databases import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Drive:
    """File client of a drive in a folder."""

    root: Path

    def read_file(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def write_file(self, path: str, data: bytes) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def json(self, path: str) -> Any:
        return json.loads(self.read_file(path))


class Job:
    """Metadata client that keeps the reported metadata."""

    job_id = "job-1"

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {}

    def update_metadata(self, metadata: dict[str, Any]) -> None:
        self.metadata = metadata

    def update_message(self, message: str) -> None:
        pass


@dataclass(frozen=True)
class Trained:
    drive: Drive
    models: Path
    database: str
    base: Path
    model: str = "stars"

    def train(self, save_path: str, **hyperparams: Any) -> dict[str, Any]:
        """Train a copy of the model in use and return the reported metadata."""
        job = Job()
        run_train_table(
            {"num_labels": 5, "base_model": str(self.base), **hyperparams},
            "iris.Review",
            "ReviewLabel,ReviewText",
            self.database,
            save_path,
            self.drive,
            "somebody",
            job,
            limit=120,
            current_model=self.model,
            models_path=str(self.models),
            model_name=f"stars_{save_path}",
        )
        return job.metadata

    def promote(self, save_path: str, **force: bool) -> dict[str, Any]:
        return run_promote_table(save_path, self.drive, str(self.models), f"stars_{save_path}", **force)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path, sqlite: str) -> Trained:
    folder = tmp_path_factory.mktemp("job")
    (folder / "models").mkdir()
    return Trained(Drive(folder / "drive"), folder / "models", sqlite, tiny_bert)


@pytest.fixture
def _imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in [name for name in sys.modules if name.startswith("model_stars")]:
        del sys.modules[name]


@pytest.mark.usefixtures("_imports")
def test_trained_served_promoted_and_trained_again(trained: Trained) -> None:
    first = trained.train(
        "a", num_train_epochs=10, learning_rate=0.01, per_device_train_batch_size=16, ordered_labels=False
    )
    assert first["progress"] == 1.0
    assert first["current"]["version"] is None
    assert not first["current"]["has_learned"]
    assert first["comparison"] is None
    low, high = first["evaluation_intervals"]["f1"]["weighted avg"]
    assert low <= first["evaluation_results"]["f1"]["weighted avg"] <= high
    results = first["evaluation_results"]
    assert {"macro avg", "weighted avg", *results["support"]} == set(results["f1"])
    assert results["accuracy"] > 0.9
    assert list(trained.models.iterdir()) == []  # nothing is in use yet, and nothing waits

    predictions, inputs = trained.drive.json("a/predictions.json"), trained.drive.json("a/inputs.json")
    tested = first["test_part"]["count"]
    assert tested == sum(results["support"].values())
    assert list(predictions) == list(inputs) == [f"row-{number}" for number in range(1, tested + 1)]
    assert served(trained.drive.root / "a/saved_model", inputs) == {
        row: fields["ReviewLabel"]["text"] for row, fields in predictions.items()
    }

    assert trained.promote("a")["previous"] is None
    store = ModelStore(trained.models, "stars")
    in_use = store.in_use()
    assert in_use is not None
    settings = {"path": trained.models, "model_name": "stars"}
    superb = {"inputs": f"This dress number 4 is {WORDS[4]}, so {WORDS[4]}."}
    assert Predictor(settings).predict(superb)[0]["label"] == "5"

    second = trained.train("b", num_train_epochs=1, learning_rate=1e-4)
    assert second["current"]["version"] == in_use.name
    assert second["current"]["has_learned"]
    assert second["current"]["evaluation_results"] == results
    with pytest.raises(NoCandidate, match=r"was compared with no model, but stars is \S+ by now: train again"):
        trained.promote("a")
    with store.training(), pytest.raises(ModelBusy):
        trained.promote("b")
    taken = trained.promote("b")
    assert taken["previous"] == in_use.name
    assert f"On the same {second['comparison']['rows']} test rows, weighted F1 is" in taken["message"]
    assert store.rollback()[0].name == in_use.name

    assert second["test_part"] == first["test_part"] | {"learned_before": 0}
    assert trained.drive.json("b/evaluation.json")["test_part"] == second["test_part"]
    kept = json.loads((in_use.folder.parent / "training.json").read_text())
    assert kept["test_part"] == first["test_part"]
    other = trained.train("e", num_train_epochs=1, learning_rate=1e-6, seed=7)
    assert 0 < other["test_part"]["learned_before"] <= other["test_part"]["count"]
    (in_use.folder / "learned_rows.npz").unlink()  # as an older version left it
    trained.train("e", num_train_epochs=1, learning_rate=1e-6)
    assert trained.drive.json("e/evaluation.json")["test_part"]["learned_before"] is None
    trained.promote("e")
    assert trained.train("d", num_train_epochs=1, learning_rate=1e-6)["test_part"]["learned_before"] is None


def test_a_model_that_is_certainly_worse_is_promoted_only_by_force(trained: Trained) -> None:
    spoiled = replace(trained, model="spoiled")
    spoiled.train("g", num_train_epochs=10, learning_rate=0.01, per_device_train_batch_size=16, ordered_labels=False)
    good = spoiled.promote("g")["in_use"]
    worse = spoiled.train("w", num_train_epochs=2, learning_rate=0.5)
    assert worse["comparison"] == spoiled.drive.json("w/evaluation.json")["comparison"]
    assert worse["comparison"]["f1"]["high"] < 0
    said = "spoiled stays as it is: .*certainly worse.*pytest --promote --promote-worse"
    with pytest.raises(ModelIsWorse, match=said):
        spoiled.promote("w")
    store = ModelStore(trained.models, "spoiled")
    in_use = store.in_use()
    assert in_use is not None
    assert in_use.name == good
    assert spoiled.promote("w", force=True)["previous"] == good


def served(package: Path, inputs: dict[str, str]) -> dict[str, str]:
    """Return the labels that the packaged model predicts; its class is imported as a model service does."""
    description = json.loads((package / "package.json").read_text())
    assert description["result_type"] == "raw_data"
    assert (package / "src/py/ibformers/ibformers/tasks/text_classification/served.py").is_file()
    sys.path.insert(0, str(package / "src" / "py"))
    module, _, name = description["classpath"].rpartition(".")
    model = getattr(importlib.import_module(module), name)()
    model.load()
    labels = {}
    for row, text in inputs.items():
        record = {"text": text, "lines": [[]]}
        raw = type("Raw", (), {"type": "ibdoc", "data": json.dumps([record]).encode()})
        answer = model.run(type("Request", (), {"input_path": row, "input_raw_data": raw}))
        labels[row] = base64.b64decode(answer["raw_data"]["data"]).decode()
    raw = type("Raw", (), {"type": "ibdoc", "data": b"{}"})
    with pytest.raises(ValueError, match="x: not a JSON list of records, each with a text"):
        model.run(type("Request", (), {"input_path": "x", "input_raw_data": raw}))
    model.cleanup()
    return labels


@pytest.mark.parametrize(
    ("hyperparams", "said"),
    [
        ({"path": "/elsewhere"}, "Setting path: the environment has its own folder of models: leave it out"),
        ({"epochs": 3}, "epochs"),
    ],
)
def test_what_cannot_be_used_is_refused(trained: Trained, hyperparams: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestRefused, match=said):
        trained.train("c", **hyperparams)
    assert not (trained.drive.root / "c").exists()
