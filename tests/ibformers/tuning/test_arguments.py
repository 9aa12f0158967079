"""Arguments of `transformers.TrainingArguments` in requests."""

from __future__ import annotations

import json
import logging
import math
from typing import TYPE_CHECKING, Any

import pytest

from ibformers.service.cli import main
from ibformers.tasks.text_classification.arguments import TrainingSize, check_arguments, training_arguments
from ibformers.tasks.text_classification.training import check_trainer_arguments
from ibformers.tuning import DatabaseRows, RequestRefused, Tuning
from tests.ibformers.tuning.conftest import REQUEST, Tuned

if TYPE_CHECKING:
    from pathlib import Path


def check(given: dict[str, Any], folder: Path) -> None:
    """Check arguments as a training does before anything is read."""
    checked = check_arguments(given)
    check_trainer_arguments(training_arguments(checked, TrainingSize(1, 1, 1), str(folder)), list(checked))


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ({"metric_for_best_model": "precison"}, "metric_for_best_model", "did you mean precision.*there are loss, acc"),
        (
            {"metric_for_best_model": "eval_auc"},
            "metric_for_best_model",
            "names 'eval_auc', which is not a metric of an evaluation",
        ),
        ({"prediction_loss_only": True}, "prediction_loss_only", "evaluations measure more than the loss"),
        ({"batch_eval_metrics": True}, "batch_eval_metrics", "cannot be used here"),
        ({"eval_do_concat_batches": False}, "eval_do_concat_batches", "cannot be used here"),
        ({"label_names": ["label"]}, "label_names", "cannot be used here"),
        ({"push_to_hub": True}, "push_to_hub", "nothing is pushed to a hub"),
        ({"resume_from_checkpoint": "/nowhere"}, "resume_from_checkpoint", "starts from the model in use"),
        ({"resume_from_checkpoint": True}, "resume_from_checkpoint", "starts from the model in use"),
        ({"train_sampling_strategy": "sorted"}, "train_sampling_strategy", "must be random, sequential or group_by_"),
        ({"max_grad_norm": -1}, "max_grad_norm", "greater than or equal to 0"),
        ({"per_device_eval_batch_size": 0}, "per_device_eval_batch_size", "greater than or equal to 1"),
        ({"warmup_ratio": 1.5}, "warmup_ratio", "less than or equal to 1"),
        ({"warmup_ratio": 0.1, "warmup_steps": 0}, "warmup_steps", "warmup_steps and warmup_ratio are the same"),
        ({"warmup_steps": 0, "warmup_ratio": 0.1}, "warmup_ratio", "warmup_ratio and warmup_steps are the same"),
        ({"report_to": "wandb"}, "report_to", "'wandb', which is not installed"),
        ({"optim": "adam_of_nobody"}, "", "(optim).*adam_of_nobody is not a valid"),
        ({"optim": "adamw_bnb_8bit"}, "", "bitsandbytes"),
        ({"optim": "galore_adamw"}, "", "galore"),
        ({"optim_args": "word"}, "", "(optim_args)"),
        ({"adam_beta1": 2}, "", "Invalid beta parameter"),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, "", "min_lr"),
        ({"lr_scheduler_type": "warmup_stable_decay"}, "", "num_decay_steps"),
        ({"lr_scheduler_kwargs": {"steps": 1}}, "", "unexpected keyword argument 'steps'"),
        ({"use_liger_kernel": True}, "", "liger-kernel"),
        ({"fsdp": "full_shard"}, "fsdp", "is not distributed"),
        ({"fsdp_config": {"min_num_params": 1}}, "fsdp_config", "is not distributed"),
        ({"deepspeed": "ds.json"}, "deepspeed", "is not distributed"),
        ({"dataloader_persistent_workers": True}, "", "num_workers"),
        ({"log_level": "loud"}, "", "(log_level)"),
        ({"accelerator_config": {"word": 1}}, "", "unexpected keyword argument 'word'"),
        ({"bf16": True, "fp16": True}, "", "not both"),
    ],
)
def test_what_trainer_would_refuse_later_is_refused_before_anything_is_read(
    given: dict[str, Any], field: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(RequestRefused, match=message) as caught:
        check(given, tmp_path)
    assert caught.value.field == field
    assert "\n" not in caught.value.user_message


def test_values_that_change_nothing_are_taken() -> None:
    given = {"push_to_hub": False, "label_names": ["labels"], "resume_from_checkpoint": None}
    assert check_arguments(given) == {"push_to_hub": False, "label_names": None, "resume_from_checkpoint": None}


def test_arguments_without_effect_are_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="ibformers")
    assert check_arguments({"do_train": False, "do_eval": True, "hub_token": "secret"}) == {}
    for name in ("do_train", "do_eval", "hub_token"):
        assert f"argument without effect: {name}" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(("ratio", "steps"), [(0, 0), (0.5, 4), (0.99, 8), (1.0, 8), (1, 8)])
def test_a_warmup_ratio_is_a_share_of_the_steps(ratio: float, steps: int, tmp_path: Path) -> None:
    checked = check_arguments({"warmup_ratio": ratio})
    assert training_arguments(checked, TrainingSize(8, 1, 1), str(tmp_path)).get_warmup_steps(8) == steps
    assert math.isclose(checked["warmup_steps"], ratio)


@pytest.mark.parametrize("metric", ["eval_precision", "f1_macro"])
def test_the_best_model_may_be_chosen_by_any_metric(metric: str, tmp_path: Path, tiny_bert: Path, sqlite: str) -> None:
    best = {"save_strategy": "epoch", "load_best_model_at_end": True, "metric_for_best_model": metric}
    settings = {"path": tmp_path / "models", "model_name": "m", "base_model": str(tiny_bert)}
    answer = Tuning(settings, DatabaseRows(sqlite)).train(
        REQUEST | {"evaluation_strategy": "epoch", "num_train_epochs": 2} | best
    )
    assert answer.version


def test_what_the_training_itself_raises_is_a_sentence_too(tuned: Tuned, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = {"dataloader_drop_last": True, "per_device_train_batch_size": 1000}
    with pytest.raises(RequestRefused, match="a batch has 1000 rows, and there are only 16 to learn from"):
        Tuning(tuned.settings, DatabaseRows(tuned.database)).train(REQUEST | wrong)
    request = REQUEST | {"activation_checkpointing": True, "activation_checkpointing_kwargs": {"word": 1}}
    options = ["--path", str(tuned.path), "--model-name", "tiny", "--database", tuned.database, "--quiet"]
    assert main(["train", *options, "--request", json.dumps(request)]) == 4
    said = capsys.readouterr().err
    # Warnings of the log come before.
    (sentence,) = [line for line in said.splitlines() if line.startswith("Train request")]
    assert sentence.startswith("Train request: its training arguments cannot be used together, or not here: ")
    assert "Traceback" not in said
