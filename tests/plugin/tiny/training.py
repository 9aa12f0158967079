from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tiny.model import fields_of

FIELDS = ("Name", "Total")


def train(
    *,
    hyperparams: dict[str, Any],
    dataset_filename: str,
    save_path: str,
    file_client: Any,
    job_metadata_client: Any,
    model_name: str,
    **_: Any,
) -> None:
    """Train as `hyperparams` say: `sleep` seconds, `raise` or `log` a text, report `results`, `corrupt` the model.

    The file `results_file` has results that change from run to run with the same config, and the file
    `predictions_file` has predictions of more documents.
    What stands under `by_seed` replaces that for one seed.
    What stands under `report` is reported beside the results, such as `evaluation_intervals`.
    While it sleeps it reports its progress `every` so many seconds. What it can read it writes to the file `tell`.
    """
    hyperparams = {**hyperparams, **hyperparams.get("by_seed", {}).get(str(hyperparams.get("seed")), {})}
    print(f"training {model_name} on {dataset_filename}")
    print(hyperparams.get("log", ""), end="")
    if "tell" in hyperparams:
        Path(hyperparams["tell"]).write_text(_what_can_be_read())
    _wait(float(hyperparams.get("sleep", 0)), float(hyperparams.get("every", 0.1)), job_metadata_client)
    if "raise" in hyperparams:
        raise RuntimeError(hyperparams["raise"])
    folder = dataset_filename.rpartition("/")[0]
    project = json.loads(file_client.read_file(dataset_filename))
    documents = [f"{folder}/{file['ocrPath']}" for file in project["files"]]
    predictions = {document: _predictions(file_client.read_file(document)) for document in documents}
    perfect = {metric: dict.fromkeys(FIELDS, 1.0) for metric in ("precision", "recall", "f1", "exact_match")}
    results = hyperparams.get("results", perfect)
    if "results_file" in hyperparams:
        results = json.loads(Path(hyperparams["results_file"]).read_text())
    if "predictions_file" in hyperparams:
        predictions |= json.loads(Path(hyperparams["predictions_file"]).read_text())
    facts = {"progress": 1.0, "evaluation_results": results, **_curves(results), **hyperparams.get("report", {})}
    job_metadata_client.update_metadata(facts)
    file_client.write_file(f"{save_path}/predictions.json", json.dumps(predictions).encode())
    _write_model(file_client, f"{save_path}/saved_model", str(hyperparams.get("corrupt", "")))


def _what_can_be_read() -> str:
    """Variables, command line and open files of this process, of the one it was forked from, and of the sandbox."""
    told, pid = [f"{dict(os.environ)}\n{sys.argv} {sys.orig_argv}"], os.getpid()
    for _ in range(3):
        process = Path(f"/proc/{pid}")
        told += [(process / name).read_bytes().decode(errors="replace") for name in ("environ", "cmdline")]
        told += [str(file.readlink()) for file in sorted((process / "fd").iterdir()) if file.is_symlink()]
        pid = int((process / "stat").read_text().rpartition(")")[2].split()[1])
    return "\n".join(told).replace("\0", "\n")


def _curves(results: Any) -> dict[str, Any]:
    epochs = ({"epoch": 1.0, "step": 10, "loss": 0.5}, {"epoch": 2.0, "step": 20, "loss": 0.25})
    evaluations = [{"epoch": point["epoch"], "step": point["step"], "metrics": results} for point in epochs]
    return {"history": list(epochs), "evaluations": evaluations}


def _wait(seconds: float, every: float, job_metadata_client: Any) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        job_metadata_client.update_metadata({"progress": 1 - left / seconds})
        time.sleep(min(left, every))


def _predictions(content: bytes) -> dict[str, Any]:
    text = json.loads(content)[0]["text"]
    return {name: {"text": value, "words": [], "avg_confidence": None} for name, value in fields_of(text).items()}


def _write_model(file_client: Any, folder: str, corrupt: str) -> None:
    package = {
        "name": "tiny",
        "version": "0.0.1",
        "classpath": "tiny_model.model.IbModel",
        "packages": ["src/py/tiny_model"],
    }
    code = (Path(__file__).parent / "model.py").read_text()
    file_client.write_file(f"{folder}/package.json", json.dumps(package).encode())
    file_client.write_file(f"{folder}/src/py/tiny_model/__init__.py", b"")
    file_client.write_file(f"{folder}/src/py/tiny_model/model.py", code.encode())
    file_client.write_file(f"{folder}/src/py/tiny_model/model_data/upper.json", json.dumps(corrupt).encode())
