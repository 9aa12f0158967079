"""Sending runs to MLflow from the process that has them: where to, for how long, and what went wrong."""

from __future__ import annotations

import base64
import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pytest_ibmodels.history.errors import HistoryError
from pytest_ibmodels.history.mlflow_process import FAILED, INCOMPLETE, STORED
from pytest_ibmodels.redaction import remember
from pytest_ibmodels.spec.databases import fill_in, passwords

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pytest_ibmodels.history.mlflow_runs import MlflowRun

AUTO, NONE = "auto", "none"
"""Values of the setting that are no URI: as the variable says, and not at all."""
VARIABLE = "MLFLOW_TRACKING_URI"
SERVER_SECONDS, LOCAL_SECONDS = 8.0, 60.0
"""Limits for all runs of a session. The first use of a local SQLite store creates its tables, which takes seconds."""
_IMPORT_SECONDS = 30.0
_REQUEST_SECONDS = 4
_SECRET = re.compile(r"MLFLOW_\w*(PASS|TOKEN|SECRET)|DATABRICKS_TOKEN|DATABRICKS_CLIENT_SECRET")
_LOCAL = re.compile(r"(file|sqlite(\+\w+)?):|[./]", re.IGNORECASE)
_MODULE = "pytest_ibmodels.history.mlflow_process"


@dataclass(frozen=True)
class Target:
    """Where runs go.

    Attributes:
        uri: tracking URI of MLflow.
        folder: folder that a path in the URI is relative to.
        experiment: name of the experiment.
    """

    uri: str
    folder: Path
    experiment: str

    @property
    def is_server(self) -> bool:
        """Whether the URI names something that has to answer: all but files of this machine."""
        return _LOCAL.match(self.uri) is None


def is_installed() -> bool:
    """Return whether MLflow is installed, without importing it."""
    found = importlib.util.find_spec("mlflow")
    return found is not None and found.origin is not None  # a folder of this name, such as that of a store, has none


def tracking_uri(setting: str, environ: Mapping[str, str]) -> str:
    """Return the tracking URI; its password and MLflow's credentials are hidden in all output from now on.

    Args:
        setting: `auto` or a URI, in which `${VARIABLE}` is filled in.
        environ: variables of the process.

    Raises:
        HistoryError: a variable of the setting is not set.
    """
    remember(*(value for name, value in environ.items() if _SECRET.match(name)))
    if setting.lower() == AUTO:
        uri = environ.get(VARIABLE, "")
    else:
        filled = fill_in(setting, environ)
        if filled.missing:
            raise HistoryError(f"ibmodels_mlflow needs the variable {filled.missing[0]}, which is not set: set it")
        uri = filled.text
    remember(*passwords(uri), *_basic(uri, environ))
    return uri


def _basic(uri: str, environ: Mapping[str, str]) -> list[str]:
    """Return the credentials as HTTP's basic authentication sends them, since servers may repeat what they refuse."""
    pairs = [f"{environ.get('MLFLOW_TRACKING_USERNAME', '')}:{environ.get('MLFLOW_TRACKING_PASSWORD', '')}"]
    at = uri.partition("://")[2].partition("/")[0].rpartition("@")[0]
    pairs += [at, unquote(at)]
    return [base64.b64encode(pair.encode()).decode() for pair in pairs if pair.partition(":")[2]]


def send(runs: Sequence[MlflowRun], target: Target, environ: Mapping[str, str]) -> str:
    """Send runs to MLflow, in a process that is ended if it takes too long.

    Returns:
        What went wrong, in one sentence; empty if every run is stored.
    """
    limit = SERVER_SECONDS if target.is_server else LOCAL_SECONDS
    request = {
        "uri": target.uri,
        "experiment": target.experiment,
        "is_server": target.is_server,
        "limit": limit,
        "runs": [asdict(run) for run in runs],
    }
    try:
        done = subprocess.run(
            # Without `-P`, a file `mlflow.py` in the folder would be imported.
            [sys.executable, "-P", "-m", _MODULE],
            input=json.dumps(request, default=str).encode(),
            capture_output=True,
            cwd=target.folder,
            env=_bounded(environ) | {VARIABLE: target.uri},
            timeout=limit + _IMPORT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return _sentence(_answers(error.stdout), len(runs), "MLflow did not end in time")
    except OSError as error:
        return _sentence([], len(runs), f"its process could not be started: {error}")
    return _sentence(_answers(done.stdout), len(runs), f"its process ended with exit code {done.returncode}")


def _bounded(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of the process: MLflow's own limits are minutes, and it reports its use to its makers."""
    return {
        **environ,
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(_REQUEST_SECONDS),
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONWARNINGS": "ignore",
    }


def _answers(printed: bytes | None) -> list[dict[str, Any]]:
    lines = (printed or b"").decode(errors="replace").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.startswith('{"outcome"') and line.endswith("}\n")]


def _sentence(answers: Sequence[Mapping[str, Any]], count: int, otherwise: str) -> str:
    """Return what went wrong.

    Args:
        answers: lines of the process.
        count: number of runs that it was given.
        otherwise: the reason if no line has one.
    """
    stored = sum(answer["outcome"] in {STORED, INCOMPLETE} for answer in answers)
    missing = next((answer["reason"] for answer in answers if answer["outcome"] == FAILED), otherwise)
    if stored == 0:
        return f"this session's runs are not stored: {missing}"
    if stored < count:
        return f"{count - stored} of this session's {count} runs are not stored: {missing}"
    parts = [answer["reason"] for answer in answers if answer["outcome"] == INCOMPLETE]
    return f"{len(parts)} of this session's {count} runs are stored in part: {parts[0]}" if parts else ""
