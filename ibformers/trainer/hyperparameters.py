"""The hyperparameters of a training job: checked, completed with defaults, and what they mean for Trainer."""

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
"""Learning rate schedules of transformers that need no arguments of their own."""

WITHOUT_EFFECT = {
    "upload": "the weights are always part of the model package, which cannot be served without them",
    "pipeline_name": "the base model decides whether boxes are read",
}
"""Hyperparameters of the protocol that this code accepts and has no use for, and why."""

MIN_STEPS = 90
"""Fewer optimiser steps than this leave a fine-tuned MiniLM half trained, however few documents there are."""

SMALL_DATASET = 100
"""Below this many examples, smaller batches (more steps) learn better from the same epochs."""


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """What a training is run with. None means: chosen by the data, the base model or the machine (see `for_examples`).

    Attributes:
        model_name: base model: a local folder, a name on the hub, or the packaged default.
        epochs: passes over the training documents; may be a fraction.
        batch_size: chunks of documents per step and device.
        gradient_accumulation_steps: steps whose gradients are summed before an update.
        learning_rate: its peak.
        warmup: below 1 the share of the updates, else their number, in which the learning rate rises from 0.
        scheduler_type: what the learning rate does after that, one of `SCHEDULERS`.
        weight_decay: of AdamW.
        max_grad_norm: gradients are clipped to this norm; 0 leaves them.
        chunk_size: most tokens of a chunk; None is what the base model reads, at most 512.
        stride: most tokens that neighbouring chunks share; None is a quarter of the chunk.
        use_mixed_precision: bf16 (on an older GPU fp16) in training; None: where the processor computes it fast.
        use_gpu: train on a GPU if there is one.
        report_to: integrations of transformers that are told of the training.
        seed: of the new layers, the order of the documents and the jitter of their pages.
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
        """Return the batch size for this many training examples."""
        return self.batch_size or (4 if examples < SMALL_DATASET else 8)

    def epochs_for(self, examples: int) -> float:
        """Return the epochs for this many training examples: enough for `MIN_STEPS` updates, and at least three."""
        if self.epochs is not None:
            return self.epochs
        updates_per_epoch = math.ceil(examples / (self.batch_size_for(examples) * self.gradient_accumulation_steps))
        return float(max(3, math.ceil(MIN_STEPS / updates_per_epoch)))

    def chunking(self, max_tokens: int) -> tuple[int, int]:
        """Return chunk size and stride for a base model that reads at most `max_tokens` tokens.

        Raises:
            TrainingInputError: they are too big for the model, or for each other.
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
    """Check the hyperparameters of a job; None as a value means the default.

    Returns:
        The hyperparameters, and one line for the log about each given one that has no effect.

    Raises:
        TrainingInputError: some have values that they cannot have; the sentence names all of them.
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
