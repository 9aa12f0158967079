"""The job of a trainer: its config, its data, and its reports to the environment."""

from __future__ import annotations

import csv
import dataclasses
import json
import logging
import math
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, get_type_hints

from ibformers.errors import TrainingInputError, did_you_mean, first_line
from ibformers.sdk.values import finite, hash_position, row_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ibformers.platform import JobMetadataClient

logger = logging.getLogger(__name__)

SEEDS = ("seed", "split_seed")
"""Keys of a config that every job understands, whatever its own config has."""

_SEND_SECONDS = 0.5
_MAX_POINTS = 1000
_TRAINING_SHARE = 0.95
"""Progress (0..1) after the last step; saving follows."""


@dataclasses.dataclass(frozen=True)
class Baseline:
    """The model in use: its version, its metrics as reported by its training, and the folder for `load`."""

    version: str
    metrics: Mapping[str, Any]
    folder: Path


class Job:
    """One training. `docs/your-own-trainer.md` describes all of its attributes."""

    def __init__(
        self,
        config: Any = None,
        data_paths: Sequence[Path] = (),
        *,
        seed: int = 42,
        split_seed: int | None = None,
        baseline: Baseline | None = None,
        client: JobMetadataClient | None = None,
    ) -> None:
        self.config: Any = {} if config is None else config
        self.data_paths = list(data_paths)
        self.seed = seed
        self.split_seed = seed if split_seed is None else split_seed
        self.baseline = baseline
        self.train_keys: list[int] = []
        self.test_keys: list[int] = []
        """Keys of the rows that train, and of those that test in their order, by the last `split`."""
        self._client = client
        self._metadata: dict[str, Any] = {"progress": 0.0}
        self._history: list[dict[str, Any]] = []
        self._sent = -math.inf

    @property
    def data_path(self) -> Path:
        """Local path of the data, if there is one file or folder."""
        if len(self.data_paths) != 1:
            many = f"{len(self.data_paths)} paths: use `job.data_paths` or `job.open(NAME)`"
            found = many if self.data_paths else "no path: add one"
            raise TrainingInputError(f"`data` of the model test names {found}.")
        return self.data_paths[0]

    @property
    def cancelled(self) -> bool:
        """Whether the environment asks the job to end. The sandbox ends its process at once instead."""
        asked = getattr(self._client, "cancelled", False)
        return bool(asked() if callable(asked) else asked)

    def path(self, name: str) -> Path:
        """Return the path of a file or folder by its name, or by its path below the folder of the data."""
        return self._find(name, Path.exists)

    def open(self, name: str, mode: str = "r", encoding: str | None = None) -> IO[Any]:
        """Open a file of the data by its name, as text in UTF-8 unless the mode is binary."""
        return self._find(name, Path.is_file).open(mode, encoding=encoding or (None if "b" in mode else "utf-8"))

    def read_table(self, name: str | None = None, delimiter: str | None = None) -> list[dict[str, Any]]:
        """Read a CSV or TSV file with a header, or JSON lines, as a list of rows; without a name the only file."""
        path = self._find(name, Path.is_file) if name else self._only_file()
        is_json = path.suffix in {".jsonl", ".ndjson"}
        with path.open(encoding="utf-8-sig", newline="") as file:
            try:
                if is_json:
                    rows = [(number, json.loads(line)) for number, line in enumerate(file, 1) if line.strip()]
                else:
                    reader = csv.DictReader(file, delimiter=delimiter or ("\t" if path.suffix == ".tsv" else ","))
                    rows = [(reader.line_num, row) for row in reader]
            except (ValueError, csv.Error) as error:
                raise TrainingInputError(f"{path.name} cannot be read as a table: {first_line(error)}.") from None
        for line, row in rows:
            if not isinstance(row, dict):
                raise TrainingInputError(f"{path.name}:{line}: this line is no JSON object.")
            if not is_json and (None in row or None in row.values()):
                raise TrainingInputError(f"{path.name}:{line}: this row has not as many cells as the header.")
        if not rows:
            raise TrainingInputError(f"{path.name} has no rows.")
        return [row for _line, row in rows]

    def split(
        self, rows: Sequence[Any], by: str | Callable[[Any], Any] | None = None, train: float = 0.8
    ) -> tuple[list[Any], list[Any]]:
        """Split rows into a training part and a test part by a hash, so that a row stays on its side.

        Args:
            rows: rows of any kind.
            by: column, or function of a row, that decides: rows with an equal value are on one side. None is the row.
            train: expected fraction of the rows that are trained on.
        """
        keys = [row_key(row, by) for row in rows]
        sides = [hash_position(key, self.split_seed) < train for key in keys]
        parts = [[row for row, one in zip(rows, sides, strict=True) if one is side] for side in (True, False)]
        if not all(parts):
            missing = "test" if parts[0] else "train"
            raise TrainingInputError(f"The split of {len(rows)} rows by {by or 'the row'} leaves none to {missing}.")
        self.train_keys = [key for key, trains in zip(keys, sides, strict=True) if trains]
        self.test_keys = [key for key, trains in zip(keys, sides, strict=True) if not trains]
        return parts[0], parts[1]

    def log(self, *, step: float | None = None, of: float | None = None, **numbers: Any) -> None:
        """Report progress and a point of the training curves: `epoch`, `loss`, `learning_rate`, metrics of your own."""
        try:
            step = float(len(self._history) + 1) if step is None else finite(step, "step")
            values = {name: finite(value, name) for name, value in numbers.items()}
        except ValueError as error:
            raise TrainingInputError(f"job.log: {error}.") from None
        known: dict[str, Any] = {
            name: values.pop(name) for name in ("epoch", "loss", "learning_rate") if name in values
        }
        point = {"step": step, **known, "metrics": {name: {"all": value} for name, value in values.items()}}
        self._history.append(point)
        if len(self._history) > _MAX_POINTS:
            del self._history[::2]
        if of:
            self._metadata["progress"] = _TRAINING_SHARE * min(1.0, step / of)
        if time.monotonic() - self._sent >= _SEND_SECONDS:
            shown = ", ".join(f"{name} {value:.4g}" for name, value in {**known, **values}.items())
            place = f"step {step:g}" + (f" of {of:g}" if of else "")
            logger.info("%s", f"{place}: {shown}" if shown else place)
            self.report()

    def report(self, message: str = "", **metadata: Any) -> None:
        """Send all metadata so far, with further ones, and a status message."""
        self._metadata.update(metadata)
        self._sent = time.monotonic()
        if self._client is not None:
            self._client.update_metadata({**self._metadata, "history": list(self._history)})
            if message:
                self._client.update_message(message)

    def _find(self, name: str, is_wanted: Callable[[Path], bool]) -> Path:
        found = [path for path in self.data_paths if path.name == name and is_wanted(path)]
        found += [path / name for path in self.data_paths if is_wanted(path / name)]
        if not found:
            known = sorted(one.relative_to(top).as_posix() for top, one in self._files())
            there = ", ".join(known[:10]) or "nothing"
            raise TrainingInputError(f"The data has no file {name}{did_you_mean(name, known)}: there is {there}.")
        return found[0]

    def _files(self) -> list[tuple[Path, Path]]:
        inside = [(top, one) for top in self.data_paths for one in top.rglob("*") if one.is_file()]
        return [(top.parent, top) for top in self.data_paths if top.is_file()] + inside

    def _only_file(self) -> Path:
        files = self._files()
        if len(files) != 1:
            names = ", ".join(sorted(one.relative_to(top).as_posix() for top, one in files)[:10]) or "none"
            raise TrainingInputError(f"The data has {len(files)} files ({names}): name one, `job.read_table(NAME)`.")
        return files[0][1]


