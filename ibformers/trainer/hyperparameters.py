"""Hyperparameters of an extraction training: validation and defaults."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ibformers.errors import TrainingInputError
from ibformers.models.base import DEFAULT_BASE_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SCHEDULERS = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
)
"""Learning rate schedules of transformers that need no further arguments."""

WITHOUT_EFFECT = {
    "upload": "the weights are always part of the model package, which cannot be served without them",
    "pipeline_name": "the base model decides whether boxes are read",
}
"""Accepted hyperparameters of the protocol that have no effect here, with the reason."""

MIN_STEPS = 90
"""Minimum number of optimiser steps; with fewer, a fine-tuned MiniLM stays half trained."""

SMALL_DATASET = 100
"""Number of examples below which smaller batches (more steps) are better."""


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """Hyperparameters of a training. None means that the data, the base model or the machine decides.

    Attributes:
        model_name: base model: a local folder, a name on the hub, or the packaged default.
        epochs: number of passes over the training documents; may be a fraction.
        batch_size: number of chunks per step and device.
        gradient_accumulation_steps: number of steps whose gradients are summed before an update.
        learning_rate: peak learning rate.
        warmup: fraction (below 1) or number of the updates in which the learning rate rises from 0.
        scheduler_type: learning rate schedule after the warmup, one of `SCHEDULERS`.
        weight_decay: weight decay of AdamW.
        max_grad_norm: norm that gradients are clipped to; 0 disables clipping.
        chunk_size: maximum number of tokens of a chunk; None is the limit of the base model, at most 512.
        stride: maximum number of tokens that neighbouring chunks share; None is a quarter of the chunk.
        use_mixed_precision: train in bf16 (fp16 on older GPUs); None enables it if the processor is fast at it.
        use_gpu: train on a GPU if there is one.
        report_to: integrations of transformers that receive the logs of the training.
        seed: seed of the new layers, the order of the documents and the jitter of their pages.
    """

    model_name: str = DEFAULT_BASE_MODEL
    epochs: float | None = None
    batch_size: int | None = None
    gradient_accumulation_steps: int = 1
    learning_rate: float = 3e-4
    warmup: float = 0.1
    scheduler_type: str = "linear"
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    chunk_size: int | None = None
    stride: int | None = None
    use_mixed_precision: bool | None = None
    use_gpu: bool = True
    report_to: str | list[str] = "none"
    seed: int = 42

    def batch_size_for(self, examples: int) -> int:
        """Return the batch size for this number of training examples."""
        return self.batch_size or (4 if examples < SMALL_DATASET else 8)

    def epochs_for(self, examples: int) -> float:
        """Return the epochs for this number of training examples: at least three, and at least `MIN_STEPS` updates."""
        if self.epochs is not None:
            return self.epochs
        updates_per_epoch = math.ceil(examples / (self.batch_size_for(examples) * self.gradient_accumulation_steps))
        return float(max(3, math.ceil(MIN_STEPS / updates_per_epoch)))

    def chunking(self, max_tokens: int) -> tuple[int, int]:
        """Return chunk size and stride for a base model with this token limit.

        Raises:
            TrainingInputError: The chunk size exceeds the limit, or the stride exceeds half of the chunk size.
        """
        chunk_size = self.chunk_size or min(512, max_tokens)
        stride = chunk_size // 4 if self.stride is None else self.stride
        if chunk_size > max_tokens:
            raise TrainingInputError(
                f"Hyperparameter chunk_size is {chunk_size}, but the base model {self.model_name!r} reads at most "
                f"{max_tokens} tokens."
            )
        if stride > chunk_size // 2:
            raise TrainingInputError(
                f"Hyperparameter stride is {stride}, but at most half of chunk_size ({chunk_size // 2}) makes sense: "
                "it is the number of tokens that neighbouring chunks share."
            )
        return chunk_size, stride


def parse_hyperparameters(given: Mapping[str, Any]) -> tuple[Hyperparameters, list[str]]:
    """Validate the hyperparameters of a job. The value None means the default.

    Returns:
        The hyperparameters, and one line for the log per given name without effect.

    Raises:
        TrainingInputError: Some values are invalid; the message names all of them.
    """
    if not hasattr(given, "items"):
        raise TrainingInputError(f"The hyperparameters must be an object with names and values, not {given!r}.")
    known = {field.name for field in fields(Hyperparameters)}
    values: dict[str, Any] = {}
    problems: list[str] = []
    notes: list[str] = []
    for name, value in given.items():
        if name in WITHOUT_EFFECT:
            notes.append(f"hyperparameter without effect: {name} ({WITHOUT_EFFECT[name]})")
        elif name not in known:
            notes.append(f"ignored hyperparameter: {name}{_did_you_mean(str(name), sorted(known))}")
        elif value is not None:
            expected, accepts = _RULES[name]
            if accepts(value):
                values[name] = value
            else:
                problems.append(f"{name} must be {expected}, not {_shown(value)}")
    if "scheduler_type" in values and values["scheduler_type"] not in SCHEDULERS:
        name = values["scheduler_type"]
        problems.append(
            f"scheduler_type {name!r} is not known{_did_you_mean(name, SCHEDULERS)}; it can be {', '.join(SCHEDULERS)}"
        )
    if problems:
        raise TrainingInputError(f"Hyperparameters: {'; '.join(problems)}.")
    return Hyperparameters(**values), notes


def _number(low: float, *, open_low: bool = False) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        return value > low if open_low else value >= low

    return accepts


def _whole(low: int, high: int | None = None) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return is_whole and value >= low and (high is None or value <= high)

    return accepts


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _texts(value: Any) -> bool:
    return _text(value) or (isinstance(value, list) and all(map(_text, value)))


_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "model_name": ("the name of a base model", _text),
    "epochs": ("a number above 0", _number(0, open_low=True)),
    "batch_size": ("a whole number of at least 1", _whole(1)),
    "gradient_accumulation_steps": ("a whole number of at least 1", _whole(1)),
    "learning_rate": ("a number above 0", _number(0, open_low=True)),
    "warmup": ("a number of at least 0", _number(0)),
    "scheduler_type": ("the name of a schedule", _text),
    "weight_decay": ("a number of at least 0", _number(0)),
    "max_grad_norm": ("a number of at least 0", _number(0)),
    "chunk_size": ("a whole number of at least 16", _whole(16)),
    "stride": ("a whole number of at least 0", _whole(0)),
    "use_mixed_precision": ("true or false", _flag),
    "use_gpu": ("true or false", _flag),
    "report_to": ("a name or a list of names", _texts),
    "seed": ("a whole number from 0 to 4294967295", _whole(0, 2**32 - 1)),
}


def _shown(value: Any) -> str:
    return f"the text {value!r}" if isinstance(value, str) else str(value)


def _did_you_mean(name: str, known: list[str] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
