"""Files of a project, as pytest's settings name them."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

ENVIRONMENTS_FILE = "environments.yaml"
_ENVIRONMENTS_FALLBACK = "environments.yml"
"""Read if the default file does not exist and no setting names another one."""


@dataclass(frozen=True)
class Project:
    """Files of a project.

    Attributes:
        environments: the file that describes the environments; it may not exist.
        package: the folder of the training code.
        journal: the journal of what was created in environments; it may not exist.
        model_tests: names of the files of model tests.
        folder: pytest's root folder.
        history: setting that says where the history is kept; ``history_file``: its file in pytest's cache folder.
        trend_min_shift: setting of the smallest shift that pytest warns of; it may be no number.
    """

    environments: Path
    package: Path
    journal: Path
    model_tests: tuple[str, ...]
    folder: Path
    history: str
    history_file: Path
    trend_min_shift: str


def project_of(config: pytest.Config) -> Project:
    """Return the files of the project that pytest was started in."""
    return Project(
        environments=environments_path(config),
        package=package_folder(config),
        journal=journal_file(config),
        model_tests=tuple(file_names(config)),
        folder=config.rootpath,
        history=history_setting(config),
        history_file=history_file(config),
        trend_min_shift=str(config.getini("ibmodels_trend_min_shift")),
    )


def environments_path(config: pytest.Config) -> Path:
    """Return the file that describes the environments; it may not exist."""
    path = config.rootpath / str(config.getini("ibmodels_environments"))
    fallback = config.rootpath / _ENVIRONMENTS_FALLBACK
    return fallback if path.name == ENVIRONMENTS_FILE and not path.exists() and fallback.is_file() else path


def file_names(config: pytest.Config) -> list[str]:
    """Return the names of files of model tests; a string is split as a shell does."""
    # `pytest.options` has the same function, because it must not import this package before there are model tests.
    names: Any = config.getini("ibmodels_files")
    return shlex.split(names) if isinstance(names, str) else names


def package_folder(config: pytest.Config) -> Path:
    given: str | None = config.getoption("ibmodels_package")
    if given is not None:
        return config.invocation_params.dir / given
    return config.rootpath / str(config.getini("ibmodels_package"))


def journal_file(config: pytest.Config) -> Path:
    """Return the journal, below pytest's cache folder at a place that survives ``--cache-clear``."""
    return _cache_folder(config) / "journal.sqlite"


def history_file(config: pytest.Config) -> Path:
    """Return the file of the history that is beside the journal; it may not exist."""
    return _cache_folder(config) / "history.sqlite"


def history_setting(config: pytest.Config) -> str:
    """Return the variable IBMODELS_HISTORY, or else the setting ``ibmodels_history``."""
    return os.environ.get("IBMODELS_HISTORY") or str(config.getini("ibmodels_history"))


def _cache_folder(config: pytest.Config) -> Path:
    try:
        folder = str(config.getini("cache_dir"))
    except ValueError:  # pytest runs without its cache
        folder = ".pytest_cache"
    return config.rootpath / os.path.expandvars(Path(folder).expanduser()) / "ibmodels"


def environment_names(values: Iterable[str]) -> tuple[str, ...]:
    """Split the values of ``--env`` into names, in order, without repetitions.

    Raises:
        ValueError: a name is empty, as in ``--env "$UNSET"``, which must not mean all environments.
    """
    names = [name.strip() for value in values for name in value.split(",")]
    if not all(names):
        raise ValueError("a name is missing; give the name of an environment, or leave the option out")
    return tuple(dict.fromkeys(names))
