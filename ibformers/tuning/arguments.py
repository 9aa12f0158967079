"""Arguments of `transformers.TrainingArguments` as requests bring them: checked, renamed, completed with defaults."""

from __future__ import annotations

import difflib
import logging
import math
import typing
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from transformers import TrainingArguments

from ibformers.errors import TrainingInputError
from ibformers.training.hardware import choose_device, choose_precision
from ibformers.training.run import check_integrations
from ibformers.tuning.errors import RequestRefused
from ibformers.tuning.requests import TrainRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.fields import FieldInfo


LEARNING_RATE = 1.5e-4
EPOCHS = 3.0
WARMUP = 0.1
WEIGHT_DECAY = 0.01

BOUNDS: dict[str, FieldInfo] = {
    "num_train_epochs": Field(gt=0),
    "per_device_train_batch_size": Field(ge=1),
    "per_device_eval_batch_size": Field(ge=1),
    "gradient_accumulation_steps": Field(ge=1),
    "learning_rate": Field(ge=0),
    "warmup_steps": Field(ge=0),
    "seed": Field(ge=0, lt=2**32),
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

WITHOUT_EFFECT = {
    "overwrite_output_dir": "checkpoints are written over those of the same step",
    "logging_dir": "the log goes where the logs of this process go",
    "save_safetensors": "models are always saved so",
}
"""Arguments of older versions that mean nothing any more, and why."""

LOG_POINTS = 20
"""Steps of a training that the log tells of, at most about, unless the request says otherwise."""

EVALUATIONS = 4
"""Evaluations in a training that is evaluated by steps, unless the request says how many steps."""

logger = logging.getLogger(__name__)


def check_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Check arguments by name and type, under the names that they have today.

    Raises:
        RequestRefused: one is not known, or has a value that it cannot have; the sentence names all of them.
    """
    checked: dict[str, Any] = {}
    problems: list[str] = []
    wrong = ""
    for name, value in given.items():
        today = RENAMED.get(name, name)
        problem = ""
        if name in WITHOUT_EFFECT:
            logger.info("argument without effect: %s (%s)", name, WITHOUT_EFFECT[name])
        elif today not in _types():
            problem = f"{name} is neither a field of it nor an argument of TrainingArguments{_did_you_mean(name)}"
        elif today in checked:
            problem = f"{name} and {today} are the same argument: send one"
        else:
            try:
                checked[today] = _types()[today].validate_python(value)
            except ValidationError as error:
                reason = error.errors(include_url=False)[0]["msg"].replace("Input should be", "must be")
                problem = f"{name} {reason}"
        if problem:
            problems.append(problem)
            wrong = wrong or name
    if problems:
        raise RequestRefused(f"Train request: {'; '.join(problems)}.", wrong)
    if "report_to" in checked:
        try:
            check_integrations(checked["report_to"] or "none")
        except TrainingInputError as error:
            raise RequestRefused(error.user_message, "report_to") from None
    return checked


@dataclass(frozen=True, slots=True)
class Amounts:
    """What defaults depend on.

    Attributes:
        rows: rows that are learned from.
        train_batch: rows of a batch in training, unless the request says it.
        eval_batch: rows of a batch in evaluation, unless the request says it.
    """

    rows: int
    train_batch: int
    eval_batch: int


def training_arguments(checked: Mapping[str, Any], amounts: Amounts, folder: str) -> TrainingArguments:
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
    except (ValueError, TypeError, ImportError) as error:
        raise RequestRefused(
            f"Train request: its training arguments cannot be used together, or not here: {_first_line(error)}"
        ) from None


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
    return {field.name: _adapter(field.name, hints[field.name]) for field in fields(TrainingArguments) if field.init}


def _adapter(name: str, hint: Any) -> TypeAdapter[Any]:
    if name in BOUNDS:
        return TypeAdapter(Annotated[hint, BOUNDS[name]], config=ConfigDict(allow_inf_nan=False))
    config = ConfigDict(hide_input_in_errors=True, arbitrary_types_allowed=True, allow_inf_nan=False)
    try:
        return TypeAdapter(hint, config=config)
    except PydanticUserError:
        return TypeAdapter(hint)


def _did_you_mean(name: str) -> str:
    close = difflib.get_close_matches(name, [*_types(), *TrainRequest.model_fields], n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
