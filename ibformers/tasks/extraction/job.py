"""Extraction training: from an Annotator project to metrics, predictions and a model package."""

from __future__ import annotations

import copy
import json
import logging
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ibformers.documents.annotator import OUTSIDE
from ibformers.models.base import copy_sharing_weights, load_base_model
from ibformers.registry.model_package import write_model_package
from ibformers.tasks.extraction.batches import Collator, training_examples
from ibformers.tasks.extraction.decoding import learn_constraints
from ibformers.tasks.extraction.features import Encoder, EncodingSettings
from ibformers.tasks.extraction.intervals import describe_test_part, metric_intervals
from ibformers.tasks.extraction.loss import extraction_loss
from ibformers.tasks.extraction.metrics import Metrics, evaluate, macro_average
from ibformers.tasks.extraction.model import ExtractionModel
from ibformers.tasks.extraction.prediction import Predictor
from ibformers.tasks.extraction.results import DocumentResult
from ibformers.trainer.hardware import map_in_threads, use_all_cores
from ibformers.trainer.run import train
from ibformers.unicode import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibformers.documents.annotator import AnnotatorProject
    from ibformers.documents.document import AnnotatedDocument
    from ibformers.platform import FileClient
    from ibformers.trainer.hyperparameters import Hyperparameters
    from ibformers.trainer.reporting import JobReport

BOX_GRID = 20
"""Grid of boxes, in thousandths of the page: hides the noise of OCR engines, and repeats each position often enough."""

logger = logging.getLogger(__name__)


def run_extraction(
    project: AnnotatorProject,
    hyperparameters: Hyperparameters,
    files: FileClient,
    save_path: str,
    model_name: str,
    job_id: str,
    report: JobReport,
) -> None:
    """Train on a project and write `evaluation.json`, `predictions.json` and `saved_model/` under `save_path`.

    Metrics and predictions are computed with the model as loaded from its written files, as a model service loads it.

    Raises:
        TrainingInputError: The base model or a hyperparameter is invalid, or the training diverged.
    """
    use_all_cores()
    report.update(test_part=describe_test_part(project))
    with tempfile.TemporaryDirectory(prefix="ibformers-") as folder:
        model_data = Path(folder)
        _train(project, hyperparameters, report).save(model_data)
        report.message("Writing prediction results.")
        model = ExtractionModel.load(model_data)
        predicted = list(zip(project.prediction, predict_all(model.predictor, project.prediction), strict=True))
        tested = [result for item, result in predicted if item.annotated and item.is_test]
        metrics = evaluate(project.fields, tested)
        _log_metrics("the finished model", metrics)
        report.evaluation(metrics, metric_intervals(project.fields, tested, hyperparameters.seed))
        report.update(task_state="UPLOADING FILES TO IB")
        _write_json(files, f"{save_path}/evaluation.json", metrics)
        predictions = {result.document.name: result.as_json(project.fields) for _, result in predicted}
        _write_json(files, f"{save_path}/predictions.json", predictions)
        report.message("Uploading model.")
        write_model_package(files, f"{save_path}/saved_model", model_name, model_data, job_id)
    logger.info(
        "written under %s: evaluation.json, predictions.json (%d documents), saved_model", save_path, len(predictions)
    )
    report.update(task_state="UPOLADING FINISHED", progress=1.0)
    report.update(predictions_uuid=uuid.uuid4().hex)


def predict(predictor: Predictor, item: AnnotatedDocument) -> DocumentResult:
    """Predict a document and pair the prediction with the annotation."""
    predictions = predictor.predict(item.document)
    return DocumentResult(
        document=item.document,
        predicted=predictions.classes,
        gold=np.array(item.classes, dtype=np.int64),
        scores=predictions.scores,
    )


def predict_all(predictor: Predictor, items: Sequence[AnnotatedDocument]) -> list[DocumentResult]:
    """Predict documents, several at once."""
    return list(map_in_threads(lambda item: predict(predictor, item), items))


def _train(project: AnnotatorProject, hyperparameters: Hyperparameters, report: JobReport) -> ExtractionModel:
    from transformers import set_seed

    set_seed(hyperparameters.seed)
    base = load_base_model(hyperparameters.model_name, (OUTSIDE, *project.fields))
    chunk_size, stride = hyperparameters.chunking(base.max_tokens)
    # Freeze the word embeddings: those of words in the training documents would otherwise move away from those of all
    # other words, and what is learned of "total" would not carry over to "payable".
    base.model.get_input_embeddings().weight.requires_grad_(False)
    encoder = Encoder(base.tokenizer, EncodingSettings(chunk_size, stride, BOX_GRID))
    examples = training_examples(project.training, encoder)
    constraints = learn_constraints(len(project.fields), project.training)
    for field, constraint in zip(project.fields, constraints, strict=True):
        logger.info("%s: in one piece %s, always there %s", field, constraint.in_one_piece, constraint.always_there)
        if constraint.span is not None:
            logger.info("  %s", constraint.span)
    # Trainer wraps the forward pass of its model in lower precision. That of the copy stays as it is.
    plain = copy_sharing_weights(base.model)

    def predictor() -> Predictor:
        model = plain if plain.device.type == "cpu" else copy.deepcopy(plain)
        return Predictor(model, encoder, constraints, uses_boxes=base.uses_boxes)

    def evaluate_epoch(epoch: float) -> None:
        metrics = evaluate(project.fields, predict_all(predictor(), project.validation))
        _log_metrics(f"epoch {epoch:g}", metrics)
        report.evaluation(metrics)

    report.message("Model training in progress.")
    collator = Collator(encoder, pad_id=base.pad_id, uses_boxes=base.uses_boxes, seed=hyperparameters.seed)
    summary = train(base.model, examples, collator, hyperparameters, report, evaluate_epoch, extraction_loss)
    logger.info("trained %d steps in %.1f s", summary.steps, summary.seconds)
    return ExtractionModel(predictor(), project.fields)


def _log_metrics(title: str, metrics: Metrics) -> None:
    logger.info(
        "%s: macro f1 %.3f, exact match %.3f",
        title,
        macro_average(metrics, "f1"),
        macro_average(metrics, "exact_match"),
    )
    for field in metrics["f1"]:
        values = ", ".join(f"{name} {_shown(by_field[field])}" for name, by_field in metrics.items())
        logger.info("  %s: %s", field, values)


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3f}"


def _write_json(files: FileClient, path: str, value: Any) -> None:
    files.write_file(path, clean(json.dumps(value, allow_nan=False, ensure_ascii=False)).encode())


def describe(documents: Sequence[AnnotatedDocument]) -> str:
    """Return the numbers of documents and words, for the log."""
    return f"{len(documents)} documents with {sum(len(item.document.words) for item in documents)} words"
