"""Arguments of `transformers.TrainingArguments` as requests bring them: checked, renamed, completed with defaults."""

from __future__ import annotations

import logging
import math
import typing
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from transformers import TrainingArguments

from ibformers.errors import RequestRefused, TrainingInputError, did_you_mean, first_line
from ibformers.tasks.text_classification.requests import TrainRequest
from ibformers.trainer.hardware import choose_device, choose_precision
from ibformers.trainer.run import check_integrations

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic.fields import FieldInfo


LEARNING_RATE = 1.5e-4
EPOCHS = 3.0
WARMUP = 0.1
WEIGHT_DECAY = 0.01

BOUNDS: dict[str, FieldInfo] = {
    "num_train_epochs": Field(gt=0),
    "max_steps": Field(ge=-1),
    "per_device_train_batch_size": Field(ge=1),
    "per_device_eval_batch_size": Field(ge=1),
    "gradient_accumulation_steps": Field(ge=1),
    "learning_rate": Field(ge=0),
    "warmup_steps": Field(ge=0),
    "warmup_ratio": Field(ge=0, le=1),
    "weight_decay": Field(ge=0),
    "max_grad_norm": Field(ge=0),
    "label_smoothing_factor": Field(ge=0, le=1),
    "logging_steps": Field(gt=0),
    "eval_steps": Field(gt=0),
    "save_steps": Field(gt=0),
    "eval_accumulation_steps": Field(ge=1),
    "dataloader_num_workers": Field(ge=0),
    "neftune_noise_alpha": Field(ge=0),
    "seed": Field(ge=0, lt=2**32),
    "data_seed": Field(ge=0, lt=2**32),
}
"""What transformers does not check by itself, though nothing sensible comes of it."""

RENAMED = {
    "evaluation_strategy": "eval_strategy",
    "warmup_ratio": "warmup_steps",
    "no_cuda": "use_cpu",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
}
"""Arguments of older versions of transformers, and what they are called today."""

_NO_HUB = "nothing is pushed to a hub"
_NOT_DISTRIBUTED = "a training runs in one process, and is not distributed"
_NO_RESUMING = "each training starts from the model in use"

WITHOUT_EFFECT = {
    "overwrite_output_dir": "checkpoints are written over those of the same step",
    "logging_dir": "the log goes where the logs of this process go",
    "save_safetensors": "models are always saved so",
    "do_train": "a train request always trains",
    "do_eval": "eval_strategy says whether there are evaluations",
    "do_predict": "both models are always measured",
    "remove_unused_columns": "the rows have no columns that could be left out",
    "length_column_name": "the lengths of the rows are known",
    "ignore_data_skip": _NO_RESUMING,
    "restore_callback_states_from_checkpoint": _NO_RESUMING,
    "hub_token": _NO_HUB,
    "hub_model_id": _NO_HUB,
    "hub_private_repo": _NO_HUB,
    "hub_strategy": _NO_HUB,
    "hub_always_push": _NO_HUB,
    "hub_revision": _NO_HUB,
}
"""Arguments that mean nothing here, or not any more, and why."""

REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "push_to_hub": ((False,), f"{_NO_HUB}: the new model goes into the folder of models"),
    "prediction_loss_only": ((False,), "evaluations measure more than the loss"),
    "batch_eval_metrics": ((False,), "metrics are those of all test rows at once"),
    "eval_do_concat_batches": ((True,), "metrics are those of all test rows at once"),
    "label_names": ((None, ["labels"]), "the label of a row is always called labels"),
    "resume_from_checkpoint": ((None, False), _NO_RESUMING),
    # Both would change settings of the whole process, so that later trainings and models failed.
    "deepspeed": ((None, "", False), _NOT_DISTRIBUTED),
    "fsdp": ((None, "", False, []), _NOT_DISTRIBUTED),
    "fsdp_config": ((None, "", {}), _NOT_DISTRIBUTED),
}
"""Arguments that this code has no use for: values that change nothing, the default first; why others are refused."""

SAMPLING = ("random", "sequential", "group_by_length")
"""Values of `train_sampling_strategy`; Trainer takes any other one for `random`."""

EVALUATION_METRICS = (
    "loss",
    "accuracy",
    "precision",
    "recall",
    "f1",
    "precision_macro",
    "recall_macro",
    "f1_macro",
)
"""What an evaluation measures; averages over labels are weighted by their rows, or plain (`macro`)."""

LOG_POINTS = 20
"""Steps of a training that the log tells of, at most about, unless the request says otherwise."""

EVALUATIONS = 4
"""Evaluations in a training that is evaluated by steps, unless the request says how many steps."""

logger = logging.getLogger("ibformers.tuning")


