"""Fine-tunes a text classifier with Hugging Face Trainer, and measures one."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import PrinterCallback, Trainer, TrainerCallback

from ibformers.errors import TrainingInputError
from ibformers.training.data import BucketedExamples
from ibformers.training.hardware import prediction_threads
from ibformers.training.run import Progress
from ibformers.tuning.errors import RequestRefused
from ibformers.tuning.metrics import WEIGHTED, classification_metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedModel, TrainerControl, TrainerState, TrainingArguments
    from transformers.trainer_utils import EvalPrediction

    from ibformers.training.reporting import StepReport
    from ibformers.tuning.dataset import Examples

PAD_TO = 16
"""Lengths are padded to multiples of this: fewer shapes, so that torch's CPU kernels keep fewer plans and buffers."""

NEIGHBOURS = 3.0
"""Square of the distance, in labels, over which the share of others in the targets falls to 1/e of the right one's."""

logger = logging.getLogger(__name__)


class Collator:
    """Makes a batch of examples, padded on the right to a multiple of `PAD_TO`.

    Args:
        pad_id: the padding token.
        max_tokens: most tokens that the model reads.
    """

    def __init__(self, pad_id: int, max_tokens: int) -> None:
        self._pad_id = pad_id
        self._max_tokens = max_tokens

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        longest = max(len(example["input_ids"]) for example in examples)
        shape = (len(examples), min(-(-longest // PAD_TO) * PAD_TO, max(self._max_tokens, longest)))
        input_ids = np.full(shape, self._pad_id, dtype=np.int64)
        attention_mask = np.zeros(shape, dtype=np.int64)
        for row, example in enumerate(examples):
            tokens = len(example["input_ids"])
            input_ids[row, :tokens] = example["input_ids"]
            attention_mask[row, :tokens] = 1
        return {
            "input_ids": torch.from_numpy(input_ids),
            "attention_mask": torch.from_numpy(attention_mask),
            "labels": torch.tensor([example["labels"] for example in examples]),
        }


class OrderedLoss:
    """Cross entropy against targets that give the neighbours of the right label a share, so that near misses cost less.

    Soft targets for ordered labels: Diaz and Marathe, Soft Labels for Ordinal Regression, CVPR 2019.

    Args:
        labels: how many there are.
        model: while it is evaluated, the plain cross entropy is returned.
    """

    def __init__(self, labels: int, model: PreTrainedModel) -> None:
        steps = torch.arange(labels, dtype=torch.float32)
        self._targets = torch.softmax(-((steps[:, None] - steps) ** 2) / NEIGHBOURS, dim=-1)
        self._model = model

    def __call__(
        self, outputs: Any, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Return the loss of a batch, or its share of an update that is made of several batches."""
        logits = outputs["logits"].float()
        targets = self._targets.to(logits.device)[labels] if self._model.training else labels
        if num_items_in_batch is None:
            return torch.nn.functional.cross_entropy(logits, targets)
        return torch.nn.functional.cross_entropy(logits, targets, reduction="sum") / num_items_in_batch


class _Evaluations(TrainerCallback):
    """Tells the log of the evaluations that the request asks for."""

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
        model: its outputs are the labels.
        arguments: of the training.
        train: examples to learn from.
        test: examples for the evaluations that the arguments ask for.
        labels: their names.
        collator: makes batches.
        report: told of steps and the training curve.
        ordered: whether a neighbouring label is the smaller mistake. A label smoothing of the arguments goes before.

    Raises:
        RequestRefused: the training diverged, or its folder cannot be written.
    """

    def metrics(found: EvalPrediction) -> dict[str, float]:
        values = classification_metrics(labels, test.labels(), np.argmax(found.predictions, axis=-1), None)
        return {"accuracy": values.accuracy, "f1": values.f1[WEIGHTED]}

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
            compute_loss_func=OrderedLoss(len(labels), model) if ordered else None,
            callbacks=[Progress(report, arguments.learning_rate), _Evaluations()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    except TrainingInputError as error:
        raise RequestRefused(error.user_message, "learning_rate") from None
    except OSError as error:
        if not error.filename:
            raise
        raise RequestRefused(
            f"Train request: output_dir: {error.filename} cannot be written: {error.strerror}.", "output_dir"
        ) from None


def predict_logits(
    model: PreTrainedModel, examples: Examples, collator: Collator, batch_size: int
) -> NDArray[np.float32]:
    """Return the outputs of a model for each example, in float32 and without dropout: as it answers when it is served.

    Returns:
        Array of shape (examples, outputs).
    """
    model.train(False)
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
    """Return the mean cross entropy of outputs against the numbers of the right labels.

    Raises:
        RequestRefused: it is no number: the model diverged.
    """
    loss = float(torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(actual)))
    if not math.isfinite(loss):
        raise RequestRefused(f"The training diverged: the loss is {loss}; try a lower learning_rate.", "learning_rate")
    return loss
