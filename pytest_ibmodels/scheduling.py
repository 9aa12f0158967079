"""xdist: one environment, one worker; so that each environment is opened and pushed to once.

``_split_scope`` is not public API of xdist (its public way, ``--dist loadgroup``, does nothing on pytest 9.2 with
xdist 3.8). It is used here only, the range of xdist's versions is bounded for it, and tests hold it.
"""

from __future__ import annotations

import fnmatch
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_ibmodels import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest


def make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A scheduler that keeps environments together, if this session may hold model tests; else xdist's own."""
    if config.getoption("dist") in {"no", "each"} or not any(_holds_model_tests(config)):
        return None
    from xdist.scheduler import LoadScopeScheduling

    class EnvironmentScheduling(LoadScopeScheduling):  # type: ignore[misc]
        """Model tests go by environment, all other tests one by one."""

        def _split_scope(self, nodeid: str) -> str:
            return scope_of(config, nodeid)

    return EnvironmentScheduling(config, log)


def scope_of(config: pytest.Config, nodeid: str) -> str:
    """The environment for a model test's id (``FILE::TEST::ENVIRONMENT::PHASE``), the id itself for any other."""
    path, _, rest = nodeid.partition("::")
    if options.is_model_tests_file(config, Path(path)) and rest.count("::") == 2:
        return rest.split("::")[1]
    return nodeid


def _holds_model_tests(config: pytest.Config) -> Iterator[bool]:
    for arg in config.args:
        path = config.invocation_params.dir / arg.partition("::")[0]
        if path.is_file():
            yield options.is_model_tests_file(config, path)
        else:
            skipped: list[str] = config.getini("norecursedirs")
            for _, folders, files in os.walk(path):
                folders[:] = [name for name in folders if not any(fnmatch.fnmatch(name, glob) for glob in skipped)]
                yield any(options.is_model_tests_file(config, Path(name)) for name in files)
