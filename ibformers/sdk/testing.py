"""Check of a trainer in its author's own tests, without a sandbox: everything that an environment does with it."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ibformers.registry.model_package import module_name
from ibformers.sdk.files import FIELD, MODEL, load_model
from ibformers.sdk.served import ServedTrainer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ibformers.sdk.training import Trainer

_NAME = "Checked"


@dataclass
class Checked:
    """Reports of a trainer that passed its check.

    Attributes:
        metrics: metrics of the result.
        intervals: 95 % intervals of the metrics.
        predictions: id -> predicted text.
        history: points of the training curves.
        messages: status messages.
        served: number of predictions that the loaded model gave, too.
    """

    metrics: Mapping[str, Any] = field(default_factory=dict)
    intervals: Mapping[str, Any] = field(default_factory=dict)
    predictions: Mapping[str, str] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    messages: list[str] = field(default_factory=list)
    served: int = 0


def check_trainer(
    train: Trainer,
    data: str | Path | Sequence[str | Path] = (),
    config: Mapping[str, Any] | None = None,
    *,
    inference: bool = True,
) -> Checked:
    """Train once as an environment does, load the model, and compare its predictions with those of the training.

    Args:
        train: function with the decorator `trainer`.
        data: local file or folder, or several, as `data` of a model test.
        config: config, as that of a model test.
        inference: whether the model is served, as `inference` of a model test.

    Raises:
        TrainingInputError: The trainer's result, config or `load` is wrong; the message has file and line.
        AssertionError: The loaded model predicts something else.
    """
    paths = [Path(one).resolve() for one in ([data] if isinstance(data, str | Path) else data)]
    with tempfile.TemporaryDirectory(prefix="ibformers-") as scratch:
        files, client = _LocalFiles(Path(scratch)), _Reports()
        arguments = [{"path": str(path), "files": _names(path)} for path in paths]
        facts = train(
            save_path=_NAME,
            file_client=files,
            job_metadata_client=client,
            hyperparams=config,
            data=arguments,
            model_name=_NAME,
            current_model=_NAME,
        )
        folder = Path(scratch, _NAME)
        documents = json.loads((folder / "predictions.json").read_text())
        predicted = {name: fields[FIELD]["text"] for name, fields in documents.items()}
        served = _serve(folder, train.module, predicted) if inference else 0
    return Checked(
        metrics=facts["evaluation_results"],
        intervals=facts["evaluation_intervals"],
        predictions=predicted,
        history=client.metadata.get("history", []),
        messages=client.messages,
        served=served,
    )


def _serve(folder: Path, module: str, predicted: Mapping[str, str]) -> int:
    """Compare the loaded model's predictions with those of the training, and return their number."""
    data = folder / "saved_model" / "src" / "py" / module_name(_NAME) / "model_data"
    load_model(module, data / MODEL)
    model = ServedTrainer(data)
    inputs = json.loads((folder / "inputs.json").read_text())
    for name, text in inputs.items():
        document = SimpleNamespace(data=json.dumps([{"text": text}]))
        answer = model.answer(SimpleNamespace(input_path=name, input_raw_data=document))
        if answer != predicted[name]:
            raise AssertionError(
                f"{name}: training predicted {predicted[name]!r}, but the loaded model {answer!r} for {text[:100]!r}"
            )
    return len(inputs)


def _names(path: Path) -> list[str] | None:
    """Names of the files below a folder, None for a file. Raises: FileNotFoundError."""
    if not path.exists():
        raise FileNotFoundError(f"data of check_trainer: there is no {path}")
    if path.is_file():
        return None
    return sorted(one.relative_to(path).as_posix() for one in path.rglob("*") if one.is_file())


class _LocalFiles:
    """File client of a folder on this machine; data is read by its own path."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read_file(self, path: str) -> bytes:
        return (self._root / path).read_bytes()

    def write_file(self, path: str, data: bytes) -> None:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


class _Reports:
    """Metadata client that keeps what it is told."""

    def __init__(self) -> None:
        self.metadata: dict[str, Any] = {}
        self.messages: list[str] = []

    def update_metadata(self, metadata: dict[str, Any]) -> None:
        self.metadata = json.loads(json.dumps(metadata, allow_nan=False))

    def update_message(self, message: str) -> None:
        self.messages.append(message)
