from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from ibformers.errors import TrainingInputError
from ibformers.trainer.hyperparameters import (
    SCHEDULERS,
    WITHOUT_EFFECT,
    Hyperparameters,
    parse_hyperparameters,
)

PROTOCOL = {
    "batch_size": 2,
    "epochs": 4,
    "learning_rate": 5e-5,
    "max_grad_norm": 0.5,
    "gradient_accumulation_steps": 2,
    "chunk_size": 256,
    "stride": 64,
    "warmup": 0.2,
    "weight_decay": 0.1,
    "scheduler_type": "cosine",
    "use_mixed_precision": False,
    "use_gpu": False,
    "upload": True,
    "model_name": "somewhere/base",
    "pipeline_name": "layoutlm_sl",
    "report_to": "none",
}


def test_every_hyperparameter_of_the_protocol_is_known() -> None:
    parsed, notes = parse_hyperparameters(PROTOCOL)
    for name, value in PROTOCOL.items():
        if name not in WITHOUT_EFFECT:
            assert getattr(parsed, name) == value
    assert len(notes) == len(WITHOUT_EFFECT)
    assert {field.name for field in fields(Hyperparameters)} | set(WITHOUT_EFFECT) == {*PROTOCOL, "seed"}


def test_unknown_hyperparameters_are_named_with_the_likely_one() -> None:
    parsed, notes = parse_hyperparameters({"epoch": 3, "zebra": 1})
    assert notes == ["ignored hyperparameter: epoch (did you mean 'epochs'?)", "ignored hyperparameter: zebra"]
    assert parsed == Hyperparameters()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"batch_size": -4}, "Hyperparameters: batch_size must be a whole number of at least 1, not -4."),
        ({"batch_size": 2.5}, "Hyperparameters: batch_size must be a whole number of at least 1, not 2.5."),
        ({"epochs": True}, "Hyperparameters: epochs must be a number above 0, not True."),
        ({"learning_rate": "5e-5"}, "Hyperparameters: learning_rate must be a number above 0, not the text '5e-5'."),
        ({"learning_rate": float("nan")}, "Hyperparameters: learning_rate must be a number above 0, not nan."),
        ({"use_gpu": "false"}, "Hyperparameters: use_gpu must be true or false, not the text 'false'."),
        ({"chunk_size": 0}, "Hyperparameters: chunk_size must be a whole number of at least 16, not 0."),
        ({"scheduler_type": "cosin"}, "Hyperparameters: scheduler_type 'cosin' is not known (did you mean 'cosine'?)"),
        (
            {"warmup": -1, "seed": -1},
            (
                "Hyperparameters: warmup must be a number of at least 0, not -1; "
                "seed must be a whole number from 0 to 4294967295, not -1."
            ),
        ),
    ],
)
def test_impossible_values_are_refused_all_at_once(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TrainingInputError) as caught:
        parse_hyperparameters(given)
    assert caught.value.user_message.startswith(sentence)


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(TrainingInputError, match="must be an object with names and values"):
        parse_hyperparameters(["epochs"])  # type: ignore[arg-type]


@pytest.mark.parametrize(("examples", "batch_size", "epochs"), [(12, 4, 30), (60, 4, 6), (300, 8, 3), (5000, 8, 3)])
def test_small_datasets_get_smaller_batches_and_enough_steps(examples: int, batch_size: int, epochs: float) -> None:
    chosen = Hyperparameters()
    assert (chosen.batch_size_for(examples), chosen.epochs_for(examples)) == (batch_size, epochs)


def test_chunks_fit_the_base_model() -> None:
    assert Hyperparameters().chunking(512) == (512, 128)
    assert Hyperparameters().chunking(128) == (128, 32)
    assert Hyperparameters(chunk_size=64, stride=0).chunking(128) == (64, 0)
    with pytest.raises(TrainingInputError, match="chunk_size is 256, but the base model .* reads at most 128 tokens"):
        Hyperparameters(chunk_size=256).chunking(128)
    with pytest.raises(TrainingInputError, match="stride is 60, but at most half of chunk_size"):
        Hyperparameters(chunk_size=64, stride=60).chunking(128)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_schedule_can_be_made(name: str) -> None:
    import torch
    from transformers import get_scheduler

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    get_scheduler(name, optimizer, num_warmup_steps=1, num_training_steps=10)


def test_trainer_gets_the_values() -> None:
    from ibformers.trainer.run import training_arguments

    parsed, _ = parse_hyperparameters(PROTOCOL)
    arguments = training_arguments(parsed, 50, "unused")
    assert arguments.per_device_train_batch_size == 2
    assert arguments.num_train_epochs == 4
    assert arguments.learning_rate == 5e-5
    assert arguments.max_grad_norm == 0.5
    assert arguments.gradient_accumulation_steps == 2
    assert arguments.get_warmup_steps(100) == 20
    assert arguments.weight_decay == 0.1
    assert arguments.lr_scheduler_type == "cosine"
    assert not arguments.bf16
    assert not arguments.fp16
    assert arguments.use_cpu
