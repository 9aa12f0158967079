"""Models of many families: each predicts the same for a text alone, in a list, in training and in serving."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ibformers.databases.rows import NO_COLUMNS
from ibformers.tasks.text_classification.calibration import output_layer
from ibformers.tasks.text_classification.training import Collator
from ibformers.tuning import DatabaseRows, Predictor, RequestRefused, Tuning
from tests.ibformers.families import FAMILIES, POSITIONS, write_family

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

REQUEST = {"table": "Review", "columns": "Label,Body", "num_train_epochs": 2, "learning_rate": 3e-3}
LONG = "great film" + " so" * 600
ODD = ["", " ", LONG, "now <s>9.99</s> only", "a </s> [SEP] <sep> <cls> <|endoftext|> b", "a \ud83d b"]
"""Texts without tokens, too long, with special tokens spelled out, and with half a character."""

SIDES = {"XLNet": "left", "FNet": None}
"""Padding side of models whose answers padding on the right changes."""


def fill(path: Path, rows: list[tuple[str, str]]) -> str:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE Review (Label TEXT, Body TEXT)")
        connection.executemany("INSERT INTO Review VALUES (?, ?)", rows)
    return f"sqlite:///{path}"


def films(count: int) -> list[tuple[str, str]]:
    words = (("bad", "awful", "dull"), ("good", "great", "lovely"))
    found = [(index, *words[index % 2]) for index in range(count)]
    return [
        (label, f"film number {index} was {one} and {other}"[: 24 + index % 20]) for index, label, one, other in found
    ]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    odd = [("good", text) for text in ODD[1:-1]]
    return fill(tmp_path_factory.mktemp("table") / "films.db", films(26) + odd)


def train(folder: Path, base: Path, table: str, settings: dict[str, Any] | None = None, **further: Any) -> Predictor:
    """Tune a model, put it in use, and return its predictor, with the answer of the training as `answer`."""
    named = {"path": folder / "models", "model_name": "m", "base_model": str(base)} | (settings or {})
    tuning = Tuning(named, DatabaseRows(table))
    answer = tuning.train(REQUEST | further, predictions=100)
    tuning.override()
    predictor = Predictor(named)
    predictor.answer = answer  # type: ignore[attr-defined]
    return predictor


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_answers_alike_alone_in_a_list_at_training_and_when_serving(
    family: str, table: str, tmp_path: Path
) -> None:
    base = write_family(family, tmp_path / "base")
    predictor = train(tmp_path, base, table, eval_strategy="epoch", metric_for_best_model="f1_macro")
    answer = predictor.answer  # type: ignore[attr-defined]

    texts = [text for _, text in films(12)] + ODD
    alone = [predictor.predict({"inputs": text})[0] for text in texts]
    listed = predictor.predict({"inputs": texts})
    assert [one["label"] for one in alone] == [one["label"] for one in listed]
    np.testing.assert_allclose([one["score"] for one in alone], [one["score"] for one in listed], atol=1e-5)
    assert len({round(one["score"], 7) for one in alone}) > 6, "the model tells texts apart"

    served = [predictor.predict({"inputs": one.inputs})[0] for one in answer.predictions]
    assert [(one["label"], one["score"]) for one in served] == [(p.predicted, p.score) for p in answer.predictions]
    right = [one.predicted == one.label for one in answer.predictions]
    assert answer.rows.test == len(right)
    assert answer.new.accuracy == pytest.approx(sum(right) / len(right))

    reader = predictor._pipeline.reader  # type: ignore[union-attr]
    rows: Any = [{"input_ids": row, "labels": 0} for row in reader.read(texts).rows()]
    assert output_layer(predictor._pipeline.model, rows, Collator(reader)) is not None  # type: ignore[union-attr]
    assert reader.padding_side == SIDES.get(family, "right")
    has_limit = family not in {"BLOOM", "XLNet", "T5"}
    assert reader.max_tokens == reader.tokenizer.model_max_length == (POSITIONS if has_limit else 512)
    assert answer.rows.truncated == 1, "the long text, and no text that fits"


def test_the_decisions_are_saved_with_the_model(table: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    train(tmp_path, write_family("GPT-2", tmp_path / "base"), table)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "models/m")
    assert (tokenizer.model_max_length, tokenizer.padding_side) == (POSITIONS, "right")
    assert len(tokenizer("<|endoftext|>")["input_ids"]) > 1, "special tokens in a text are text"
    assert len(tokenizer(LONG, truncation=True)["input_ids"]) == POSITIONS


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, table: str) -> Predictor:
    """A BERT whose tokenizer has no length limit."""
    folder = tmp_path_factory.mktemp("served")
    return train(folder, write_family("BERT", folder / "base"), table)


def test_a_text_that_is_too_long_is_cut_whatever_the_request_says(served: Predictor) -> None:
    expected = served.predict({"inputs": LONG})
    assert served.predict({"inputs": LONG, "max_length": 1000, "padding": True}) == expected
    assert served.predict({"inputs": "great film", "truncation": False}) == served.predict({"inputs": "great film"})
    for truncation in (False, "do_not_truncate"):
        with pytest.raises(RequestRefused, match="'great film so .*' has more than the 64 tokens that the model reads"):
            served.predict({"inputs": ["great", LONG], "truncation": truncation})


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"max_length": 2}, "max_length must be a whole number of at least 3, not 2"),
        ({"max_length": -1}, "max_length must be a whole number of at least 3, not -1"),
        ({"max_length": "64"}, "max_length must be a whole number of at least 3, not '64'"),
        ({"truncation": "some"}, "truncation must be true or false, not 'some'"),
        ({"padding_side": "left"}, "padding_side is neither a field of it nor an argument"),
        ({"inputs": ["good", None]}, r"inputs\[1\] is None, which is not a text"),
        ({"inputs": [{"text": LONG, "text_pair": "b"}], "truncation": False}, "cannot answer it with its fields"),
    ],
)
def test_requests_that_cannot_be_answered(served: Predictor, request_: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestRefused, match=message):
        served.predict({"inputs": "good"} | request_)


def test_pairs_of_texts_are_still_taken(served: Predictor) -> None:
    pair = {"text": "great \ud83d", "text_pair": "dull"}
    assert served.predict({"inputs": pair})["score"] == pytest.approx(
        served.predict({"inputs": [{"text": "a", "text_pair": "b"}, pair]})[1]["score"], abs=1e-5
    )


def test_a_text_of_exactly_the_limit_is_not_cut(tmp_path: Path) -> None:
    texts = [
        " ".join(["film"] * (POSITIONS - 3) + [word])
        for word in ["awful", "dull", "great", "lovely", "was", "and", "number", "so"]
    ]
    rows = [(("bad", "good")[place % 2], text) for place, text in enumerate(texts)]
    table = fill(tmp_path / "exact.db", [*rows, ("bad", " ".join(["film"] * (POSITIONS - 1)))])
    answer = train(tmp_path, write_family("BERT", tmp_path / "base"), table).answer  # type: ignore[attr-defined]
    assert answer.rows.truncated == 1


def test_models_with_more_outputs_are_evaluated_by_their_logits(table: str, tmp_path: Path) -> None:
    settings = {"output_hidden_states": True, "output_attentions": True, "top_k": 2}
    predictor = train(tmp_path, write_family("BERT", tmp_path / "base"), table, settings, eval_strategy="epoch")
    best = predictor.answer.predictions[0]  # type: ignore[attr-defined]
    assert predictor.predict({"inputs": best.inputs})[0][0] == {"label": best.predicted, "score": best.score}
    assert len(predictor.predict({"inputs": ["a", "b"]})[0]) == 2


@pytest.mark.parametrize(
    ("settings", "field", "message"),
    [
        ({"vocab_size": 10}, "vocab_size", "Setting vocab_size: the weights in .* have other sizes"),
        ({"max_position_embeddings": 128}, "max_position_embeddings", "have other sizes .*position_embeddings"),
        ({"num_attention_heads": 0}, "base_model", "cannot be loaded as a model"),
        ({"chunk_size_feed_forward": 7}, "model_name", "cannot read texts: The dimension to be chunked"),
        ({"id2label": {"0": "x"}}, "id2label", "a training takes the labels of the rows"),
        ({"function_to_apply": "nothing"}, "task", "settings function_to_apply, task: NOTHING"),
        ({"max_length": 0}, "max_length", "max_length must be a whole number"),
    ],
)
def test_settings_that_break_a_model_are_refused_before_anything_is_read(
    settings: dict[str, Any], field: str, message: str, tmp_path: Path
) -> None:
    base = write_family("BERT", tmp_path / "base")
    with pytest.raises(RequestRefused, match=message) as caught:
        train(tmp_path, base, "sqlite:////not/there.db", settings)
    assert caught.value.field == field


def test_a_tokenizer_for_another_vocabulary_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    base, other = (write_family(name, tmp_path / name) for name in ("BERT", "RoBERTa"))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (base / name).write_bytes((other / name).read_bytes())
    with pytest.raises(RequestRefused, match=r"its tokenizer has the token \d+, but it knows only \d+ tokens"):
        train(tmp_path, base, "sqlite:////not/there.db")


class TestPlaceholders:
    """Labels of a table that equal the placeholders of transformers."""

    def test_they_are_learned_as_any_other(self, tmp_path: Path) -> None:
        rows = [(f"LABEL_{label == 'good':d}", text) for label, text in films(24)]
        table = fill(tmp_path / "weak.db", rows)
        base = write_family("GPT-2", tmp_path / "base")
        predictor = train(tmp_path, base, table)
        assert predictor.answer.labels == ["LABEL_0", "LABEL_1"]  # type: ignore[attr-defined]
        assert predictor.predict({"inputs": "great film"})[0]["label"] in {"LABEL_0", "LABEL_1"}
        again = train(tmp_path, base, table).answer  # type: ignore[attr-defined]
        assert not again.old_head_is_new, "the model in use has learned them"

    def test_outputs_that_nobody_named_are_taken_by_their_number(self, tmp_path: Path) -> None:
        import torch
        from transformers import AutoConfig, AutoModelForSequenceClassification

        base = write_family("BERT", tmp_path / "base")
        config = AutoConfig.from_pretrained(base, num_labels=12)
        model = AutoModelForSequenceClassification.from_pretrained(base, config=config)
        torch.nn.init.zeros_(model.classifier.weight)
        model.classifier.bias.data = torch.eye(12)[2] * 9
        model.save_pretrained(base)
        table = fill(tmp_path / "twelve.db", [(f"LABEL_{index % 12}", f"film number {index}") for index in range(96)])
        answer = train(tmp_path, base, table, p_of_train=0.2).answer  # type: ignore[attr-defined]
        assert not answer.old_head_is_new
        assert [label for label, value in answer.old.recall.items() if value == 1] == ["LABEL_2"]
        assert answer.labels == [f"LABEL_{number}" for number in range(12)]


def test_halves_of_characters_in_rows_do_not_end_a_training(tmp_path: Path) -> None:
    class Utf16Rows:
        @contextmanager
        def read(
            self, table: str, columns: tuple[str, str], limit: int | None, further: Mapping[str, str] = NO_COLUMNS
        ) -> Iterator[Any]:
            yield iter([(f"{label} \ud83d", f"{text} \ud83d and \ud83d\ude00") for label, text in films(24)])

    base = write_family("BERT", tmp_path / "base")
    named = {"path": tmp_path / "models", "model_name": "m", "base_model": str(base)}
    answer = Tuning(named, Utf16Rows()).train(REQUEST, predictions=3)
    assert answer.labels == ["bad \ufffd", "good \ufffd"]
    assert all(one.inputs.endswith("\ufffd and \N{GRINNING FACE}") for one in answer.predictions)
