"""The decorator `trainer`: calls a trainer as environments do (Instabase protocol, "Code of your own")."""

from __future__ import annotations

import inspect
import json
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ibformers.errors import TrainingInputError
from ibformers.registry.model_package import write_model_package
from ibformers.registry.store import TRAINING_RECORD, ModelStore
from ibformers.sdk.job import SEEDS, Baseline, Job, checked_config
from ibformers.sdk.places import module_path, place, place_in_traceback, reason
from ibformers.sdk.result import Result, Row, checked_metrics, checked_rows
from ibformers.sdk.statistics import comparison, intervals
from ibformers.sdk.values import as_text, fingerprint, row_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ibformers.platform import FileClient, JobMetadataClient

FIELD = "prediction"
"""Field of each document in `predictions.json`."""
TRAINER = "trainer.json"
"""File beside the model's own folder, which names the module that loads it."""
MODEL = "model"
MAX_PREDICTIONS = 1000
"""Predictions that are written and compared, at most."""


class Trainer:
    """Function that trains, as environments call it.

    Args:
        function: takes a job and returns a result.
        config: dataclass or pydantic model of its config; None for a dict.
    """

    def __init__(self, function: Callable[[Job], Result], config: Any = None) -> None:
        self.function = function
        self.module = function.__module__
        self.__doc__ = function.__doc__
        self._config = config
        code = inspect.unwrap(function).__code__
        self._place = place(self.module, code.co_filename, code.co_firstlineno)

    def __call__(
        self,
        *,
        save_path: str,
        file_client: FileClient,
        job_metadata_client: JobMetadataClient | None = None,
        hyperparams: Mapping[str, Any] | None = None,
        data: Sequence[Mapping[str, Any]] = (),
        model_name: str = "CustomModel",
        current_model: str = "CustomModel",
        models_path: str | None = None,
        **_further: Any,
    ) -> dict[str, Any]:
        """Train, and write metrics, predictions and the model below `save_path`; return what is in `evaluation.json`.

        Raises:
            TrainingInputError: The config, the data or the result is wrong; the message has file and line.
        """
        with tempfile.TemporaryDirectory(prefix="ibformers-") as scratch:
            folder = Path(scratch)
            given = dict(hyperparams or {})
            seed, split_seed = (given.get(name) for name in SEEDS)
            job = Job(
                checked_config(given, self._config, self._place),
                [_fetched(one, folder / "data", file_client) for one in data],
                seed=seed if isinstance(seed, int) else 42,
                split_seed=split_seed if isinstance(split_seed, int) else None,
                baseline=_baseline(models_path, current_model),
                client=job_metadata_client,
            )
            job.report("Model training in progress.")
            result = self._result(job, folder)
            where = place(self.module, *result.origin)
            metrics, rows = checked_metrics(result.metrics, where), checked_rows(result, where)
            self._save(result, folder / "package" / MODEL, where, folder)
            facts = {"model_name": current_model, **self._facts(job, metrics, rows)}
            job.report(
                "Uploading model.", **{name: facts[name] for name in facts if name not in {"model_name", "keys"}}
            )
            job_id = str(getattr(job_metadata_client, "job_id", ""))
            _write(file_client, save_path.strip("/"), model_name, job_id, facts, rows, folder / "package", self.module)
            job.report("Model training has ended.", progress=1.0)
        return facts

    def load(self, folder: Path) -> Callable[[Any], Any]:
        """Load the model in a folder with the `load` of the trainer's module. Raises: TrainingInputError."""
        return load_model(self.module, folder)

    def _result(self, job: Job, folder: Path) -> Result:
        try:
            result = self.function(job)
        except TrainingInputError as error:
            where = place_in_traceback(self.module, error.__traceback__, self._place)
            raise TrainingInputError(f"{where}: {str(error).replace(f'{folder}/', '')}") from None
        if not isinstance(result, Result):
            found = f"a {type(result).__name__}" if result is not None else "nothing"
            raise TrainingInputError(f"{self._place}: the trainer returned {found}: return a `Result` with metrics.")
        return result

    def _save(self, result: Result, folder: Path, where: str, scratch: Path) -> None:
        """Save the model of a result. Raises: TrainingInputError."""
        model = result.model
        folder.mkdir(parents=True)
        try:
            if isinstance(model, str | Path):
                _copy(Path(model), folder)
            elif inspect.isroutine(model) or isinstance(model, partial):
                model(folder)
            elif model is not None:
                import joblib

                joblib.dump(model, folder / "model.joblib")
        except Exception as error:  # noqa: BLE001 - the trainer's own code, or that of its library
            where = place_in_traceback(self.module, error.__traceback__, where)
            advice = "give `model` an object that joblib saves, a folder, or a function that saves into a folder"
            raise TrainingInputError(
                f"{where}: the model cannot be saved: {reason(error, folder, scratch)}; {advice}."
            ) from None

    def _facts(self, job: Job, metrics: dict[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
        keys = [row_key(row.id if row.input is None else row.input) for row in rows]
        judged = [row for row in rows if row.expected is not None and not row.is_number]
        pairs = [(row.expected or "", row.predicted) for row in judged]
        labels = {str(name) for fields in metrics.values() if isinstance(fields, dict) for name in fields}
        present = {label for pair in pairs for label in pair} | {"macro avg", "weighted avg", "all"}
        current = job.baseline
        return {
            "evaluation_results": metrics,
            "evaluation_intervals": intervals(metrics, pairs, job.seed),
            "test_part": {
                "unit": "rows",
                "count": len(rows),
                "fingerprint": fingerprint(keys),
                "seed": job.split_seed if job.learned_keys else None,
                "split": "hash of the row" if job.learned_keys else "the trainer",
                "on_both_sides": len(set(keys) & set(job.learned_keys)) if job.learned_keys else None,
                "labels_without_test_rows": sorted(labels - present) if pairs else [],
            },
            "current": {
                "version": current.version if current else None,
                "has_learned": current is not None,
                "evaluation_results": current.metrics if current else {},
            },
            "comparison": self._comparison(job, judged[:MAX_PREDICTIONS]) if current and judged else None,
            "keys": job.learned_keys,
        }

    def _comparison(self, job: Job, rows: Sequence[Row]) -> dict[str, Any] | None:
        assert job.baseline is not None
        learned = set(_record(job.baseline.folder).get("keys", []))
        new = [row for row in rows if row.input is not None and row_key(row.input) not in learned]
        try:
            predict = self.load(job.baseline.folder)
            old = [as_text(predict(row.input)) for row in new]
        except Exception as error:  # noqa: BLE001 - of an older version of the trainer's own code
            print(f"the model in use was not compared: {reason(error, job.baseline.folder)}")
            return None
        found = [(row.expected or "", row.predicted, before) for row, before in zip(new, old, strict=True)]
        return comparison(found, [str(row.input) for row in new], len(rows) - len(new) if learned else None, job.seed)


@overload
def trainer(function: Callable[[Job], Result]) -> Trainer: ...
@overload
def trainer(*, config: Any) -> Callable[[Callable[[Job], Result]], Trainer]: ...
def trainer(function: Callable[[Job], Result] | None = None, *, config: Any = None) -> Any:
    """Turn a function that takes a `Job` and returns a `Result` into what an environment calls."""
    return Trainer(function, config) if function is not None else partial(Trainer, config=config)


def load_model(module: str, folder: Path) -> Callable[[Any], Any]:
    """Call `load` of a trainer's module, and return the function that predicts.

    Raises:
        TrainingInputError: The module has no `load`, or it raises, or returns no function.
    """
    load = getattr(sys.modules[module], "load", None)
    file = getattr(sys.modules[module], "__file__", None) or module
    if not callable(load):
        advice = "add one that returns a function of an input, or set `inference: false` in the model test"
        raise TrainingInputError(
            f"{place(module, file, 1)}: there is no `load(folder)`, so the model is not served: {advice}."
        )
    where = place(module, file, getattr(getattr(load, "__code__", None), "co_firstlineno", 1))
    try:
        predict = load(folder)
    except Exception as error:  # noqa: BLE001 - the trainer's own code
        where = place_in_traceback(module, error.__traceback__, where)
        raise TrainingInputError(f"{where}: load() raised {reason(error, folder)}.") from None
    if not callable(predict):
        raise TrainingInputError(f"{where}: load() returned a {type(predict).__name__}: return a function of an input.")
    return predict


def _fetched(data: Mapping[str, Any], folder: Path, files: FileClient) -> Path:
    """Copy data of the environment into a local folder, and return its path there."""
    top = folder / str(data["path"]).rstrip("/").rpartition("/")[2]
    for name in ("",) if data.get("files") is None else data["files"]:
        target = top / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(files.read_file(f"{data['path']}/{name}".rstrip("/")))
    return top


def _copy(model: Path, folder: Path) -> None:
    if model.is_dir():
        shutil.copytree(model, folder, dirs_exist_ok=True)
    else:
        shutil.copy(model, folder)


def _record(folder: Path) -> dict[str, Any]:
    """Return what the training of a stored model recorded beside its folder; empty for a model of another kind."""
    file = folder.parent / TRAINING_RECORD
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found if "keys" in found else {}


def _baseline(models_path: str | None, name: str) -> Baseline | None:
    version = ModelStore(Path(models_path), name).in_use() if models_path else None
    record = _record(version.folder) if version is not None else {}
    return Baseline(version.name, record["evaluation_results"], version.folder) if version and record else None


def _write(
    files: FileClient,
    save_path: str,
    model_name: str,
    job_id: str,
    facts: dict[str, Any],
    rows: Sequence[Row],
    package: Path,
    module: str,
) -> None:
    written = rows[:MAX_PREDICTIONS]
    is_text = all(isinstance(row.input, str) for row in written if row.input is not None)
    given = {row.id: row.input for row in written if row.input is not None}
    predictions = {
        row.id: {
            FIELD: {
                "text": row.predicted,
                "avg_confidence": row.score,
                "gold_text": row.expected,
                "is_match": None if row.expected is None or row.is_number else row.predicted == row.expected,
            }
        }
        for row in written
    }
    (package / TRAINER).write_text(json.dumps({"module": module, "inputs": "text" if is_text else "json"}))
    facts["files"] = sorted(one.relative_to(package).as_posix() for one in package.rglob("*") if one.is_file())
    inputs = {name: value if is_text else json.dumps(value) for name, value in given.items()}
    for name, value in (("evaluation", facts), ("predictions", predictions), ("inputs", inputs)):
        files.write_file(f"{save_path}/{name}.json", json.dumps(value).encode())
    own = module_path(module)
    libraries = () if own.name == "ibformers" else (own,)
    write_model_package(
        files,
        f"{save_path}/saved_model",
        model_name,
        package,
        job_id,
        served="ibformers.sdk.served.ServedTrainer",
        result_type="raw_data",
        libraries=libraries,
    )
