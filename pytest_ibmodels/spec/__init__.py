"""Read `model_tests.yaml` and `environments.yaml` strictly, and report all problems at once, each with its place.

The reference of both files is `docs/yaml.md`.
"""

from pytest_ibmodels.spec.cross_checks import check, load
from pytest_ibmodels.spec.environments import Environment, EnvironmentsFile, ResolvedEnvironment, load_environments
from pytest_ibmodels.spec.errors import Problem, SpecError
from pytest_ibmodels.spec.model_test import (
    DataPath,
    InferenceSpec,
    MarkUse,
    Minimum,
    ModelTest,
    ModelTestsFile,
    ScriptSpec,
    TableSpec,
)
from pytest_ibmodels.spec.model_tests import load_model_tests
from pytest_ibmodels.spec.recognition import looks_like_model_tests
from pytest_ibmodels.spec.warnings import EnvironmentWarning, environment_warnings

__all__ = [
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