def checked_config(given: Mapping[str, Any], config: Any, where: str) -> Any:
    """Return the config as the trainer's own class, a dataclass or a pydantic model; as a dict if it has none.

    Raises:
        TrainingInputError: A key is unknown or missing, or a value is invalid; the message names it.
    """
    if config is None:
        return dict(given)
    is_dataclass = dataclasses.is_dataclass(config)
    fields = {one.name for one in dataclasses.fields(config) if one.init} if is_dataclass else set(config.model_fields)
    given = {name: value for name, value in given.items() if name in fields or name not in SEEDS}
    for name in given:
        if name not in fields:
            keys = ", ".join(sorted(fields))
            raise TrainingInputError(f"{where}: config has no `{name}`{did_you_mean(name, fields)} (keys: {keys}).")
    try:
        return config(**_typed(given, get_type_hints(config))) if is_dataclass else config.model_validate(given)
    except (TypeError, ValueError) as error:
        details = error.errors() if hasattr(error, "errors") else []
        told = "; ".join(f"`{'.'.join(map(str, one['loc']))}`: {one['msg']}" for one in details) or first_line(error)
        raise TrainingInputError(f"{where}: config is invalid: {told}.") from None


def _typed(given: Mapping[str, Any], types: Mapping[str, Any]) -> dict[str, Any]:
    """Check values of fields that are plain numbers, texts or truth values; a whole number may be a float."""
    values = dict(given)
    for name, value in given.items():
        expected = types.get(name)
        if expected is float and type(value) is int:
            values[name] = float(value)
        elif expected in (int, float, str, bool) and type(value) is not expected:
            raise ValueError(f"`{name}` has to be of type {expected.__name__}, not {value!r}")
    return values
