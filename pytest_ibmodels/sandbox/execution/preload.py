"""Slow imports of training and serving, made once in the fork server.

No torch operation runs here: it would start thread pools that do not survive a fork. A package that is not installed
is left out, and a module that is broken fails again in the code that needs it.
"""

import gc
import importlib
import os
import sys
from collections.abc import Callable
from functools import partial

_MODULES = (
    "psutil",
    "numpy",
    "scipy.stats",
    "torch",
    "tokenizers",
    "safetensors.torch",
    "transformers",
    "transformers.models.bert.modeling_bert",
    "transformers.models.layoutlm.modeling_layoutlm",
    "accelerate",
    "transformers.trainer",
    "transformers.training_args",
    "pytest_ibmodels.sandbox.execution.training_worker",
    "pytest_ibmodels.sandbox.execution.model_worker",
)


def _preload() -> None:
    server = os.getppid()
    # OpenMP reads this when torch is loaded; by default, waiting threads spin and take the processor from other jobs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Modules in the working directory must not be found, not even by a check for an optional package.
    sys.path[:] = [entry for entry in sys.path if entry]
    # What is imported stays, so collecting garbage among it is lost time: here a seventh of the whole, and in each job
    # a third of a second, for which the job would also copy the pages that it shares with the others.
    gc.disable()
    for name in _MODULES:
        if os.getppid() != server:
            # The server was killed meanwhile.
            sys.exit()
        _try(name, partial(importlib.import_module, name))
    _try("transformers", _compile_patterns)
    gc.freeze()
    gc.enable()


def _try(name: str, load: Callable[[], object]) -> None:
    try:
        load()
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            sys.stderr.write(f"preload: {name}: {error}\n")
    except Exception as error:  # noqa: BLE001 - the job that needs the module reports it
        sys.stderr.write(f"preload: {name}: {type(error).__name__}: {error}\n")


def _compile_patterns() -> None:
    """Compile the thousand patterns of names of weights that transformers keeps once a model is loaded (.2 s)."""
    mappings = importlib.import_module("transformers.conversion_mapping")
    mappings.get_checkpoint_conversion_mapping("bert")


_preload()
