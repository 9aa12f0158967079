"""Files of a training: data that is fetched, the model that is saved and loaded, and what the protocol asks for."""

from __future__ import annotations

import inspect
import json
import math
import shutil
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibformers.errors import TrainingInputError
from ibformers.registry.model_package import write_model_package
from ibformers.registry.store import TRAINING_RECORD, ModelStore
from ibformers.sdk.job import Baseline
from ibformers.sdk.places import module_path, place, place_in_traceback, reason
from ibformers.sdk.values import as_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ibformers.platform import FileClient
    from ibformers.sdk.result import Row

MODEL = "model"
"""Folder of the saved model, in the data of the model package."""
TRAINER = "trainer.json"
"""File beside it: the module that loads the model, the form of inputs, and the keys of the rows that it learned."""
FIELD = "prediction"
"""Field of each document in `predictions.json`."""


def fetch(data: Mapping[str, Any], folder: Path, files: FileClient) -> Path:
    """Copy data of the environment into a local folder, and return its path there."""
    top = folder / str(data["path"]).rstrip("/").rpartition("/")[2]
    for name in ("",) if data.get("files") is None else data["files"]:
        target = top / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(files.read_file(f"{data['path']}/{name}".rstrip("/")))
    return top


def save_model(model: Any, folder: Path, module: str, where: str) -> None:
    """Save a model into a folder.

    Args:
        model: folder or file to copy, function that saves into a folder, or object to save with joblib; may be None.
        folder: folder to create.
        module: name of the trainer's module.
        where: place of the result, for messages.

    Raises:
        TrainingInputError: The model cannot be saved.
    """
    folder.mkdir(parents=True)
    try:
        if isinstance(model, str | Path):
            shutil.copytree(model, folder, dirs_exist_ok=True) if Path(model).is_dir() else shutil.copy(model, folder)
        elif inspect.isroutine(model) or isinstance(model, partial):
            model(folder)
        elif model is not None:
            import joblib

            joblib.dump(model, folder / "model.joblib")
    except Exception as error:  # noqa: BLE001 - the trainer's own code, or that of its library
        where = place_in_traceback(module, error.__traceback__, where)
        advice = "give `model` an object that joblib saves, a folder, or a function that saves into a folder"
        told = reason(error, folder, folder.parents[1])
        raise TrainingInputError(f"{where}: the model cannot be saved: {told}: {advice}.") from None


def load_model(module: str, folder: Path) -> Callable[[Any], Any]:
    """Call `load` of a trainer's module, and return the function that predicts.

    Raises:
        TrainingInputError: The module has no `load`, or it raises, or returns no function.
    """
    load = getattr(sys.modules[module], "load", None)
    file = getattr(sys.modules[module], "__file__", None) or module
    where = place(module, file, getattr(getattr(load, "__code__", None), "co_firstlineno", 1))
    if not callable(load):
        advice = "add one that returns a function of an input, or set `inference: false` in the model test"
        raise TrainingInputError(f"{where}: there is no `load(folder)`, so the model cannot be served: {advice}.")
    try:
        predict: Any = load(folder)
    except Exception as error:  # noqa: BLE001 - the trainer's own code
        where = place_in_traceback(module, error.__traceback__, where)
        raise TrainingInputError(f"{where}: load() raised {reason(error, folder)}.") from None
    if not callable(predict):
        raise TrainingInputError(f"{where}: load() returned a {type(predict).__name__}: return a function of an input.")
    return predict  # type: ignore[no-any-return]


def as_served(rows: list[Row], module: str, folder: Path) -> list[Row]:
    """Take numbers from the loaded model where they are almost equal: their last digits differ from call to call."""
    if not hasattr(sys.modules[module], "load") or not any(row.is_number and row.input is not None for row in rows):
        return rows
    try:
        predict = load_model(module, folder)
        texts = [as_text(predict(row.input)) if row.is_number and row.input is not None else "" for row in rows]
        served = [float(text) if text else math.nan for text in texts]
    except Exception:  # noqa: BLE001 - inference reports what is wrong with the trainer's own code
        return rows
    return [
        replace(row, predicted=text) if row.is_number and _is_close(number, float(row.predicted)) else row
        for row, text, number in zip(rows, texts, served, strict=True)
    ]


def _is_close(served: float, predicted: float) -> bool:
    return math.isclose(served, predicted, rel_tol=1e-4, abs_tol=1e-6)


def read_baseline(models_path: str | None, name: str) -> Baseline | None:
    """Return the model in use of this name; None if there is none, or if no trainer made it."""
    version = ModelStore(Path(models_path), name).in_use() if models_path else None
    if version is None or not (version.folder / TRAINER).is_file():
        return None
    record = json.loads((version.folder.parent / TRAINING_RECORD).read_text(encoding="utf-8"))
    return Baseline(version.name, record["evaluation_results"], version.folder / MODEL)


def read_keys(model: Path) -> set[int]:
    """Return the keys of the rows that a stored model has learned; empty if they are unknown."""
    return set(json.loads((model.parent / TRAINER).read_text(encoding="utf-8"))["keys"])


def write_all(
    files: FileClient,
    save_path: str,
    model_name: str,
    job_id: str,
    facts: dict[str, Any],
    rows: Sequence[Row],
    package: Path,
    module: str,
    keys: Sequence[int],
) -> None:
    """Write `evaluation.json`, `predictions.json`, `inputs.json` and `saved_model/` below `save_path`."""
    inputs = {row.id: row.input for row in rows if row.input is not None}
    is_text = all(isinstance(value, str) for value in inputs.values())
    described = {"module": module, "inputs": "text" if is_text else "json", "keys": list(keys)}
    (package / TRAINER).write_text(json.dumps(described), encoding="utf-8")
    facts["files"] = sorted(one.relative_to(package).as_posix() for one in package.rglob("*") if one.is_file())
    values = {
        "evaluation": facts,
        "predictions": {row.id: {FIELD: row.prediction} for row in rows},
        "inputs": inputs if is_text else {name: json.dumps(value) for name, value in inputs.items()},
    }
    for name, value in values.items():
        files.write_file(f"{save_path}/{name}.json", json.dumps(value).encode())
    own = module_path(module)
    write_model_package(
        files,
        f"{save_path}/saved_model",
        model_name,
        package,
        job_id,
        served="ibformers.sdk.served.ServedTrainer",
        result_type="raw_data",
        libraries=[own] if own.name != "ibformers" else [],
    )
