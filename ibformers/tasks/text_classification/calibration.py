"""Temperature of a text classifier: its outputs are scaled, so that a score is the probability of being right.

Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from ibformers.tasks.text_classification.metrics import expected_calibration_error, top_scores
from ibformers.tasks.text_classification.training import predict_logits

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from ibformers.tasks.text_classification.dataset import Examples
    from ibformers.tasks.text_classification.training import Collator

BOUNDS = (0.05, 20.0)
"""Smallest and largest temperature."""

TEMPERATURE = "score_temperature"
"""Attribute of a model's config: the temperature that its outputs were divided by, or None."""

_PROBE_ROWS = 8
"""Rows that show which layer computes the logits."""

logger = logging.getLogger("ibformers.tuning")


def fit_temperature(logits: NDArray[Any], actual: NDArray[np.int64]) -> float:
    """Return the temperature with the smallest cross entropy of `logits / temperature`, within `BOUNDS`.

    Of n rows, each has 1 / (n + 2) of its target spread over all labels, as in Platt, Probabilistic Outputs for Support
    Vector Machines, 1999. Otherwise, rows that are all predicted right would have the smallest temperature.

    Args:
        logits: finite outputs, of shape (rows, labels); at least one row.
        actual: index of the right label for each row.
    """
    values = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    spread = 1 / (len(values) + 2)
    target = (1 - spread) * values[np.arange(len(values)), actual] + spread * values.mean(axis=1)

    def cross_entropy(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        return float((np.log(np.exp(values * scale).sum(axis=1)) - target * scale).mean())

    found = minimize_scalar(cross_entropy, bounds=tuple(np.log(BOUNDS)), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def calibrate(model: PreTrainedModel, held_out: Examples, collator: Collator, batch_size: int) -> float | None:
    """Fit a temperature, and divide weight and bias of the output layer by it, in place.

    The predicted labels do not change. The config of the model keeps the temperature.

    Args:
        model: the trained model.
        held_out: examples that it was not trained on.
        collator: collator of the model.
        batch_size: rows of a batch.

    Returns:
        The temperature; None if nothing was divided, because there are no examples, or no single layer computes the
        outputs.
    """
    setattr(model.config, TEMPERATURE, None)
    if not len(held_out):
        return None
    layer = output_layer(model, held_out, collator)
    if layer is None:
        logger.warning(
            "the outputs of %s are not those of a linear layer: there is no temperature, and the scores are no "
            "probabilities",
            type(model).__name__,
        )
        return None
    logits, actual = predict_logits(model, held_out, collator, batch_size), held_out.labels()
    if not np.isfinite(logits).all():
        # The evaluation of the new model says that the training diverged.
        return None
    temperature = fit_temperature(logits, actual)
    with torch.no_grad():
        layer.weight.div_(temperature)
        if layer.bias is not None:
            layer.bias.div_(temperature)
    setattr(model.config, TEMPERATURE, temperature)
    right = logits.argmax(axis=1) == actual
    before, after = (expected_calibration_error(top_scores(one), right) for one in (logits, logits / temperature))
    logger.info(
        "temperature %.3f from %d rows that were not learned: calibration error on them %.4f, before %.4f",
        temperature,
        len(held_out),
        after,
        before,
    )
    return temperature


def output_layer(model: PreTrainedModel, examples: Examples, collator: Collator) -> torch.nn.Linear | None:
    """Return the linear layer whose outputs, of the whole text or of one of its tokens, are the logits of the model.

    Args:
        model: the model.
        examples: examples to try the model with; at least one.
        collator: collator of the model.

    Returns:
        The layer; None if there is none, because the model computes its logits in another way.
    """
    labels = int(model.config.num_labels or 0)
    outputs: dict[torch.nn.Linear, torch.Tensor] = {}

    def keep(layer: torch.nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(layer, torch.nn.Linear) and isinstance(output, torch.Tensor):
            outputs[layer] = output

    layers = [each for each in model.modules() if isinstance(each, torch.nn.Linear) and each.out_features == labels]
    hooks = [layer.register_forward_hook(keep) for layer in layers]
    model.train(False)
    rows = 1 if collator.reader.padding_side is None else min(_PROBE_ROWS, len(examples))
    batch = collator([examples[index] for index in range(rows)])
    del batch["labels"]
    try:
        with torch.inference_mode():
            logits = model(**{name: values.to(model.device) for name, values in batch.items()}).logits
    finally:
        for hook in hooks:
            hook.remove()
    for layer, output in reversed(outputs.items()):
        if output.numel() % logits.numel() == 0:
            by_token = output.to(logits.dtype).reshape(rows, -1, labels)
            if bool((by_token == logits[:, None]).all(dim=2).any(dim=1).all()):
                return layer
    return None
