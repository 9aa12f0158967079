"""The functions that an environment calls. Each checks what it is given and hands over."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibformers.trainer.threads import let_waiting_threads_sleep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ibformers.platform import FileClient, JobMetadataClient
    from ibformers.service.service import TuningService

logger = logging.getLogger(__name__)


def run_train_annotator(
    hyperparams: dict[str, Any],
    dataset_filename: str,
    save_path: str,
    file_client: FileClient,
    username: str,
    job_metadata_client: JobMetadataClient,
    mount_details: dict[str, Any] | None = None,  # noqa: ARG001 - part of the contract; the file client knows its mounts
    model_name: str = "CustomModel",
    **kwargs: Any,
) -> None:
    """Train an extraction model on an Annotator project.

    Args:
        hyperparams: see `ibformers.trainer.hyperparameters.Hyperparameters`; unknown ones are named in the log.
        dataset_filename: drive path of the `.ibannotator` file.
        save_path: drive folder that `evaluation.json`, `predictions.json` and `saved_model/` are written to.
        file_client: reads and writes drive files.
        username: who trains.
        job_metadata_client: told of progress and metrics; its `job_id` is written into the model package.
        mount_details: not used.
        model_name: name of the trained model.
        **kwargs: what else the environment passes; named in the log.

    Raises:
        TrainingInputError: the dataset, a document or a hyperparameter cannot be used; `user_message` says why.
    """
    _begin(kwargs)
    from ibformers.documents.annotator import read_project
    from ibformers.trainer.hyperparameters import parse_hyperparameters
    from ibformers.trainer.reporting import JobReport

    logger.info("training %s for %s on %s", model_name, username, dataset_filename)
    report = JobReport(job_metadata_client)
    hyperparameters, notes = parse_hyperparameters(hyperparams)
    for note in notes:
        logger.info("%s", note)
    project = read_project(dataset_filename, file_client)

    from ibformers.tasks.extraction.job import describe, run_extraction

    for title in ("training", "validation", "prediction"):
        logger.info("%s: %s", title, describe(getattr(project, title)))
    logger.info("%s", hyperparameters)
    job_id = str(getattr(job_metadata_client, "job_id", ""))
    run_extraction(project, hyperparameters, file_client, save_path.strip("/"), model_name, job_id, report)


def run_train_table(
    hyperparams: dict[str, Any],
    table: str,
    columns: str | Sequence[str],
    database: str,
    save_path: str,
    file_client: FileClient,
    username: str,
    job_metadata_client: JobMetadataClient,
    limit: int | None = None,
    p_of_train: float | None = None,
    current_model: str = "CustomModel",
    models_path: str | None = None,
    model_name: str = "CustomModel",
    group_column: str | None = None,
    split_column: str | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """Train a copy of a text classifier on the rows of a database table, and measure it beside the one in use.

    Args:
        hyperparams: settings of the model (`base_model`, `num_labels`, ...) and arguments of
            `transformers.TrainingArguments`, each by its own name.
        table: the table or view, with its schema if need be.
        columns: first the label, second the text.
        database: URL of SQLAlchemy. It may hold a password, and is not logged.
        save_path: drive folder that `evaluation.json`, `predictions.json`, `inputs.json` and `saved_model/` are
            written to.
        file_client: writes drive files.
        username: who trains.
        job_metadata_client: told of progress and metrics; its `job_id` is written into the model package.
        limit: most rows that are read; None is all.
        p_of_train: the share of the rows that is learned from; None is the default.
        current_model: the model that is compared with, unless `hyperparams` has another `model_name`.
        models_path: local folder of the environment's models in use; None where there is none.
        model_name: name of the packaged model.
        group_column: the column that decides on which side a row is, in place of its text; None is no such column.
        split_column: the column that has the side of each row, `train` or `test`; None is no such column.
        **kwargs: what else the environment passes; named in the log.

    Returns:
        The metrics of both models, and how many rows there were.

    Raises:
        TrainingInputError: the request or a hyperparameter cannot be used, or the database; `user_message` says why.
    """
    _begin(kwargs)
    from ibformers.databases.rows import DatabaseRows
    from ibformers.service.job import run_table, split_hyperparameters
    from ibformers.trainer.reporting import JobReport

    logger.info("training %s for %s on table %s", current_model, username, table)
    settings, arguments = split_hyperparameters(hyperparams, current_model)
    asked = {
        "table": table,
        "columns": columns,
        "limit": limit,
        "p_of_train": p_of_train,
        "group_column": group_column,
        "split_column": split_column,
    }
    answer = run_table(
        settings,
        arguments | {name: value for name, value in asked.items() if value is not None},
        DatabaseRows(database),
        Path(models_path) if models_path else None,
        file_client,
        save_path.strip("/"),
        model_name,
        JobReport(job_metadata_client),
        str(getattr(job_metadata_client, "job_id", "")),
    )
    return answer.model_dump(mode="json", exclude={"predictions", "version", "waiting", "message"})


def run_promote_table(
    save_path: str,
    file_client: FileClient,
    models_path: str,
    model_name: str = "CustomModel",
    *,
    force: bool = False,
    **kwargs: Any,
) -> dict[str, Any]:
    """Let the model that `run_train_table` wrote take the place of the one in use, which is kept for a rollback.

    Args:
        save_path: that of the training.
        file_client: reads drive files.
        models_path: local folder of the environment's models in use.
        model_name: name of the packaged model.
        force: promote the model also where it is certainly worse than the one in use.
        **kwargs: what else the environment passes.

    Returns:
        The versions in use now and before, and what the training knows of the difference.

    Raises:
        TrainingInputError: another model is in use by now than the one that the new one was compared with, or the
            new one is certainly worse.
    """
    _begin({name: value for name, value in kwargs.items() if name not in {"username", "job_metadata_client"}})
    from ibformers.service.job import promote

    return promote(file_client, save_path.strip("/"), model_name, Path(models_path), force=force)


def run_tuning(
    settings: dict[str, Any],
    request: dict[str, Any],
    database: str,
    models_path: str,
    job_metadata_client: JobMetadataClient,
    **kwargs: Any,
) -> dict[str, Any]:
    """Answer a train request: the new model waits beside the one in use.

    Args:
        settings: of the model, without `path`.
        request: see `ibformers.tuning.TrainRequest`.
        database: URL of SQLAlchemy. It may hold a password, and is not logged.
        models_path: local folder of the environment's models.
        job_metadata_client: told of progress.
        **kwargs: what else the environment passes.

    Returns:
        See `ibformers.tuning.TrainAnswer`.

    Raises:
        TrainingInputError: the request or a setting cannot be used, or the database; `user_message` says why.
    """
    _begin({name: value for name, value in kwargs.items() if name not in {"username", "file_client"}})
    from ibformers.databases.rows import DatabaseRows
    from ibformers.service.operations import Tuning, settings_with_path
    from ibformers.trainer.reporting import JobReport

    tuning = Tuning(settings_with_path(Path(models_path), settings), DatabaseRows(database))
    report = JobReport(job_metadata_client)
    answer = tuning.train(request, report=report)
    report.update(progress=1.0)
    return answer.model_dump(mode="json", exclude={"predictions"})


def tuning_service(models_path: str) -> TuningService:
    """Return what answers override, rollback, predict and models requests; see `ibformers.service.service`.

    Args:
        models_path: local folder of the environment's models.
    """
    let_waiting_threads_sleep()
    from ibformers.service.service import TuningService

    return TuningService(models_path)


def _begin(ignored: dict[str, Any]) -> None:
    _log_to_stdout()
    let_waiting_threads_sleep()
    for name in sorted(ignored):
        logger.info("ignored argument: %s", name)


def _log_to_stdout() -> None:
    """A job's log is what it prints; where somebody has set up logging already, nothing is added."""
    package = logging.getLogger("ibformers")
    package.setLevel(logging.INFO)
    if not package.hasHandlers():
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
        package.addHandler(handler)
