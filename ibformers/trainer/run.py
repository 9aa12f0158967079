"""Fine-tuning of a model with Hugging Face Trainer."""

from __future__ import annotations

import logging
import math
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.integrations.integration_utils import get_available_reporting_integrations

from ibformers.errors import TrainingInputError
from ibformers.models.base import quiet_transformers
from ibformers.trainer.bucketing import BucketedExamples
from ibformers.trainer.hardware import choose_device, choose_precision

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel, TrainerControl, TrainerState

    from ibformers.trainer.bucketing import Example
    from ibformers.trainer.hyperparameters import Hyperparameters
    from ibformers.trainer.reporting import JobReport, StepReport

CURVE_POINTS = 100
"""Approximate maximum number of points of a training curve."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingSummary:
    """Summary of a training.

    Attributes:
        steps: number of optimiser updates.
        seconds: wall time of the training loop, including the evaluations between epochs.
    """

    steps: int
    seconds: float


class Progress(TrainerCallback):
    """Callback that reports steps and the training curve, and stops a training whose loss is not finite."""

    def __init__(self, report: StepReport, learning_rate: float) -> None:
        self._report = report
        self._learning_rate = learning_rate

    def on_step_end(
        self,
        args: TrainingArguments,  # noqa: ARG002 - Trainer's signature
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        self._report.steps(state.global_step, state.max_steps, state.epoch or 0.0)

    def on_log(
        self,
        args: TrainingArguments,  # noqa: ARG002 - Trainer's signature
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,
    ) -> None:
        logs: dict[str, float] = kwargs["logs"]
        if "loss" not in logs:
            return
        if not math.isfinite(float(logs["loss"])):
            raise TrainingInputError(
                f"The training diverged: the loss is {logs['loss']} after {state.global_step} steps; "
                f"try a learning_rate below {self._learning_rate:g}."
            )
        self._report.learning(
            {
                "step": state.global_step,
                "epoch": round(state.epoch or 0.0, 3),
                "loss": float(logs["loss"]),
                "learning_rate": float(logs["learning_rate"]),
            }
        )


class _Evaluation(TrainerCallback):
    """Callback that evaluates after every epoch but the last; the caller evaluates the finished model."""

    def __init__(self, evaluate: Callable[[float], None]) -> None:
        self._evaluate = evaluate

    def on_epoch_end(
        self,
        args: TrainingArguments,  # noqa: ARG002 - Trainer's signature
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        if state.global_step < state.max_steps:
            self._evaluate(state.epoch or 0.0)


def train(
    model: PreTrainedModel,
    examples: Sequence[Example],
    collator: Callable[[Sequence[Example]], dict[str, Tensor]],
    hyperparameters: Hyperparameters,
    report: JobReport,
    evaluate: Callable[[float], None],
    loss: Callable[[Tensor, Tensor], Tensor],
) -> TrainingSummary:
    """Fine-tune a model in place.

    Args:
        model: the model.
        examples: the examples to learn from, at least one.
        collator: makes a batch of examples.
        hyperparameters: settings of the training.
        report: receiver of steps and of the training curve.
        evaluate: called with the epoch after every epoch but the last; must not change the model.
        loss: maps logits of shape (batch, tokens, classes) and labels of shape (batch, tokens) to a scalar.

    Raises:
        TrainingInputError: The training diverged, or an integration of `report_to` is not installed.
    """
    quiet_transformers()
    check_integrations(hyperparameters.report_to)
    with tempfile.TemporaryDirectory(prefix="ibformers-") as folder:
        arguments = training_arguments(hyperparameters, len(examples), folder)
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=BucketedExamples(examples, arguments.per_device_train_batch_size, seed=hyperparameters.seed),
            data_collator=collator,
            # Trainer does not divide the result of such a function by the accumulation steps.
            compute_loss_func=lambda outputs, labels, num_items_in_batch=None: (  # noqa: ARG005 - Trainer's signature
                loss(outputs.logits, labels) / hyperparameters.gradient_accumulation_steps
            ),
            callbacks=[Progress(report, hyperparameters.learning_rate), _Evaluation(evaluate)],
        )
        trainer.remove_callback(PrinterCallback)
        started = time.monotonic()
        trainer.train()
    return TrainingSummary(trainer.state.global_step, time.monotonic() - started)


def check_integrations(report_to: str | list[str]) -> None:
    """Check that the integrations of transformers in `report_to` are installed.

    Raises:
        TrainingInputError: One of them is not installed.
    """
    available: list[str] = get_available_reporting_integrations()  # type: ignore[no-untyped-call]
    for name in [report_to] if isinstance(report_to, str) else report_to:
        if name not in {"none", "all", *available}:
            raise TrainingInputError(
                f"Hyperparameter report_to names {name!r}, which is not installed here; "
                f"there is: {', '.join(sorted(available)) or 'none'}."
            )


def training_arguments(hyperparameters: Hyperparameters, examples: int, folder: str) -> TrainingArguments:
    """Translate the hyperparameters to arguments of Trainer, for this number of examples on this machine."""
    device = choose_device(use_gpu=hyperparameters.use_gpu)
    precision = choose_precision(device, mixed=hyperparameters.use_mixed_precision)
    batch_size = hyperparameters.batch_size_for(examples)
    epochs = hyperparameters.epochs_for(examples)
    updates = math.ceil(examples / (batch_size * hyperparameters.gradient_accumulation_steps)) * epochs
    logger.info(
        "training %g epochs on %d examples: device %s, %s, batch size %d",
        epochs,
        examples,
        device,
        precision,
        batch_size,
    )
    return TrainingArguments(
        output_dir=folder,
        num_train_epochs=epochs,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=hyperparameters.gradient_accumulation_steps,
        learning_rate=hyperparameters.learning_rate,
        warmup_steps=hyperparameters.warmup,
        lr_scheduler_type=hyperparameters.scheduler_type,
        weight_decay=hyperparameters.weight_decay,
        max_grad_norm=hyperparameters.max_grad_norm,
        optim="adamw_torch_fused",
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=device == "cpu",
        seed=hyperparameters.seed,
        train_sampling_strategy="sequential",
        logging_steps=max(1, math.ceil(updates / CURVE_POINTS)),
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to=hyperparameters.report_to,
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=device == "cuda",
    )
