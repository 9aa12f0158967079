"""Training and inference tests of document models, from YAML to pytest items."""

from __future__ import annotations

import importlib
import sys
import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_ibmodels.engine.engine import Engine
    from pytest_ibmodels.hooks import MetricCheck, RunFacts
    from pytest_ibmodels.packaging import Package, build_package
    from pytest_ibmodels.pytest.nodes import ModelTestsNode, PhaseItem
    from pytest_ibmodels.pytest.phase_runs import InferenceRun, TrainingRun
    from pytest_ibmodels.spec import Environment, EnvironmentWarning, ModelTest

__version__ = "0.1.0"

__all__ = [
    "Engine",
    "Environment",
    "EnvironmentWarning",
    "InferenceRun",
    "MetricCheck",
    "ModelTest",
    "ModelTestsNode",
    "Package",
    "PhaseItem",
    "RunFacts",
    "TrainingRun",
    "build_package",
]

_MODULES = {
    "engine.engine": ("Engine",),
    "hooks": ("MetricCheck", "RunFacts"),
    "packaging": ("Package", "build_package"),
    "pytest.nodes": ("ModelTestsNode", "PhaseItem"),
    "pytest.phase_runs": ("InferenceRun", "TrainingRun"),
    "spec": ("Environment", "EnvironmentWarning", "ModelTest"),
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that importing the package imports nothing else."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _former_collection(name: str) -> Any:
    if name not in _MODULES["pytest.nodes"]:
        raise AttributeError(f"module {_collection.__name__!r} has no attribute {name!r}")
    warnings.warn(f"{_collection.__name__} has moved: import {name} from {__name__}", DeprecationWarning, stacklevel=2)
    return __getattr__(name)


_collection = ModuleType(f"{__name__}.collection")
_collection.__getattr__ = _former_collection  # type: ignore[method-assign]
sys.modules[_collection.__name__] = _collection
