"""Fine-tune a text classifier with Hugging Face Trainer, and compute its outputs."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import PrinterCallback, Trainer, TrainerCallback
from transformers.utils.import_utils import is_liger_kernel_available

from ibformers.errors import RequestRefused, TrainingInputError, first_line
from ibformers.tasks.text_classification.arguments import arguments_error
from ibformers.tasks.text_classification.metrics import MACRO, WEIGHTED, classification_metrics
from ibformers.trainer.bucketing import BucketedExamples
from ibformers.trainer.hardware import prediction_threads
from ibformers.trainer.run import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedModel, TrainerControl, TrainerState, TrainingArguments
    from transformers.trainer_utils import EvalPrediction

    from ibformers.tasks.text_classification.answers import Metrics
    from ibformers.tasks.text_classification.dataset import Examples
    from ibformers.tasks.text_classification.texts import TextReader
    from ibformers.trainer.reporting import StepReport

PAD_TO = 16
"""Lengths are padded to multiples of this number; with fewer shapes, torch's CPU kernels keep fewer buffers."""

NEIGHBOURS = 1.5
"""Square of the distance, in labels, at which a target falls to 1/e of the right label's target."""

logger = logging.getLogger("ibformers.tuning")


class Collator:
    """Collate examples into a batch, padded to a multiple of `PAD_TO` if padding does not change an answer.

    Args:
        reader: reader of the model.
    """

    def __init__(self, reader: TextReader) -> None:
        self.reader = reader

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        rows = [example["input_ids"] for example in examples]
        length = max(len(row) for row in rows)
        if self.reader.padding_side is not None:
            length = min(-(-length // PAD_TO) * PAD_TO, max(self.reader.max_tokens, length))
        labels = torch.tensor([example["labels"] for example in examples])
        return self.reader.pad(rows, length) | {"labels": labels}


class OrderedLoss:
    """Cross entropy with soft targets for ordered labels, so that near misses cost less.

    Source: Diaz and Marathe, Soft Labels for Ordinal Regression, CVPR 2019.

    Args:
        labels: number of labels.
        model: the model; in evaluation mode, the loss is the plain cross entropy.
    """

    def __init__(self, labels: int, model: PreTrainedModel) -> None:
        steps = torch.arange(labels, dtype=torch.float32)
        self._targets = torch.softmax(-((steps[:, None] - steps) ** 2) / NEIGHBOURS, dim=-1)
        self._model = model

    def __call__(
        self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Return the loss of a batch, divided by `num_items_in_batch` if an update accumulates several batches."""
        logits = outputs["logits"].float()
        targets = self._targets.to(logits.device)[labels] if self._model.training else labels
        if num_items_in_batch is None:
            return torch.nn.functional.cross_entropy(logits, targets)
        return torch.nn.functional.cross_entropy(logits, targets, reduction="sum") / num_items_in_batch


class _Evaluations(TrainerCallback):
    """Log and report the evaluations that the request asks for."""

    def __init__(self, report: StepReport) -> None:
        self._report = report

    def on_evaluate(
        self,
        args: TrainingArguments,  # noqa: ARG002 - Trainer's signature
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,
    ) -> None:
        metrics: dict[str, float] = kwargs["metrics"]
        logger.info(
            "evaluation at step %d: loss %.4f, accuracy %.4f, weighted F1 %.4f",
            state.global_step,
            metrics["eval_loss"],
            metrics["eval_accuracy"],
            metrics["eval_f1"],
        )
        averages = {WEIGHTED: metrics["eval_f1"], MACRO: metrics["eval_f1_macro"]}
        self._report.evaluated({"accuracy": metrics["eval_accuracy"], "f1": averages})


def fine_tune(
    model: PreTrainedModel,
    arguments: TrainingArguments,
    train: Examples,
    test: Examples,
    labels: Sequence[str],
    collator: Collator,
    report: StepReport,
    *,
    ordered: bool,
) -> None:
    """Fine-tune `model` in place.

    Args:
        model: the model, with the labels as its outputs.
        arguments: arguments of the training.
        train: examples to train on.
        test: examples for the evaluations that the arguments ask for.
        labels: names of the labels.
        collator: collator of the model.
        report: receives steps and the training curve.
        ordered: whether a neighbouring label is a smaller mistake. Ignored if the arguments have a label smoothing.

    Raises:
        RequestRefused: the training diverged, its folder is not writable, or Trainer rejects an argument.
    """

    def metrics(found: EvalPrediction) -> dict[str, float]:
        values = classification_metrics(labels, test.labels(), np.argmax(found.predictions, axis=-1), None)
        return _evaluation_metrics(values)

    _check_batches(arguments, train)
    ordered = ordered and not arguments.label_smoothing_factor
    bucketed = arguments.train_sampling_strategy == "sequential"
    try:
        trainer = Trainer(
            model=model,
            args=arguments,
            train_dataset=BucketedExamples(train, arguments.per_device_train_batch_size, seed=arguments.seed)
            if bucketed
            else train,
            eval_dataset=test,
            data_collator=collator,
            compute_metrics=metrics,
            preprocess_logits_for_metrics=_logits_only,
            compute_loss_func=OrderedLoss(len(labels), model) if ordered else None,
            callbacks=[Progress(report, arguments.learning_rate), _Evaluations(report)],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    except TrainingInputError as error:
        raise RequestRefused(error.user_message, "learning_rate") from None
    except Exception as error:
        raise _trainer_error(error, arguments) from error


def _check_batches(arguments: TrainingArguments, train: Examples) -> None:
    if arguments.dataloader_drop_last and arguments.train_batch_size > len(train):
        raise RequestRefused(
            f"Train request: dataloader_drop_last: a batch has {arguments.train_batch_size} rows, and there are only "
            f"{len(train)} to learn from, so that no batch is left.",
            "dataloader_drop_last",
        )


def check_trainer_arguments(arguments: TrainingArguments, given: Sequence[str]) -> None:
    """Check arguments by creating Trainer, optimiser, schedule and data loader for a tiny model.

    Args:
        arguments: arguments of the training.
        given: names of the arguments in the request.

    Raises:
        RequestRefused: one of the objects cannot be created.
    """
    try:
        if arguments.use_liger_kernel and not is_liger_kernel_available():
            raise ImportError("use_liger_kernel needs the package liger-kernel, which is not installed")  # noqa: TRY301
        trainer = Trainer(model=torch.nn.Linear(1, 2), args=arguments, train_dataset=[{}], eval_dataset=[{}])
        trainer.create_optimizer_and_scheduler(num_training_steps=10)
        trainer.get_train_dataloader()
    except Exception as error:
        raise _trainer_error(error, arguments, given) from error


def _trainer_error(error: Exception, arguments: TrainingArguments, given: Sequence[str] = ()) -> RequestRefused:
    logger.debug("Trainer failed", exc_info=error)
    folder, place = str(arguments.output_dir), str(getattr(error, "filename", None) or "")
    if place and (folder.startswith(place) or place.startswith(folder)):
        reason = getattr(error, "strerror", None) or first_line(error)
        return RequestRefused(f"Train request: output_dir: {place} cannot be written: {reason}.", "output_dir")
    return arguments_error(error, given)


def _logits_only(outputs: Any, labels: torch.Tensor) -> torch.Tensor:  # noqa: ARG001 - Trainer's signature
    """Return the logits of a model's outputs, without hidden states and other outputs."""
    logits: torch.Tensor = outputs[0] if isinstance(outputs, tuple) else outputs
    return logits


def _evaluation_metrics(values: Metrics) -> dict[str, float]:
    """Return the metrics of `EVALUATION_METRICS` without the loss, which Trainer adds."""
    found = {"accuracy": values.accuracy}
    for name in ("precision", "recall", "f1"):
        by_label = getattr(values, name)
        found |= {name: by_label[WEIGHTED], f"{name}_macro": by_label[MACRO]}
    return found


def predict_logits(
    model: PreTrainedModel, examples: Examples, collator: Collator, batch_size: int
) -> NDArray[np.float32]:
    """Return the outputs of a model for each example, in float32 and without dropout, as in serving.

    If padding changes the answers of the model, the batch size is 1.

    Returns:
        Array of shape (examples, outputs).
    """
    model.train(False)
    batch_size = 1 if collator.reader.padding_side is None else batch_size
    order = np.argsort(examples.lengths(), kind="stable")
    logits = np.zeros((len(examples), int(model.config.num_labels or 0)), dtype=np.float32)
    with prediction_threads(), torch.inference_mode():
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            batch = collator([examples[int(index)] for index in chosen])
            del batch["labels"]
            batch = {name: values.to(model.device) for name, values in batch.items()}
            logits[chosen] = model(**batch).logits.float().cpu().numpy()
    return logits


def cross_entropy(logits: NDArray[np.float32], actual: NDArray[np.int64]) -> float:
    """Return the mean cross entropy of outputs and the indices of the right labels.

    Raises:
        RequestRefused: the loss is not finite, because the model diverged.
    """
    loss = float(torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(actual)))
    if not math.isfinite(loss):
        raise RequestRefused(f"The training diverged: the loss is {loss}; try a lower learning_rate.", "learning_rate")
    return loss
