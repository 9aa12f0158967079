from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from ibformers.registry.store import AS_DOWNLOADED, ModelStore
from ibformers.tasks.text_classification.keys import text_key
from ibformers.tasks.text_classification.learned import LearnedRows
from ibformers.tuning import (
    DatabaseRows,
    ModelBusy,
    ModelChanged,
    ModelIsWorse,
    ModelSettings,
    NoCandidate,
    Predictor,
    RequestRefused,
    Tuning,
    list_models,
)
from tests.databases import fill, reviews
from tests.ibformers.tuning.conftest import REQUEST, Tuned

if TYPE_CHECKING:
    from ibformers.trainer.reporting import Averages

SUPERB = "This dress number 999 is superb, so superb."


class Curve:
    """Report that keeps steps and training curve."""

    def __init__(self) -> None:
        self.done: list[tuple[int, int]] = []
        self.points: list[dict[str, float]] = []
        self.evaluations: list[Averages] = []

    def steps(self, done: int, total: int, epoch: float) -> None:
        assert epoch > 0
        self.done.append((done, total))

    def learning(self, point: dict[str, float]) -> None:
        self.points.append(point)

    def evaluated(self, metrics: Averages) -> None:
        self.evaluations.append(metrics)


def test_the_example_people_start_from(
    models: Path, database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="ibformers")
    settings = {"path": str(models), "model_name": "tiny", "num_labels": 5}
    tuning, predictor, curve = Tuning(settings, DatabaseRows(database)), Predictor(settings), Curve()

    answer = tuning.train(
        {
            "columns": "ReviewLabel,ReviewText",
            "table": "iris.Review",
            "limit": 20,
            "p_of_train": 0.8,
            "output_dir": f"{tmp_path}/checkpoints",
            "evaluation_strategy": "steps",
            "learning_rate": 0.01,
            "num_train_epochs": 1,
        },
        report=curve,
    )
    assert (answer.rows.read, answer.rows.train, answer.rows.test) == (20, 16, 4)
    assert answer.batch_sizes == {"train": 4, "test": 2}
    assert answer.labels == ["1", "2", "3", "4", "5"]
    assert answer.old_head_is_new
    assert answer.old.support == answer.new.support
    assert answer.old.loss != answer.new.loss
    assert curve.done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [point["step"] for point in curve.points] == [1, 2, 3, 4]
    assert [list(metrics) for metrics in curve.evaluations] == [["accuracy", "f1"]] * 4
    assert not (models / "tiny").is_symlink(), "nothing is replaced without an override"

    taken = tuning.override({})
    assert (taken.in_use, Path(answer.waiting)) == (answer.version, (models / "tiny").resolve())
    with pytest.raises(NoCandidate, match="No new model of tiny waits: send a train request first"):
        tuning.override({})

    found = predictor.predict({"inputs": "This was a really bad experience"})
    assert [sorted(one) for one in found] == [["label", "score"]]
    assert found[0]["label"] in answer.labels

    assert tuning.rollback().in_use == taken.previous
    with pytest.raises(RequestRefused, match="has not learned to classify texts yet"):
        predictor.predict({"inputs": "This was a really bad experience"})
    assert tuning.rollback().in_use == answer.version
    assert predictor.predict({"inputs": "This was a really bad experience"}) == found

    said = [record.getMessage() for record in caplog.records if record.name.startswith("ibformers.tuning")]
    for part in ("20 rows read from iris.Review", "step 3 of 4", "evaluation at step 3", "model in use: accuracy"):
        assert any(part in line for line in said), part


def test_a_request_can_be_checked_without_reading_anything(models: Path) -> None:
    request = {"table": "Nowhere", "columns": "a,b"}
    rows = DatabaseRows("sqlite://")
    Tuning({"path": models, "model_name": "tiny"}, rows).check({**request, "evaluation_strategy": "no"})
    with pytest.raises(RequestRefused, match=r"learning_rat is neither .* \(did you mean learning_rate\?\)"):
        Tuning({"path": models, "model_name": "tiny"}, rows).check({**request, "learning_rat": 1})
    with pytest.raises(RequestRefused, match="set base_model to the model that it starts from"):
        Tuning({"path": models, "model_name": "none"}, rows).check(request)


def test_a_trained_model_gets_better_and_says_so(tuned: Tuned) -> None:
    first, second = tuned.first, tuned.second
    assert first.new.f1["weighted avg"] > 0.9 > first.old.f1["weighted avg"]
    assert not second.old_head_is_new
    assert second.old.f1["weighted avg"] > 0.9, "the model in use is now the first one"
    record = json.loads(Path(first.waiting, "..", "training.json").read_text())
    assert record["new"] == first.new.model_dump(mode="json")


