"""Check, rename and complete the `transformers.TrainingArguments` of a request."""

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


DEFAULTS: dict[str, Any] = {
    "num_train_epochs": 3.0,
    "learning_rate": 1.5e-4,
    "warmup_steps": 0.1,
    "weight_decay": 0.01,
    "train_sampling_strategy": "sequential",
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "logging_nan_inf_filter": False,
}
"""Defaults for fine-tuning a small pretrained model that differ from those of transformers."""

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
"""Bounds of arguments that transformers does not check itself."""

RENAMED = {
    "evaluation_strategy": "eval_strategy",
    "warmup_ratio": "warmup_steps",
    "no_cuda": "use_cpu",
    "per_gpu_train_batch_size": "per_device_train_batch_size",
    "per_gpu_eval_batch_size": "per_device_eval_batch_size",
}
"""Arguments of older versions of transformers, and their names today."""

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
"""Arguments without effect, and why."""

REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "push_to_hub": ((False,), f"{_NO_HUB}: the new model goes into the folder of models"),
    "prediction_loss_only": ((False,), "evaluations measure more than the loss"),
    "batch_eval_metrics": ((False,), "metrics are those of all test rows at once"),
    "eval_do_concat_batches": ((True,), "metrics are those of all test rows at once"),
    "label_names": ((None, ["labels"]), "the label of a row is always called labels"),
    "resume_from_checkpoint": ((None, False), _NO_RESUMING),
    # Both change settings of the whole process, with which later trainings and models fail.
    "deepspeed": ((None, "", False), _NOT_DISTRIBUTED),
    "fsdp": ((None, "", False, []), _NOT_DISTRIBUTED),
    "fsdp_config": ((None, "", {}), _NOT_DISTRIBUTED),
}
"""Arguments that cannot be used: accepted values, the default first, and why other values are refused."""

SAMPLING = ("random", "sequential", "group_by_length")
"""Values of `train_sampling_strategy`; Trainer treats every other one as `random`."""

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
"""Metrics of an evaluation; averages over labels are weighted by their rows, or unweighted (`macro`)."""

LOG_POINTS = 20
"""Approximate maximum of logged steps in a training, unless the request has `logging_steps`."""

EVALUATIONS = 4
"""Evaluations of a training with `eval_strategy` "steps", unless the request has `eval_steps`."""

logger = logging.getLogger("ibformers.tuning")


def check_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments, by their names today, with checked values.

    Raises:
        RequestRefused: arguments are unknown or have invalid values; the message names all of them.
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
            checked[today] = _checked_value(name, today, value, before)
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


def _checked_value(name: str, today: str, value: Any, sent: str) -> Any:
    """Return the checked value of an argument.

    Args:
        name: its name in the request.
        today: its name today.
        value: its value in the request.
        sent: its first name in the request.

    Raises:
        ValueError: the argument cannot be used; the message continues after the argument's name.
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
    # TrainingArguments reads a warmup of 1 as one step, not as the whole training.
    return math.nextafter(1, 0) if name == "warmup_ratio" and checked == 1 else checked


def _check_metric(name: str) -> None:
    known = name.removeprefix("eval_")
    if known not in EVALUATION_METRICS:
        raise ValueError(
            f"names {name!r}, which is not a metric of an evaluation{did_you_mean(known, EVALUATION_METRICS)}: "
            f"there are {', '.join(EVALUATION_METRICS)}"
        )


@dataclass(frozen=True, slots=True)
class TrainingSize:
    """Sizes that defaults depend on.

    Attributes:
        rows: number of rows to train on.
        train_batch: default batch size in training.
        eval_batch: default batch size in evaluation.
    """

    rows: int
    train_batch: int
    eval_batch: int


def training_arguments(checked: Mapping[str, Any], size: TrainingSize, folder: str) -> TrainingArguments:
    """Complete checked arguments with defaults for fine-tuning a small pretrained model.

    Args:
        checked: result of `check_arguments`.
        size: sizes that defaults depend on.
        folder: default folder of checkpoints.

    Raises:
        RequestRefused: arguments cannot be combined.
    """
    values: dict[str, Any] = {
        "output_dir": folder,
        "per_device_train_batch_size": size.train_batch,
        "per_device_eval_batch_size": size.eval_batch,
    }
    values |= DEFAULTS | _machine(checked) | dict(checked)
    updates = _updates(values, size.rows)
    values.setdefault("logging_steps", max(1, math.ceil(updates / LOG_POINTS)))
    if str(getattr(values.get("eval_strategy"), "value", values.get("eval_strategy"))) == "steps":
        values.setdefault("eval_steps", max(1, math.ceil(updates / EVALUATIONS)))
    # Trainer would drop the examples' columns, which it does not know.
    values["remove_unused_columns"] = False
    try:
        return TrainingArguments(**values)
    except Exception as error:  # noqa: BLE001 - transformers and its libraries raise any class
        raise arguments_error(error, checked) from None


def arguments_error(error: Exception, given: Iterable[str]) -> RequestRefused:
    """Return the error for training arguments that transformers or one of its libraries rejects.

    Args:
        error: exception of the library.
        given: names of the request's arguments.
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
