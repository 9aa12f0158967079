"""Files of a project, as pytest's settings name them."""

from __future__ import annotations

import fnmatch
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

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
        find_model_tests: returns the files of model tests.
    """

    environments: Path
    package: Path
    journal: Path
    find_model_tests: Callable[[], tuple[Path, ...]] = tuple


def project_of(config: pytest.Config) -> Project:
    """Return the files of the project that pytest was started in."""
    return Project(
        environments=environments_path(config),
        package=package_folder(config),
        journal=journal_file(config),
        find_model_tests=partial(model_test_files, config),
    )


def environments_path(config: pytest.Config) -> Path:
    """Return the file that describes the environments; it may not exist."""
    path = config.rootpath / str(config.getini("ibmodels_environments"))
    fallback = config.rootpath / _ENVIRONMENTS_FALLBACK
    return fallback if path.name == ENVIRONMENTS_FILE and not path.exists() and fallback.is_file() else path


def package_folder(config: pytest.Config) -> Path:
    given: str | None = config.getoption("ibmodels_package")
    if given is not None:
        return config.invocation_params.dir / given
    return config.rootpath / str(config.getini("ibmodels_package"))


def journal_file(config: pytest.Config) -> Path:
    """Return the journal, below pytest's cache folder at a place that survives ``--cache-clear``."""
    try:
        folder = str(config.getini("cache_dir"))
    except ValueError:  # pytest runs without its cache
        folder = ".pytest_cache"
    return config.rootpath / os.path.expandvars(Path(folder).expanduser()) / "ibmodels" / "journal.sqlite"


def environment_names(values: Iterable[str]) -> tuple[str, ...]:
    """Split the values of ``--env`` into names, in order, without repetitions.

    Raises:
        ValueError: a name is empty, as in ``--env "$UNSET"``, which must not mean all environments.
    """
    names = [name.strip() for value in values for name in value.split(",")]
    if not all(names):
        raise ValueError("a name is missing; give the name of an environment, or leave the option out")
    return tuple(dict.fromkeys(names))


def model_test_files(config: pytest.Config) -> tuple[Path, ...]:
    """Return the files of model tests below pytest's root folder, sorted; folders that pytest skips are skipped."""
    names = set(config.getini("ibmodels_files"))
    skipped = [*config.getini("norecursedirs"), "__pycache__"]
    return tuple(sorted(_files(config.rootpath, names, skipped)))


def _files(root: Path, names: set[str], skipped: list[str]) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        folders[:] = [
            name
            for name in folders
            if not any(fnmatch.fnmatch(name, pattern) for pattern in skipped)
            and not (here / name / "pyvenv.cfg").exists()
        ]
        yield from (here / name for name in files if name in names)
