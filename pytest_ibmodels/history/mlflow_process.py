"""Process that sends runs to MLflow: `python -m pytest_ibmodels.history.mlflow_process`.

A process of its own, since MLflow takes seconds to import, warns while it does, and may wait for a server in ways that
only the end of a process ends. It reads a request from stdin and writes a line of JSON for each run to stdout.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

STORED, INCOMPLETE, FAILED = "stored", "incomplete", "failed"
"""Outcomes of a run, in the lines on stdout; the last also of the whole request."""
_THREADS = 8
_BATCH = 1000
_PARAM_BATCH = 100
_LONGEST_REASON = 500


def main() -> None:
    """Send the runs of the request on stdin."""
    request = json.load(sys.stdin)
    answers = sys.stdout
    # MLflow prints links to its pages.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            _send(request, lambda outcome, reason="": _answer(answers.fileno(), outcome, reason))
        except ImportError as error:
            _answer(answers.fileno(), FAILED, f"{error}. Stores in databases need all of MLflow: pip install mlflow")
        except Exception as error:  # noqa: BLE001 - whatever MLflow raises is a reason to tell
            _answer(answers.fileno(), FAILED, reason_of(error))
    sys.stderr.flush()
    os._exit(0)  # threads of MLflow must not delay the end


def _answer(descriptor: int, outcome: str, reason: str) -> None:
    # The dots tell those who hide secrets that one may be cut here.
    reason = reason if len(reason) <= _LONGEST_REASON else f"{reason[: _LONGEST_REASON - 3]}..."
    # One system call, so that lines of several threads do not mix, and what was stored is known if time runs out.
    os.write(descriptor, f"{json.dumps({'outcome': outcome, 'reason': reason})}\n".encode())


def reason_of(error: Exception) -> str:
    """Return the first line of an error that has any text; of a failed connection, only the cause."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    # urllib3's words in an error of requests in one of MLflow.
    cause = line.rpartition("(Caused by ")[2]
    return f"{type(error).__name__}: {cause}" if cause else type(error).__name__


def _send(request: dict[str, Any], answer: Any) -> None:
    from mlflow import MlflowClient

    def give_up() -> None:
        answer(FAILED, f"MLflow did not take them within {request['limit']:g} seconds")
        os._exit(0)

    timer = threading.Timer(request["limit"], give_up)
    timer.daemon = True
    timer.start()
    client = MlflowClient(tracking_uri=request["uri"])
    experiment = _experiment(client, request["experiment"])

    def store(run: dict[str, Any]) -> None:
        try:
            reason = _store(client, experiment, run)
        except Exception as error:  # noqa: BLE001 - other runs may be stored
            answer(FAILED, reason_of(error))
        else:
            answer(INCOMPLETE if reason else STORED, reason)

    with ThreadPoolExecutor(_THREADS if request["is_server"] else 1) as pool:
        list(pool.map(store, request["runs"]))


def _experiment(client: Any, name: str) -> str:
    """Return the id of the experiment, created if there is none."""
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except Exception:
            found = client.get_experiment_by_name(name)  # another process may have created it
            if found is None:
                raise
    return str(found.experiment_id)


def _store(client: Any, experiment: str, run: dict[str, Any]) -> str:
    """Store a run.

    Returns:
        Why a part of it is missing; empty if it is complete.
    """
    tags = run["tags"]
    created = client.create_run(experiment, start_time=run["started"], tags=tags, run_name=run["name"])
    run_id, reason = created.info.run_id, ""
    try:
        _log(client, run_id, run)
        client.log_dict(run_id, run["record"], "run.json")
    except Exception as error:  # noqa: BLE001 - the run ends in MLflow, whatever is missing
        reason = reason_of(error)
    client.set_terminated(run_id, status=run["status"], end_time=run["finished"])
    return reason


def _log(client: Any, run_id: str, run: dict[str, Any]) -> None:
    from mlflow.entities import Metric, Param

    metrics = [Metric(key, value, run["finished"], step) for key, value, step in run["metrics"]]
    params = [Param(name, value) for name, value in run["params"].items()]
    for begin in range(0, len(metrics), _BATCH):
        client.log_batch(run_id, metrics=metrics[begin : begin + _BATCH])
    for begin in range(0, len(params), _PARAM_BATCH):
        client.log_batch(run_id, params=params[begin : begin + _PARAM_BATCH])


if __name__ == "__main__":
    main()
