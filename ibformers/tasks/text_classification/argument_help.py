"""Descriptions of the training arguments that a train request may have."""

from __future__ import annotations

import json
from dataclasses import MISSING, Field, fields
from enum import Enum
from typing import Any

from transformers import TrainingArguments

from ibformers.tasks.text_classification.answers import ArgumentAnswer
from ibformers.tasks.text_classification.arguments import DEFAULTS, EVALUATIONS, LOG_POINTS, REFUSED, WITHOUT_EFFECT
from ibformers.tasks.text_classification.batch_size import MAX_TEST_BATCH, MAX_TRAIN_BATCH

CHOSEN = {
    "output_dir": "a folder that is deleted",
    "per_device_train_batch_size": f"square root of the rows, at most {MAX_TRAIN_BATCH}",
    "per_device_eval_batch_size": f"square root of the rows, at most {MAX_TEST_BATCH}",
    "train_sampling_strategy": "rows of similar length in one batch",
    "bf16": "the fastest choice for the machine",
    "fp16": "the fastest choice for the machine",
    "use_cpu": "the fastest choice for the machine",
    "dataloader_pin_memory": "the fastest choice for the machine",
    "logging_steps": f"about {LOG_POINTS} lines of the log",
    "eval_steps": f"about {EVALUATIONS} evaluations",
}
"""Defaults that depend on the rows or the machine, in words."""


def describe_arguments() -> list[ArgumentAnswer]:
    """Return the arguments of `transformers.TrainingArguments` that have an effect here, sorted by name."""
    left_out = WITHOUT_EFFECT.keys() | REFUSED.keys()
    known = [field for field in fields(TrainingArguments) if field.init and field.name not in left_out]
    return sorted((_answer(field) for field in known), key=lambda answer: answer.name)


def _answer(field: Field[Any]) -> ArgumentAnswer:
    default = CHOSEN.get(field.name) or _as_json(DEFAULTS.get(field.name, _default(field)))
    text = " ".join(str(field.metadata.get("help") or "").split()).replace("%%", "%")
    return ArgumentAnswer(name=field.name, default=default, help=text)


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _as_json(value: Any) -> str:
    return json.dumps(value.value if isinstance(value, Enum) else value, default=str)
