"""Read `model_tests.yaml` and `environments.yaml` strictly, and report all problems at once, each with its place.

The reference of both files is `docs/yaml.md`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_ibmodels.spec.cross_checks import check, load
    from pytest_ibmodels.spec.environments import Environment, EnvironmentsFile, ResolvedEnvironment, load_environments
    from pytest_ibmodels.spec.errors import Problem, SpecError
    from pytest_ibmodels.spec.model_test import (
        BaselineSpec,
        DataPath,
        InferenceSpec,
        MarkUse,
        Minimum,
        ModelTest,
        ModelTestsFile,
        ResourcesSpec,
        ScriptSpec,
        TableSpec,
    )
    from pytest_ibmodels.spec.model_tests import load_model_tests
    from pytest_ibmodels.spec.recognition import looks_like_model_tests
    from pytest_ibmodels.spec.warnings import EnvironmentWarning, environment_warnings

__all__ = [
    "BaselineSpec",
    "DataPath",
    "Environment",
    "EnvironmentWarning",
    "EnvironmentsFile",
    "InferenceSpec",
    "MarkUse",
    "Minimum",
    "ModelTest",
    "ModelTestsFile",
    "Problem",
    "ResolvedEnvironment",
    "ResourcesSpec",
    "ScriptSpec",
    "SpecError",
    "TableSpec",
    "check",
    "environment_warnings",
    "load",
    "load_environments",
    "load_model_tests",
    "looks_like_model_tests",
]

_MODULES = {
    "cross_checks": ("check", "load"),
    "environments": ("Environment", "EnvironmentsFile", "ResolvedEnvironment", "load_environments"),
    "errors": ("Problem", "SpecError"),
    "model_test": (
        "BaselineSpec",
        "DataPath",
        "InferenceSpec",
        "MarkUse",
        "Minimum",
        "ModelTest",
        "ModelTestsFile",
        "ResourcesSpec",
        "ScriptSpec",
        "TableSpec",
    ),
    "model_tests": ("load_model_tests",),
    "recognition": ("looks_like_model_tests",),
    "warnings": ("EnvironmentWarning", "environment_warnings"),
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use: the models of the files take longer to import than a query of the history."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
