"""Entry points that an environment calls (Instabase protocol, "Training jobs"). They import what they need."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibformers.trainer.job_log import log_to_stdout
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
        save_path: drive folder for `evaluation.json`, `predictions.json` and `saved_model/`.
        file_client: client of drive files.
        username: user who started the training.
        job_metadata_client: receiver of progress and metrics; its `job_id` is written into the model package.
        mount_details: not used.
        model_name: name of the trained model.
        **kwargs: further arguments of the environment; they are logged and ignored.

    Raises:
        TrainingInputError: The dataset, a document or a hyperparameter is unusable; `user_message` says why.
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
    """Train a candidate on the rows of a database table, and compare it with the model in use.

    Args:
        hyperparams: settings of the model (`base_model`, `num_labels`, ...) and arguments of
            `transformers.TrainingArguments`, by their names.
        table: table or view, with its schema if necessary.
        columns: label column and text column.
        database: SQLAlchemy URL. It may contain a password, and is not logged.
        save_path: drive folder for `evaluation.json`, `predictions.json`, `inputs.json` and `saved_model/`.
        file_client: client of drive files.
        username: user who started the training.
        job_metadata_client: receiver of progress and metrics; its `job_id` is written into the model package.
        limit: maximum number of rows; None reads all.
        p_of_train: fraction of the rows to train on; None is the default.
        current_model: model in use to compare with, unless `hyperparams` has another `model_name`.
        models_path: local folder of the environment's models in use; None if there are none.
        model_name: name of the packaged model.
        group_column: column that is hashed for the split in place of the text; None hashes the text.
        split_column: column with the side of each row, `train` or `test`; None splits by hash.
        **kwargs: further arguments of the environment; they are logged and ignored.

    Returns:
        Metrics of both models, and the numbers of rows.

    Raises:
        TrainingInputError: The request, a hyperparameter or the database is unusable; `user_message` says why.
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
    """Promote the candidate of `run_train_table`; the model in use becomes the previous one, for a rollback.

    Args:
        save_path: `save_path` of the training.
        file_client: client of drive files.
        models_path: local folder of the environment's models in use.
        model_name: name of the packaged model.
        force: promote the candidate even if it is certainly worse than the model in use.
        **kwargs: further arguments of the environment; they are ignored.

    Returns:
        The versions in use now and before, and the difference between them.

    Raises:
        TrainingInputError: The model in use has changed since the comparison, or the candidate is certainly worse.
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
    """Answer a train request: train a candidate and stage it beside the model in use.

    Args:
        settings: settings of the model, without `path`.
        request: see `ibformers.tuning.TrainRequest`.
        database: SQLAlchemy URL. It may contain a password, and is not logged.
        models_path: local folder of the environment's models.
        job_metadata_client: receiver of progress.
        **kwargs: further arguments of the environment; they are ignored.

    Returns:
        See `ibformers.tuning.TrainAnswer`.

    Raises:
        TrainingInputError: The request, a setting or the database is unusable; `user_message` says why.
    """
    _begin({name: value for name, value in kwargs.items() if name not in {"username", "file_client", "model_name"}})
    from ibformers.databases.rows import DatabaseRows
    from ibformers.service.operations import Tuning, settings_with_path
    from ibformers.trainer.reporting import JobReport

    tuning = Tuning(settings_with_path(Path(models_path), settings), DatabaseRows(database))
    report = JobReport(job_metadata_client)
    answer = tuning.train(request, report=report)
    report.update(progress=1.0)
    return answer.model_dump(mode="json", exclude={"predictions"})


def tuning_service(models_path: str) -> TuningService:
    """Return the service that answers override, rollback, predict and models requests.

    Args:
        models_path: local folder of the environment's models.
    """
    let_waiting_threads_sleep()
    from ibformers.service.service import TuningService

    return TuningService(models_path)


def _begin(ignored: dict[str, Any]) -> None:
    log_to_stdout()
    let_waiting_threads_sleep()
    for name in sorted(ignored):
        logger.info("ignored argument: %s", name)
