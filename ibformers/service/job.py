"""Jobs of an environment: train and package a model on a database table, and promote the packaged model.

A training tunes a copy of the model in use in a temporary folder of models. So trainings of one model disturb neither
each other nor the candidate, and leave only the files below their `save_path`.
"""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibformers.models.base import DEFAULT_BASE_MODEL
from ibformers.registry.model_package import module_name, write_model_package
from ibformers.registry.store import TRAINING_RECORD, ModelStore
from ibformers.service.operations import Tuning, promotion_answer, settings_with_path
from ibformers.tasks.text_classification.promotion import check_not_worse
from ibformers.tasks.text_classification.requests import ModelSettings, TrainRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ibformers.databases.rows import RowSource
    from ibformers.platform import FileClient
    from ibformers.tasks.text_classification.answers import Metrics, Prediction, TrainAnswer
    from ibformers.trainer.reporting import JobReport

SERVED = "ibformers.tasks.text_classification.served.ServedClassifier"
"""Dotted path of the class that serves a packaged model."""

EVALUATION, PREDICTIONS, INPUTS, PACKAGE = "evaluation.json", "predictions.json", "inputs.json", "saved_model"
MAX_PREDICTIONS = 1000
"""Test rows whose predictions are written, at most; the metrics are computed on all test rows."""

_REPORTED = ("evaluation_results", "evaluation_intervals", "comparison", "current", "test_part")
_SETTINGS = frozenset(ModelSettings.model_fields)

logger = logging.getLogger("ibformers.tuning")


def split_hyperparameters(given: Mapping[str, Any], model_name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of the model and the arguments of the training, separately.

    Args:
        given: settings and arguments by name.
        model_name: name of the model if `given` has none.
    """
    settings = {"model_name": model_name} | {name: value for name, value in given.items() if name in _SETTINGS}
    return settings, {name: value for name, value in given.items() if name not in _SETTINGS}


def run_table(
    settings: Mapping[str, Any],
    request: Mapping[str, Any],
    rows: RowSource,
    models: Path | None,
    files: FileClient,
    save_path: str,
    package_name: str,
    report: JobReport,
    job_id: str,
) -> TrainAnswer:
    """Tune a copy of the model in use, compare both, and write metrics, predictions and a model package.

    Args:
        settings: settings of the model, without `path`.
        request: fields of `TrainRequest`.
        rows: source of the rows.
        models: the environment's folder of models; None is an empty one.
        files: writes files below `save_path`.
        save_path: drive folder for `evaluation.json`, `predictions.json`, `inputs.json` and `saved_model/`.
        package_name: name of the model package.
        report: receives progress and the metrics of both models.
        job_id: id of the training job, for the package.

    Raises:
        RequestRefused: the request or a setting is wrong, or the training diverged.
        DatabaseUnavailable: the rows cannot be read.
    """
    asked = TrainRequest.of(request)
    with tempfile.TemporaryDirectory(prefix="ibformers-") as folder:
        checked = ModelSettings.of(settings_with_path(Path(folder), settings))
        current = ModelStore(models, checked.model_name).in_use() if models is not None else None
        if current is not None:
            from ibformers.tasks.text_classification.model import copy_model

            copy_model(str(current.folder), Path(folder, checked.model_name))
        elif checked.base_model is None and checked.model_name != DEFAULT_BASE_MODEL:
            checked = checked.model_copy(update={"base_model": DEFAULT_BASE_MODEL})
        report.message("Model training in progress.")
        answer = Tuning(checked, rows).train(asked, report=report, predictions=MAX_PREDICTIONS)
        facts = _evaluation(answer, checked.model_name, current.name if current is not None else None)
        report.update(**{name: facts[name] for name in _REPORTED})
        report.message("Writing prediction results.")
        rows_by_name = {f"row-{number}": one for number, one in enumerate(answer.predictions, 1)}
        predictions = {name: {asked.columns[0]: _prediction_result(one)} for name, one in rows_by_name.items()}
        inputs = {name: one.inputs for name, one in rows_by_name.items()}
        for name, value in ((EVALUATION, facts), (PREDICTIONS, predictions), (INPUTS, inputs)):
            files.write_file(f"{save_path}/{name}", json.dumps(value, allow_nan=False).encode())
        report.message("Uploading model.")
        package, data = f"{save_path}/{PACKAGE}", Path(answer.waiting)
        write_model_package(files, package, package_name, data, job_id, served=SERVED, result_type="raw_data")
    logger.info("written under %s: metrics, predictions of %d rows, the model", save_path, len(inputs))
    report.update(progress=1.0)
    return answer


def promote(
    files: FileClient, save_path: str, package_name: str, models: Path, *, force: bool = False
) -> dict[str, Any]:
    """Put the model that a training packaged in use; the model that it replaces is kept for a rollback.

    The candidate stays the candidate.

    Args:
        files: reads files below `save_path`.
        save_path: drive folder of the training.
        package_name: name of the model package.
        models: the environment's folder of models.
        force: promote the model even if it is certainly worse than the model in use.

    Returns:
        The fields of `TakeAnswer`.

    Raises:
        NoCandidate: another version is in use by now than the one that the new model was compared with.
        ModelIsWorse: the new model is certainly worse than the model in use, and `force` is false.
        ModelBusy: the model is being trained.
    """
    facts = json.loads(files.read_file(f"{save_path}/{EVALUATION}"))
    name, before = str(facts["model_name"]), facts["current"]["version"]
    store = ModelStore(models, name)
    data = f"{save_path}/{PACKAGE}/src/py/{module_name(package_name)}/model_data"
    with store.training() as work:
        known = check_not_worse(
            name,
            "the new model",
            facts,
            store.in_use(),
            "To promote it all the same, give `force` (pytest --promote --promote-worse).",
            force=force,
        )
        folder = work / "version"
        (folder / "model").mkdir(parents=True)
        for file in facts["files"]:
            target = folder / "model" / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(files.read_file(f"{data}/{file}"))
        (folder / TRAINING_RECORD).write_text(json.dumps(facts, indent=1), encoding="utf-8")
        answer = promotion_answer(name, *store.promote_folder(folder, before), known)
    return answer.model_dump(mode="json")


def _evaluation(answer: TrainAnswer, model_name: str, version: str | None) -> dict[str, Any]:
    return {
        "model_name": model_name,
        "files": sorted(path.name for path in Path(answer.waiting).iterdir()),
        "evaluation_results": _without_loss(answer.new),
        "evaluation_intervals": answer.evaluation_intervals.model_dump(mode="json"),
        "comparison": answer.comparison.model_dump(mode="json") if answer.comparison else None,
        "current": {
            "version": version,
            # A new head answers at random, so there is no model to be better than.
            "has_learned": not answer.old_head_is_new,
            "evaluation_results": _without_loss(answer.old),
        },
        "labels": answer.labels,
        "temperature": answer.temperature,
        "rows": answer.rows.model_dump(),
        "test_part": answer.test_part.model_dump(),
        "batch_sizes": answer.batch_sizes,
        "seconds": answer.seconds,
    }


def _without_loss(metrics: Metrics) -> dict[str, Any]:
    return metrics.model_dump(exclude={"loss"})


def _prediction_result(one: Prediction) -> dict[str, Any]:
    return {
        "text": one.predicted,
        "avg_confidence": one.score,
        "gold_text": one.label,
        "is_match": one.predicted == one.label,
    }
