"""The decorator `trainer`: calls a trainer as environments do (Instabase protocol, "Code of your own")."""

from __future__ import annotations

import inspect
import logging
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from ibformers.errors import TrainingInputError
from ibformers.sdk.files import MODEL, as_served, fetch, load_model, read_baseline, read_keys, save_model, write_all
from ibformers.sdk.job import SEEDS, Job, checked_config
from ibformers.sdk.places import place, place_in_traceback, reason
from ibformers.sdk.result import Result, checked_metrics, checked_rows
from ibformers.sdk.statistics import MACRO, WEIGHTED, intervals
from ibformers.sdk.values import as_text, fingerprint
from ibformers.trainer.job_log import log_to_stdout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ibformers.platform import FileClient, JobMetadataClient
    from ibformers.sdk.job import Baseline
    from ibformers.sdk.result import Row

MAX_PREDICTIONS = 1000
"""Predictions that are written and compared, at most."""

logger = logging.getLogger(__name__)


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
        self._code = code.co_filename, code.co_firstlineno

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
        """Train, write metrics, predictions and the model below `save_path`, and return what `evaluation.json` has.

        Raises:
            TrainingInputError: The config, the data or the result is wrong; the message has file and line.
        """
        log_to_stdout()
        with tempfile.TemporaryDirectory(prefix="ibformers-", dir=_scratch()) as scratch:
            given, folder = dict(hyperparams or {}), Path(scratch)
            seed, split_seed = (value if isinstance(value := given.get(name), int) else None for name in SEEDS)
            job = Job(
                checked_config(given, self._config, place(self.module, *self._code)),
                [fetch(one, folder / "data", file_client) for one in data],
                seed=42 if seed is None else seed,
                split_seed=split_seed,
                baseline=read_baseline(models_path, current_model),
                client=job_metadata_client,
            )
            job.report("Model training in progress.")
            result = self._train(job, folder)
            where = place(self.module, *result.origin)
            metrics, rows = checked_metrics(result.metrics, where), checked_rows(result, where)
            package = folder / "package"
            save_model(result.model, package / MODEL, self.module, where)
            rows = as_served(rows, self.module, package / MODEL)
            facts = self._facts(job, metrics, rows)
            job.report("Writing prediction results.", **facts)
            facts["model_name"] = current_model
            job_id = str(getattr(job_metadata_client, "job_id", ""))
            keys = sorted(set(job.train_keys)) if _tests_on_split(job, rows) else []
            written = rows[:MAX_PREDICTIONS]
            write_all(file_client, save_path.strip("/"), model_name, job_id, facts, written, package, self.module, keys)
            job.report("Model training has ended.", progress=1.0)
        return facts

    def _train(self, job: Job, folder: Path) -> Result:
        where = place(self.module, *self._code)
        try:
            result = self.function(job)
        except TrainingInputError as error:
            where = place_in_traceback(self.module, error.__traceback__, where)
            raise TrainingInputError(f"{where}: {str(error).replace(f'{folder}/', '')}") from None
        if isinstance(result, Result):
            return result
        found = "nothing" if result is None else f"a {type(result).__name__}"
        raise TrainingInputError(f"{where}: the trainer returned {found}: return a `Result`, which has metrics.")

    def _facts(self, job: Job, metrics: dict[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
        judged = [row for row in rows if row.expected is not None and not row.is_number]
        pairs = [(row.expected or "", row.predicted) for row in judged]
        is_split, current = _tests_on_split(job, rows), job.baseline
        keys = job.test_keys if is_split else [row.key for row in rows]
        labels = {name for fields in metrics.values() if isinstance(fields, dict) for name in fields}
        present = {MACRO, WEIGHTED, "all", *(expected for expected, _ in pairs)}
        test_part = {
            "unit": "rows",
            "count": len(rows),
            "fingerprint": fingerprint(keys),
            "seed": job.split_seed if is_split else None,
            "split": "hash" if is_split else "the trainer",
            "labels_without_test_rows": sorted(labels - present) if pairs else [],
        }
        facts: dict[str, Any] = {
            "evaluation_results": metrics,
            "evaluation_intervals": intervals(metrics, pairs, job.seed),
            "test_part": test_part,
            "current": {"version": None, "has_learned": False, "evaluation_results": {}},
            "comparison": None,
        }
        if current is not None:
            known = {row.id: key for row, key in zip(rows, keys, strict=True)} if is_split else {}
            compared = self._compared(current, [row for row in judged if row.input is not None], known, job.seed)
            measured = compared.pop("current", current.metrics)
            facts["current"] = {"version": current.version, "has_learned": True, "evaluation_results": measured}
            facts |= compared
        return facts

    def _compared(self, current: Baseline, rows: Sequence[Row], keys: Mapping[str, int], seed: int) -> dict[str, Any]:
        """Compare the new model with the model in use; empty if that is impossible, for a reason that is logged."""
        rows, learned_keys = rows[:MAX_PREDICTIONS], read_keys(current.folder)
        try:
            from ibformers.sdk.comparison import compare_rows

            predict = load_model(self.module, current.folder)
            old = [as_text(predict(row.input)) for row in rows]
            learned = [keys[row.id] in learned_keys for row in rows] if keys and learned_keys else None
            return compare_rows(rows, old, learned, seed) if rows else {}
        except Exception as error:  # noqa: BLE001 - an older version of the trainer's own code made the model
            logger.warning("the model in use was not compared by rows: %s", reason(error, current.folder))
            return {}


def _scratch() -> Path | None:
    """Return the working directory if it is empty, as that of a job, which the environment removes; else None."""
    folder = Path.cwd()
    return folder if os.access(folder, os.W_OK) and not any(folder.iterdir()) else None


def _tests_on_split(job: Job, rows: Sequence[Row]) -> bool:
    """Return whether the predictions are those of the test rows of `Job.split`, as far as their number tells."""
    return bool(rows) and len(rows) == len(job.test_keys)


@overload
def trainer(function: Callable[[Job], Result]) -> Trainer: ...
@overload
def trainer(*, config: Any) -> Callable[[Callable[[Job], Result]], Trainer]: ...
def trainer(function: Callable[[Job], Result] | None = None, *, config: Any = None) -> Any:
    """Turn a function that takes a `Job` and returns a `Result` into what an environment calls."""
    return Trainer(function, config) if function is not None else partial(Trainer, config=config)
