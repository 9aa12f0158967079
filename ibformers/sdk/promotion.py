"""Promotion of a trainer's model to the model in use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ibformers.errors import ModelIsWorse
from ibformers.registry.model_package import module_name
from ibformers.registry.store import TRAINING_RECORD, ModelStore
from ibformers.sdk.training import MODEL

if TYPE_CHECKING:
    from ibformers.platform import FileClient


def run_promote(
    save_path: str,
    file_client: FileClient,
    models_path: str,
    model_name: str,
    current_model: str,
    *,
    force: bool = False,
    **_further: Any,
) -> dict[str, Any]:
    """Promote the model of a training; the model in use becomes the previous one, for a rollback.

    Raises:
        NoCandidate: Another version is in use by now than the one that the model was compared with.
        ModelIsWorse: The model is certainly worse than the model in use, and `force` is false.
    """
    folder = save_path.strip("/")
    facts = json.loads(file_client.read_file(f"{folder}/evaluation.json"))
    f1 = (facts["comparison"] or {}).get("f1")
    if f1 and f1["high"] < 0 and not force and facts["comparison"]["learned"] is not None:
        raise ModelIsWorse(
            f"The new model of {current_model} is certainly worse than the model in use, by an F1 of "
            f"{-f1['difference']:.4f} (90% interval {-f1['high']:.4f} to {-f1['low']:.4f}). To promote it all the same, "
            "give `force` (pytest --promote --promote-worse)."
        )
    store = ModelStore(Path(models_path), current_model)
    data = f"{folder}/saved_model/src/py/{module_name(model_name)}/model_data"
    with store.training() as work:
        version = work / "version"
        (version / "model").mkdir(parents=True)
        for file in facts["files"]:
            if file.startswith(f"{MODEL}/"):
                target = version / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file_client.read_file(f"{data}/{file}"))
        (version / TRAINING_RECORD).write_text(json.dumps(facts), encoding="utf-8")
        now, _before = store.promote_folder(version, facts["current"]["version"])
    return {"version": now.name, "message": f"{current_model} is now version {now.name}."}