def check_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Check arguments by name and type, under the names that they have today.

    Raises:
        RequestRefused: one is not known, or has a value that it cannot have; the sentence names all of them.
    """
    checked: dict[str, Any] = {}
    problems: list[str] = []
    sent: dict[str, str] = {}
    wrong = ""
    for name, value in given.items():
        today = RENAMED.get(name, name)
        if name in WITHOUT_EFFECT:
            logger.info("argument without effect: %s (%s)", name, WITHOUT_EFFECT[name])
            continue
        before = sent.setdefault(today, name)
        try:
            checked[today] = _checked(name, today, value, before)
        except ValueError as error:
            problems.append(f"{name} {error}")
            wrong = wrong or name
    if problems:
        raise RequestRefused(f"Train request: {'; '.join(problems)}.", wrong)
    if "report_to" in checked:
        try:
            check_integrations(checked["report_to"] or "none")
        except TrainingInputError as error:
            raise RequestRefused(error.user_message, "report_to") from None
    return checked


def _checked(name: str, today: str, value: Any, sent: str) -> Any:
    """Return the value of an argument as it is used.

    Args:
        name: its name in the request.
        today: the name that it has today.
        value: what the request says.
        sent: the first name under which the request has it.

    Raises:
        ValueError: it cannot be used; the text goes on where the argument's name ends.
    """
    if today not in _types():
        hint = did_you_mean(name, [*_types(), *TrainRequest.model_fields])
        raise ValueError(f"is neither a field of it nor an argument of TrainingArguments{hint}")
    if name != sent:
        raise ValueError(f"and {sent} are the same argument: send one")
    if today in REFUSED and value not in REFUSED[today][0]:
        raise ValueError(f"cannot be used here: {REFUSED[today][1]}")
    if today in REFUSED:
        return REFUSED[today][0][0]
    try:
        checked = _types()[name if name in BOUNDS else today].validate_python(value)
    except ValidationError as error:
        raise ValueError(error.errors(include_url=False)[0]["msg"].replace("Input should be", "must be")) from None
    if today == "train_sampling_strategy" and checked not in SAMPLING:
        raise ValueError(f"must be {', '.join(SAMPLING[:-1])} or {SAMPLING[-1]}")
    if today == "metric_for_best_model" and checked is not None:
        _check_metric(checked)
    # A share of 1 would be taken as a single step.
    return math.nextafter(1, 0) if name == "warmup_ratio" and checked == 1 else checked


def _check_metric(name: str) -> None:
    known = name.removeprefix("eval_")
    if known not in EVALUATION_METRICS:
        raise ValueError(
            f"names {name!r}, which no evaluation measures{did_you_mean(known, EVALUATION_METRICS)}: "
            f"there are {', '.join(EVALUATION_METRICS)}"
        )


@dataclass(frozen=True, slots=True)
class TrainingSize:
    """What defaults depend on.

    Attributes:
        rows: rows that are learned from.
        train_batch: rows of a batch in training, unless the request says it.
        eval_batch: rows of a batch in evaluation, unless the request says it.
    """

    rows: int
    train_batch: int
    eval_batch: int


def training_arguments(checked: Mapping[str, Any], amounts: TrainingSize, folder: str) -> TrainingArguments:
    """Complete checked arguments with defaults that suit fine-tuning a small pretrained model.

    Args:
        checked: as `check_arguments` returns them.
        amounts: of rows.
        folder: where checkpoints go unless the request says it.

    Raises:
        RequestRefused: two arguments do not go together.
    """
    values: dict[str, Any] = {
        "output_dir": folder,
        "num_train_epochs": EPOCHS,
        "per_device_train_batch_size": amounts.train_batch,
        "per_device_eval_batch_size": amounts.eval_batch,
        "learning_rate": LEARNING_RATE,
        "warmup_steps": WARMUP,
        "weight_decay": WEIGHT_DECAY,
        "train_sampling_strategy": "sequential",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "logging_nan_inf_filter": False,
    }
    values |= _machine(checked) | dict(checked)
    updates = _updates(values, amounts.rows)
    values.setdefault("logging_steps", max(1, math.ceil(updates / LOG_POINTS)))
    if str(getattr(values.get("eval_strategy"), "value", values.get("eval_strategy"))) == "steps":
        values.setdefault("eval_steps", max(1, math.ceil(updates / EVALUATIONS)))
    # The examples of this code have no columns that could be left out.
    values["remove_unused_columns"] = False
    try:
        return TrainingArguments(**values)
    except Exception as error:  # noqa: BLE001 - transformers and what it hands over to raise any class
        raise arguments_error(error, checked) from None


def arguments_error(error: Exception, given: Iterable[str]) -> RequestRefused:
    """Return the refusal of training arguments that transformers, or what it hands them to, does not take.

    Args:
        error: what was raised.
        given: names of the arguments.
    """
    names = f" ({', '.join(sorted(given))})" if given else ""
    return RequestRefused(
        f"Train request: its training arguments{names} cannot be used together, or not here: {first_line(error)}."
    )


def _machine(checked: Mapping[str, Any]) -> dict[str, Any]:
    device = choose_device(use_gpu=not checked.get("use_cpu", False))
    precision = choose_precision(device, mixed=None)
    values: dict[str, Any] = {"use_cpu": device == "cpu", "dataloader_pin_memory": device == "cuda"}
    if not {"bf16", "fp16"} & checked.keys():
        values |= {"bf16": precision == "bf16", "fp16": precision == "fp16"}
    return values


def _updates(values: Mapping[str, Any], rows: int) -> int:
    if values.get("max_steps", -1) > 0:
        return int(values["max_steps"])
    batch = values["per_device_train_batch_size"] * values.get("gradient_accumulation_steps", 1)
    epochs = float(values["num_train_epochs"])
    return math.ceil(math.ceil(rows / max(int(batch), 1)) * epochs)


@cache
def _types() -> dict[str, TypeAdapter[Any]]:
    hints = typing.get_type_hints(TrainingArguments)
    own = {field.name: _adapter(field.name, hints[field.name]) for field in fields(TrainingArguments) if field.init}
    return own | {"warmup_ratio": _adapter("warmup_ratio", float)}


def _adapter(name: str, hint: Any) -> TypeAdapter[Any]:
    if name in BOUNDS:
        return TypeAdapter(Annotated[hint, BOUNDS[name]], config=ConfigDict(allow_inf_nan=False))
    config = ConfigDict(hide_input_in_errors=True, arbitrary_types_allowed=True, allow_inf_nan=False)
    try:
        return TypeAdapter(hint, config=config)
    except PydanticUserError:
        return TypeAdapter(hint)
