from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any


def fields_of(text: str) -> dict[str, str]:
    """The "model": every line `Name: value` is a field."""
    return dict(re.findall(r"^(\w+): (.*)$", text, re.MULTILINE))


class IbModel:
    def __init__(self, model_data_path: str | None = None, ibsdk: Any = None) -> None:
        self._path = Path(model_data_path or "")
        self._corrupt = ""

    def load(self) -> None:
        self._corrupt = json.loads((self._path / "upper.json").read_text())

    def run(self, request: Any) -> dict[str, Any]:
        if self._corrupt == "crash":
            raise RuntimeError("the weights are broken")
        text = json.loads(request.input_raw_data.data)[0]["text"]
        entities = []
        for name, value in fields_of(text).items():
            start = text.index(f"{name}: {value}") + len(name) + 2
            end = start + len(value) - (1 if name == self._corrupt else 0)
            entities.append(
                {"content": text[start:end], "label": name, "score": 0.9, "start_index": start, "end_index": end}
            )
        return {"ner_result": {"entities": entities}}

    def cleanup(self) -> None:
        pass
