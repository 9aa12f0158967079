"""Training on a table that costs nothing: the "model" knows one word for each label, and is as good as it is told."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import unquote

WORDS = {"awful": "1", "fine": "2", "superb": "3"}
_MODEL = """
import base64, json
from pathlib import Path

class IbModel:
    def __init__(self, model_data_path=None, ibsdk=None):
        self.words = json.loads((Path(model_data_path) / "words.json").read_text())

    def load(self):
        pass

    def run(self, request):
        text = json.loads(request.input_raw_data.data)[0]["text"]
        label = next((label for word, label in self.words.items() if word in text), "")
        if label == "crash":
            raise RuntimeError("the weights are broken")
        return {"raw_data": {"type": "str", "data": base64.b64encode(label.encode()).decode()}}
"""


def run_train_table(
    *,
    hyperparams: dict[str, Any],
    table: str,
    columns: list[str],
    database: str,
    save_path: str,
    file_client: Any,
    job_metadata_client: Any,
    model_name: str,
    current_model: str,
    limit: int | None = None,
    models_path: str = "",
    **further: Any,
) -> None:
    """Be as good as `f1` says, `report` more, serve other `words`, and tell, as no code should, of the database.

    With `mistakes`, label → predicted label, write the right labels beside the predicted ones.
    """
    hyperparams = {**hyperparams, **hyperparams.get("by_seed", {}).get(str(hyperparams.get("seed")), {})}
    if _is_in_proc(database.rpartition("password=")[2]):
        raise RuntimeError("the password stands in what everybody may read of this process")
    print(f"training {model_name} on {table} in {database}")
    job_metadata_client.update_message(database)
    if "raise" in hyperparams:
        sides = "".join(f" {name} {further[name]}" for name in ("group_column", "split_column") if name in further)
        raise RuntimeError(f"{hyperparams['raise']} {database}{sides}")
    file = unquote(database.removeprefix("sqlite:///").partition("?")[0])
    statement = f"SELECT {', '.join(columns)} FROM {table} LIMIT {-1 if limit is None else limit}"  # noqa: S608
    with contextlib.closing(sqlite3.connect(file)) as connection:
        rows = dict(enumerate(connection.execute(statement)))
    current = _in_use(models_path, current_model)
    results = _results(hyperparams.get("f1", 1.0))
    job_metadata_client.update_metadata(
        {
            "progress": 1.0,
            "evaluation_results": results,
            "current": {
                "version": current.get("version"),
                "has_learned": bool(current),
                "evaluation_results": _results(current.get("f1", 0.0)),
            },
            "history": [{"step": 1, "loss": 0.5, "note": database}],
            **hyperparams.get("report", {}),
        }
    )
    found = {f"row-{number}": {columns[0]: {"text": str(label)}} for number, (label, _text) in rows.items()}
    for field in (fields[columns[0]] for fields in found.values() if "mistakes" in hyperparams):
        field |= {"text": hyperparams["mistakes"].get(field["text"], field["text"]), "gold_text": field["text"]}
    inputs = {f"row-{number}": text for number, (_label, text) in rows.items()}
    words = {**WORDS, **hyperparams.get("words", {})}
    package = {
        "name": "t",
        "version": "0.0.1",
        "classpath": "table_model.model.IbModel",
        "packages": ["src/py/table_model"],
    }
    files = {
        "predictions.json": json.dumps(found),
        "inputs.json": json.dumps(inputs),
        "run.json": json.dumps(
            {"f1": hyperparams.get("f1", 1.0), "before": current, "current_model": current_model}
            | {"worse": hyperparams.get("worse", False)}
        ),
        "saved_model/package.json": json.dumps(package),
        "saved_model/src/py/table_model/__init__.py": "",
        "saved_model/src/py/table_model/model.py": _MODEL,
        "saved_model/src/py/table_model/model_data/words.json": json.dumps(words),
    }
    for name, content in files.items():
        file_client.write_file(f"{save_path}/{name}", content.encode())


def run_promote_table(
    *, save_path: str, file_client: Any, models_path: str, model_name: str, force: bool = False, **_: Any
) -> Any:
    run = json.loads(file_client.read_file(f"{save_path}/run.json"))
    if run["before"] != _in_use(models_path, run["current_model"]):
        raise RuntimeError("another model is in use by now")
    if run["worse"] and not force:
        raise RuntimeError("the new model is certainly worse")
    place = Path(models_path) / f"{run['current_model']}.json"
    place.write_text(json.dumps({"version": model_name, "f1": run["f1"]}))
    return {"message": f"{run['current_model']} is now version {model_name}."}


def _is_in_proc(secret: str) -> bool:
    files = [Path("/proc/self") / name for name in ("environ", "cmdline")]
    return any(secret.encode() in file.read_bytes() for file in files if file.exists())


def _in_use(models_path: str, name: str) -> dict[str, Any]:
    place = Path(models_path) / f"{name}.json"
    found: dict[str, Any] = json.loads(place.read_text()) if place.exists() else {}
    return found


def _results(f1: float) -> dict[str, Any]:
    return {"accuracy": f1, "f1": {"1": f1, "weighted avg": f1}, "precision": {}, "recall": {}, "support": {"1": 3}}
