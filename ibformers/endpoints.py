"""The functions that an environment calls. Each checks what it is given and hands over."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from ibformers.threads import let_waiting_threads_sleep

if TYPE_CHECKING:
    from ibformers.platform import FileClient, JobMetadataClient

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
        hyperparams: see `ibformers.training.hyperparameters.Hyperparameters`; unknown ones are named in the log.
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
    _log_to_stdout()
    let_waiting_threads_sleep()
    from ibformers.documents.annotator import read_project
    from ibformers.training.hyperparameters import parse_hyperparameters
    from ibformers.training.reporting import JobReport

    logger.info("training %s for %s on %s", model_name, username, dataset_filename)
    for name in sorted(kwargs):
        logger.info("ignored argument: %s", name)
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


def _log_to_stdout() -> None:
    """A job's log is what it prints; where somebody has set up logging already, nothing is added."""
    package = logging.getLogger("ibformers")
    package.setLevel(logging.INFO)
    if not package.hasHandlers():
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
        package.addHandler(handler)
