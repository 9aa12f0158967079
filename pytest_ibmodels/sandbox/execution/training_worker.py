"""Process of a training job: call the pushed function and send its reports to the server."""

import importlib
import inspect
import json
import os
import resource
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_ibmodels.sandbox.execution.channel import Channel, send_json
from pytest_ibmodels.sandbox.execution.child import (
    as_json,
    bootstrap_child,
    describe,
    end_with_lease,
    isolate_imports,
    load_function,
    plain_text,
)
from pytest_ibmodels.sandbox.execution.lease import Lease
from pytest_ibmodels.sandbox.execution.sdk_stubs import USERNAME, FileClient
from pytest_ibmodels.sandbox.execution.secrets import Secrets
from pytest_ibmodels.sandbox.storage.drive import Drive

_NICENESS = 5
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class TrainingJob:
    """A training job.

    Attributes:
        function: Dotted path of the function to call.
        packages: Folders on this machine, each the code of one top-level module.
        log: File for its output.
        scratch: Its working directory, created if it is missing.
        max_unzipped: Limit of an unpacked zip, in bytes.
        models: Folder of the models in use.
        threads: Threads of torch; None leaves them to the code.
        secrets: Passwords in ``arguments``, redacted in the log, in errors, and in URLs that the job reports.
        variables: Environment variables to set.
        lease: File of the machine's lease on the job; None if there is none.
    """

    job_id: str
    function: str
    packages: tuple[Path, ...]
    arguments: dict[str, Any]
    drive: Drive
    log: Path
    scratch: Path
    max_unzipped: int
    models: Path | None = None
    threads: int | None = None
    secrets: Secrets = field(default_factory=Secrets, repr=False)
    variables: dict[str, str] = field(default_factory=dict)
    lease: Path | None = None


class JobMetadataClient:
    """Reports of training code (Instabase protocol, "Job metadata"). Thread-safe."""

    def __init__(self, job_id: str, channel: Channel, secrets: Secrets | None = None) -> None:
        self.job_id = job_id
        self._channel = channel
        self._secrets = secrets or Secrets()
        self._sending = threading.Lock()

    def update_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Replace the job's ``task_data``; NaN becomes the text "NAN".

        Raises:
            TypeError: ``metadata`` is not a mapping with text keys, or a value in it is not JSON.
        """
        if not isinstance(metadata, Mapping):
            msg = f"update_metadata: expected a mapping, got a {type(metadata).__name__}"
            raise TypeError(msg)
        self.send({"metadata": self._secrets.redact_urls(as_json(metadata, "metadata"))})

    def update_message(self, message: str) -> None:
        """Replace the job's message."""
        self.send({"message": self._secrets.redact_urls(plain_text(str(message)))})

    def send(self, message: dict[str, Any]) -> None:
        """Send a message to the server unchanged."""
        with self._sending:
            send_json(self._channel, message)


def run_training(channel: Channel, parent_pipe: Channel, job: TrainingJob) -> None:
    """Run the job in this process.

    The last message is ``{"result": ...}``, ``{"failure": ...}`` of the pushed code, or ``{"fault": ...}``, the reason
    in one sentence why the job could not be started.
    """
    try:
        threads = {} if job.threads is None else {"OMP_NUM_THREADS": str(job.threads)}
        variables = {**threads, **job.variables}
        bootstrap_child(parent_pipe, log=job.log, folder=job.scratch, variables=variables, secrets=job.secrets)
        lease = None if job.lease is None else Lease(job.lease)
    except OSError as error:
        send_json(channel, {"fault": plain_text(str(error)), "peak_memory": 0})
        return
    # The server and its models must answer at once, while a training takes minutes.
    os.nice(_NICENESS)
    client = JobMetadataClient(job.job_id, channel, job.secrets)
    outcome: dict[str, Any]
    try:
        if lease is not None:
            end_with_lease(lease)
        outcome = {"result": job.secrets.redact_urls(_json_or_null(_call_function(job, client, lease)))}
    except BaseException as error:  # noqa: BLE001 - pushed code may raise anything, SystemExit too
        failure = describe(error)
        sys.stderr.write(failure["strace"] or f"{failure['error']}\n")
        outcome = {"failure": {key: job.secrets.redact_text(text) for key, text in failure.items()}}
    outcome["peak_memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_UNIT
    sys.stdout.flush()
    sys.stderr.flush()
    client.send(outcome)


def _call_function(job: TrainingJob, client: JobMetadataClient, lease: Lease | None) -> Any:
    names = [package.name for package in job.packages]
    isolate_imports([package.parent for package in job.packages], names)
    # The variable has no effect on a torch that is imported already.
    if job.threads is not None and "torch" in sys.modules:
        importlib.import_module("torch").set_num_threads(job.threads)
    function = load_function(job.function)
    supplied = {
        "file_client": FileClient(job.drive, USERNAME, job.max_unzipped, lease),
        "username": USERNAME,
        "job_metadata_client": client,
    }
    if job.models is not None and "models_path" in inspect.signature(function).parameters:
        job.models.mkdir(exist_ok=True)
        supplied["models_path"] = str(job.models)
    return function(**{**supplied, **job.arguments})


def _json_or_null(value: Any) -> Any:
    """``value`` as JSON, or None if it is not JSON: the result of a training function is optional."""
    try:
        plain = as_json(value, "the result")
        json.dumps(plain)
    except (TypeError, ValueError) as error:
        sys.stderr.write(f"the function's return value is dropped: {error}\n")
        return None
    return plain
