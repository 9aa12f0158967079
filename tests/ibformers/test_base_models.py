"""How much base models of many kinds read, and extraction with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch

from ibformers.endpoints import run_train_annotator
from ibformers.errors import TrainingInputError
from ibformers.models.base import DEFAULT_TOKENS, copy_sharing_weights, load_base_model, max_tokens
from tests.ibformers.families import POSITIONS, write_family
from tests.ibformers.trainable import PROJECT, FolderDrive, JobRecorder, write_people

if TYPE_CHECKING:
    from pathlib import Path

NO_LIMIT = 10**30
"""Limit that tokenizers without one report."""

SMALL: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
}
SEQ2SEQ: dict[str, Any] = {
    "vocab_size": 99,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
}


@pytest.mark.parametrize(
    ("kind", "config", "limit"),
    [
        ("bert", SMALL | {"max_position_embeddings": 40}, 40),
        ("roberta", SMALL | {"max_position_embeddings": 40, "pad_token_id": 1}, 38),
        ("roberta", SMALL | {"max_position_embeddings": 40, "pad_token_id": 5}, 34),
        ("mpnet", SMALL | {"max_position_embeddings": 40}, 38),
        ("xlm-roberta-xl", SMALL | {"max_position_embeddings": 40}, 38),
        ("data2vec-text", SMALL | {"max_position_embeddings": 40}, 38),
        ("roberta-prelayernorm", SMALL | {"max_position_embeddings": 40}, 38),
        ("camembert", SMALL | {"max_position_embeddings": 40}, 38),
        ("nystromformer", SMALL | {"max_position_embeddings": 40}, 40),
        ("bart", SEQ2SEQ | {"max_position_embeddings": 40}, 40),
        ("led", SEQ2SEQ | {"max_encoder_position_embeddings": 64, "max_decoder_position_embeddings": 40}, 40),
        ("gpt2", {"vocab_size": 99, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 40}, 40),
        ("xlnet", {"vocab_size": 99, "d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 16}, DEFAULT_TOKENS),
        ("bloom", {"vocab_size": 99, "hidden_size": 16, "n_layer": 1, "n_head": 2}, DEFAULT_TOKENS),
        (
            "t5",
            {"vocab_size": 99, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2},
            DEFAULT_TOKENS,
        ),
    ],
)
def test_a_model_reads_as_many_tokens_as_it_has_positions_for(kind: str, config: dict[str, Any], limit: int) -> None:
    from transformers import AutoConfig, AutoModel

    model = AutoModel.from_config(AutoConfig.for_model(kind, **config))  # type: ignore[no-untyped-call]
    assert max_tokens(model, NO_LIMIT) == limit
    assert max_tokens(model, 8) == 8
    assert max_tokens(model, -1) == max_tokens(model, 0) == limit


@pytest.mark.parametrize("family", ["MPNet", "GPT-2", "XLNet", "T5"])
def test_extraction_trains_whatever_kind_of_positions_its_base_model_has(family: str, tmp_path: Path) -> None:
    drive = FolderDrive(tmp_path)
    write_people(drive, training=4, test=2)
    _train(drive, write_family(family, tmp_path / "base"))
    encoding = json.loads(next(tmp_path.glob("**/pipeline.json")).read_text())["encoding"]
    assert encoding["chunk_size"] == (POSITIONS if family in {"MPNet", "GPT-2"} else DEFAULT_TOKENS)


def test_extraction_with_a_model_that_cannot_classify_words_is_refused(tmp_path: Path) -> None:
    drive = FolderDrive(tmp_path)
    write_people(drive, training=4, test=2)
    with pytest.raises(TrainingInputError, match="Unrecognized configuration class"):
        _train(drive, write_family("BART", tmp_path / "base"))


def test_extraction_with_a_model_that_reads_no_word_is_refused(tmp_path: Path) -> None:
    drive = FolderDrive(tmp_path)
    write_people(drive, training=4, test=2)
    base = write_family("BERT", tmp_path / "base")
    settings = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps(settings | {"model_max_length": 2}))
    with pytest.raises(TrainingInputError, match="at most 2 tokens at once.*no word fits"):
        _train(drive, base)


def test_a_copy_that_shares_weights_has_those_of_the_moment_and_a_forward_pass_of_its_own(tmp_path: Path) -> None:
    model = load_base_model(str(write_family("BERT", tmp_path / "base")), ("O", "Total")).model
    plain = copy_sharing_weights(model)
    plain.train(False)
    model.train()
    assert (plain.training, model.training) == (False, True)
    tokens = torch.tensor([[1, 2, 3]])
    before = plain(tokens).logits
    wrapped = model.forward
    model.forward = lambda *_, **__: wrapped(tokens * 0)  # Trainer wraps it
    assert torch.equal(plain(tokens).logits, before)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1)
    assert not torch.equal(plain(tokens).logits, before)
    model.double()  # as a move to a GPU: other tensors take the place of the old ones
    assert plain.dtype == torch.float64
    assert [id(weight) for weight in plain.parameters()] == [id(weight) for weight in model.parameters()]


def _train(drive: FolderDrive, base: Path) -> None:
    run_train_annotator(
        hyperparams={"model_name": str(base), "epochs": 1},
        dataset_filename=PROJECT,
        save_path="own/repo/fs/drive/out/T",
        file_client=drive,
        username="tester",
        job_metadata_client=JobRecorder(),
    )