def test_predictions_of_test_rows_are_those_of_the_model_when_it_serves(tuned: Tuned, tmp_path: Path) -> None:
    settings = tuned.settings.model_copy(update={"path": tuned.copy(tmp_path / "models")})
    predictor = Predictor(settings)
    before = predictor.predict({"inputs": SUPERB.replace("superb", "awful")})
    assert before[0]["label"] == "1"
    assert predictor.version == tuned.taken.in_use

    Tuning(settings, DatabaseRows("sqlite://")).override()
    shown = tuned.second.predictions
    assert len(shown) == 6
    alone = [predictor.predict({"inputs": one.inputs}) for one in shown]
    assert [(answer[0]["label"], answer[0]["score"]) for answer in alone] == [
        (one.predicted, one.score) for one in shown
    ]
    assert predictor.version == tuned.second.version
    together = predictor.predict({"inputs": [one.inputs for one in shown]})
    assert [answer["label"] for answer in together] == [one.predicted for one in shown]


@pytest.fixture(scope="module")
def more_rows(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Database with more rows than `tuned` was trained on."""
    return fill(f"sqlite:///{tmp_path_factory.mktemp('more')}/reviews.db", 600)


def copied(tuned: Tuned, tmp_path: Path, database: str) -> Tuning:
    settings = tuned.settings.model_copy(update={"path": tuned.copy(tmp_path / "models")})
    return Tuning(settings, DatabaseRows(database))


def test_both_models_are_measured_as_they_serve(tuned: Tuned, tmp_path: Path, more_rows: str) -> None:
    """With a learning rate of 0, old and new model have the same weights and the same metrics, but for the scores."""
    tuning = copied(tuned, tmp_path, more_rows)
    answer = tuning.train(REQUEST | {"limit": 600, "learning_rate": 0, "max_steps": 1, "bf16": True, "p_of_train": 0.9})
    scores = {"loss", "ece"}
    assert answer.new.model_dump(exclude=scores) == answer.old.model_dump(exclude=scores)
    comparison = answer.comparison
    assert comparison is not None
    assert comparison.f1 is not None
    assert (comparison.f1.difference, comparison.f1.low, comparison.f1.high) == (0, 0, 0)
    assert (comparison.only_old_right, comparison.only_new_right, comparison.worse) == (0, 0, [])

    # The rows that the temperature was fitted to were not learned, now or before, and the saved weights contain it.
    rows, temperature = answer.rows, answer.temperature
    assert rows.held_out >= 30
    assert rows.train + rows.held_out + rows.test == rows.read == 600
    learned, in_use = LearnedRows.of(answer.waiting), tuning.store.in_use()
    assert in_use is not None
    keys = np.array([text_key(text) for _, text in reviews(600)], dtype=np.uint64)
    among = learned.among(keys)
    assert among is not None
    assert among.sum() == rows.train
    assert temperature is not None
    assert (answer.new.loss, answer.new.ece) != (answer.old.loss, answer.old.ece)
    old, new = (load_file(Path(folder, "model.safetensors")) for folder in (in_use.folder, answer.waiting))
    scaled = {name for name, values in old.items() if not np.array_equal(values, new[name])}
    assert scaled == {"classifier.weight", "classifier.bias"}
    for name in scaled:
        np.testing.assert_allclose(new[name] * temperature, old[name], rtol=1e-5)
    assert json.loads(Path(answer.waiting, "config.json").read_text())["score_temperature"] == temperature
    record = json.loads(Path(answer.waiting, "..", "training.json").read_text())
    assert (record["temperature"], record["rows"]["held_out"]) == (temperature, rows.held_out)


def test_a_model_that_an_older_version_saved_answers_as_before(tuned: Tuned, tmp_path: Path) -> None:
    settings = tuned.settings.model_copy(update={"path": tuned.copy(tmp_path / "models")})
    now = Predictor(settings).predict({"inputs": [SUPERB, "awful"], "top_k": None})
    file = Path(settings.path, "tiny", "config.json")
    config = json.loads(file.read_text())
    assert config.pop("score_temperature") is None, "too few rows were trained on for a temperature"
    file.unlink()  # the file is a hard link to that of the fixture
    file.write_text(json.dumps(config))
    assert Predictor(settings).predict({"inputs": [SUPERB, "awful"], "top_k": None}) == now


def test_the_loss_is_that_of_the_predictions(tuned: Tuned, tmp_path: Path) -> None:
    request = REQUEST | {"limit": 120, "p_of_train": 0.5, "learning_rate": 1e-3, "bf16": True}
    tuning = copied(tuned, tmp_path, tuned.database)
    answer = tuning.train(request, predictions=1000)
    tuning.override({"force": True})
    predictor = Predictor(tuning.settings)
    losses = []
    for one in answer.predictions:
        scores = {each["label"]: each["score"] for each in predictor.predict({"inputs": one.inputs, "top_k": None})}
        losses.append(-math.log(scores[one.label]))
    assert len(losses) == answer.rows.test
    assert answer.new.loss == pytest.approx(sum(losses) / len(losses), abs=2e-6)


def test_a_model_that_is_certainly_worse_is_taken_only_by_force(
    tuned: Tuned, tmp_path: Path, more_rows: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="ibformers")
    tuning = copied(tuned, tmp_path, more_rows)
    before = tuning.store.in_use()
    assert before is not None
    # One label for everything, by steps that are far too big.
    spoiled = REQUEST | {"limit": 400, "learning_rate": 0.5}
    answer = tuning.train(spoiled)
    comparison = answer.comparison
    assert comparison is not None
    assert comparison.accuracy is not None
    assert comparison.f1 is not None
    assert comparison.f1.high < 0
    assert answer.compared_with == before.name
    assert comparison.accuracy.new == answer.new.accuracy
    assert comparison.f1.new == pytest.approx(answer.new.f1["weighted avg"])
    assert comparison.f1.old == pytest.approx(answer.old.f1["weighted avg"])
    low, high = answer.evaluation_intervals.accuracy
    assert low <= answer.new.accuracy <= high
    assert set(answer.evaluation_intervals.f1) == set(answer.new.f1)
    texts = [one.text for one in comparison.worse]
    in_use = [each["label"] for each in Predictor(tuning.settings).predict({"inputs": texts})]
    assert in_use == [one.old for one in comparison.worse] == [one.label for one in comparison.worse]
    assert texts == [reviews(400)[one.row - 1][1] for one in comparison.worse]

    known = f"On the same {comparison.rows} test rows, weighted F1 is {comparison.f1.new:.4f} and was"
    with pytest.raises(ModelIsWorse, match=f"tiny stays as it is: version .* is certainly worse. {known}.*force"):
        tuning.override({})
    assert tuning.store.in_use() == before
    taken = tuning.override({"force": True})
    assert taken.in_use == answer.version
    assert known in taken.message
    assert known in caplog.text


def test_models_are_compared_on_rows_that_the_one_in_use_has_not_learned(
    tuned: Tuned, tmp_path: Path, more_rows: str
) -> None:
    tuning = copied(tuned, tmp_path, more_rows)
    request = REQUEST | {"limit": 400, "learning_rate": 0, "max_steps": 1}
    same, other = (tuning.train(request | {"seed": seed}).comparison for seed in (42, 7))
    assert same is not None
    assert same.learned == 0
    assert other is not None
    assert other.learned is not None
    assert 5 < other.learned < 40 < other.rows
    assert other.f1 is not None

    few = tuning.train(request | {"seed": 7, "limit": 120})
    assert few.comparison is not None
    assert few.comparison.learned is not None
    assert few.comparison.learned == few.test_part.learned_before
    assert few.comparison.rows == few.rows.test - few.comparison.learned < 30
    assert (few.comparison.accuracy, few.comparison.f1) == (None, None)
    assert few.comparison.reason.startswith("The model in use was trained with another split, and has learned ")
    assert tuning.override().message.endswith(few.comparison.reason)


def test_an_override_says_where_it_knows_nothing_of_the_difference(tuned: Tuned, tmp_path: Path) -> None:
    tuning = copied(tuned, tmp_path, tuned.database)
    record = tuning.store.candidate().folder.parent / "training.json"  # type: ignore[union-attr]
    facts = json.loads(record.read_text())
    record.unlink()
    record.write_text(json.dumps({name: value for name, value in facts.items() if name != "comparison"}))
    assert "Nothing is known of the difference" in tuning.override().message
    assert "model before had not learned to classify" in tuned.taken.message
    assert "difference" not in tuning.rollback().message


def test_requests_to_the_model(tuned: Tuned) -> None:
    predictor = Predictor(tuned.settings)
    every = predictor.predict({"inputs": SUPERB, "top_k": None})
    assert every[0]["label"] == "5"
    assert sorted(one["label"] for one in every) == list("12345")
    texts = [SUPERB, "awful " * 300, SUPERB.replace("superb", "fine")]
    assert [one["label"] for one in predictor.predict({"inputs": texts})] == ["5", "1", "3"]
    assert predictor.predict({"inputs": []}) == []
    with pytest.raises(RequestRefused, match=r"ML request: tpo_k is neither .* \(did you mean top_k\?\)"):
        predictor.predict({"inputs": "good", "tpo_k": 2})
    settings = tuned.settings.model_dump()
    two = Predictor(settings | {"top_k": 2}).predict({"inputs": SUPERB, "max_length": 20})
    assert two == [every[:2]]
    with pytest.raises(RequestRefused, match=r"Setting nun_labels is unknown.*\(did you mean num_labels\?\)"):
        Predictor(settings | {"nun_labels": 5}).predict({"inputs": "good"})
    with pytest.raises(RequestRefused, match="Setting nun_labels is unknown"):
        Tuning(settings | {"nun_labels": 5}, DatabaseRows(tuned.database)).train(REQUEST)
    with pytest.raises(RequestRefused, match="ML request: inputs is missing"):
        predictor.predict({})
    with pytest.raises(RequestRefused, match="cannot answer it with its fields inputs, function_to_apply"):
        predictor.predict({"inputs": "good", "function_to_apply": "softmix"})
    with pytest.raises(RequestRefused, match="with its fields inputs: text input must be"):
        predictor.predict({"inputs": 5})


def test_a_request_that_expects_other_versions_changes_nothing(tuned: Tuned, tmp_path: Path) -> None:
    tuning = Tuning(
        tuned.settings.model_copy(update={"path": tuned.copy(tmp_path / "models")}), DatabaseRows("sqlite://")
    )
    in_use, candidate = tuned.first.version, tuned.second.version
    before = tuning.show()
    assert before.waiting is not None
    assert before.previous is not None
    assert (before.in_use.name, before.waiting.name, before.previous.name) == (in_use, candidate, tuned.taken.previous)
    assert before.waiting.training is not None
    assert before.waiting.training["new"] == tuned.second.new.model_dump(mode="json")
    assert before.previous.training is None
    assert before.difference is not None
    for act in (
        lambda: tuning.override({"expected_in_use": candidate}),
        lambda: tuning.override({"expected_in_use": in_use, "expected_candidate": in_use}),
        lambda: tuning.rollback({"expected_in_use": candidate}),
        lambda: tuning.discard({"expected_candidate": in_use}),
    ):
        with pytest.raises(ModelChanged, match="look at the versions again, then decide"):
            act()
    assert tuning.show() == before
    assert tuning.discard({"expected_candidate": candidate}).discarded == candidate
    assert not Path(tuning.settings.path, ".tiny", "versions", candidate).exists()
    assert tuning.show().waiting is None
    with pytest.raises(NoCandidate, match="there is none to discard"):
        tuning.discard()
    assert tuning.rollback({"expected_in_use": in_use}).in_use == tuned.taken.previous


def test_several_models_at_once_and_their_list(tuned: Tuned, tmp_path: Path, tiny_bert: Path) -> None:
    path = tuned.copy(tmp_path / "models")
    store = ModelStore(path, "tiny")
    store.promote()
    settings = tuned.settings.model_copy(update={"path": path})
    second = settings.model_copy(update={"model_name": "other"})
    (path / "other").symlink_to(tuned.path / "tiny")
    one, other = Predictor(settings), Predictor(second)
    assert one.predict({"inputs": "awful"}) != other.predict({"inputs": "awful"})
    assert [(model.model_name, model.in_use, model.previous) for model in list_models(path)] == [
        ("other", AS_DOWNLOADED, None),
        ("tiny", tuned.second.version, tuned.taken.in_use),
    ]
    with pytest.raises(RequestRefused, match="Setting path: there is no folder"):
        list_models(tmp_path / "none")


def test_a_model_without_a_folder_starts_as_a_copy_of_its_base(tiny_bert: Path, tmp_path: Path, sqlite: str) -> None:
    settings = {"path": tmp_path / "models", "model_name": "stars", "base_model": str(tiny_bert)}
    tuning = Tuning(settings, DatabaseRows(sqlite))
    tuning.train(REQUEST)
    assert (tmp_path / "models/stars/tokenizer.json").read_bytes() == (tiny_bert / "tokenizer.json").read_bytes()
    assert tuning.override().previous is not None
    with pytest.raises(RequestRefused, match="there is no folder .*ibmodels download bert-base-cased"):
        Tuning(settings | {"model_name": "bert-base-cased", "base_model": None}, DatabaseRows(sqlite)).train(REQUEST)


def test_two_trainings_of_a_model_at_a_time_are_refused(models: Path, sqlite: str) -> None:
    tuning = Tuning({"path": models, "model_name": "tiny"}, DatabaseRows(sqlite))
    with tuning.store.training(), pytest.raises(ModelBusy, match="tiny is being trained already"):
        tuning.train(REQUEST)


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"table": "iris.Reviews"}, "table", "there is no table Reviews .*Did you mean Review"),
        ({"columns": "ReviewLabel"}, "columns", "must be two names, first the label, second the text"),
        ({"columns": ["ReviewText", "ReviewLabel"]}, "columns", "ReviewLabel holds 1, which is not a text"),
        ({"columns": ["ReviewText", "ReviewText"]}, "columns", "a different label in each of 20 rows"),
        ({"limit": 0}, "limit", "limit must be greater than or equal to 2"),
        ({"limit": "20"}, "limit", "limit must be a valid integer"),
        ({"p_of_train": 1}, "p_of_train", "p_of_train must be less than 1"),
        ({"learning_rat": 1}, "learning_rat", "learning_rat is neither .*did you mean learning_rate"),
        ({"num_train_epochs": "many"}, "num_train_epochs", "num_train_epochs must be a valid number"),
        ({"num_train_epochs": 0}, "num_train_epochs", "num_train_epochs must be greater than 0"),
        ({"per_device_train_batch_size": 0}, "per_device_train_batch_size", "must be greater than or equal to 1"),
        ({"eval_strategy": "no"}, "eval_strategy", "the same argument: send one"),
        ({"report_to": "nobody"}, "report_to", "'nobody', which is not installed"),
        ({"load_best_model_at_end": True}, "", "cannot be used together"),
        ({"output_dir": "/proc/none/here"}, "output_dir", "output_dir: /proc/none.* cannot be written"),
        ({"learning_rate": 1e30}, "learning_rate", "The training diverged"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(
    tuned: Tuned, change: dict[str, Any], field: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = ModelStore(tuned.path, "tiny")
    before = (store.in_use(), store.candidate())
    with pytest.raises(RequestRefused, match=message) as caught:
        Tuning(tuned.settings, DatabaseRows(tuned.database)).train(REQUEST | change)
    assert caught.value.field == field
    assert (store.in_use(), store.candidate()) == before
    assert not (tuned.path / ".tiny/work").exists()


def test_what_is_wrong_with_settings_is_said(tmp_path: Path, tiny_bert: Path) -> None:
    rows = DatabaseRows("sqlite://")
    with pytest.raises(RequestRefused, match="Settings of the model: model_name .*; num_labels must be"):
        Tuning({"path": "x", "model_name": "../a", "num_labels": 1}, rows)
    with pytest.raises(RequestRefused, match="path is missing"):
        ModelSettings.of({"model_name": "a"})
    with pytest.raises(RequestRefused, match="Setting task: fill-mask can be served but not trained"):
        Tuning({"path": tmp_path, "model_name": "a", "task": "fill-mask"}, rows).train(REQUEST)
    with pytest.raises(RequestRefused, match="with the settings task"):
        Predictor({"path": tiny_bert.parent, "model_name": tiny_bert.name, "task": "fill-masks"}).predict(
            {"inputs": ""}
        )
    with pytest.raises(RequestRefused, match=r"Override request: forced is not a field of it \(send {}\)"):
        Tuning({"path": tmp_path, "model_name": "a"}, rows).override({"forced": True})
    with pytest.raises(RequestRefused, match=r"Override request: force must be a valid boolean \(it is 'yes'\)"):
        Tuning({"path": tmp_path, "model_name": "a"}, rows).override({"force": "yes"})
    with pytest.raises(RequestRefused, match="Setting hidden_dropout_prob: the config of .* cannot have this value"):
        Predictor({"path": tiny_bert.parent, "model_name": tiny_bert.name, "hidden_dropout_prob": "a"}).predict(
            {"inputs": ""}
        )
    (tmp_path / "file").touch()
    with pytest.raises(RequestRefused, match="Setting path: nothing can be written"):
        Tuning({"path": tmp_path / "file", "model_name": "a"}, rows).train(REQUEST)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestRefused, match="Setting model_name: .*/empty cannot be loaded as a model"):
        Tuning({"path": tmp_path, "model_name": "empty"}, rows).train(REQUEST)
