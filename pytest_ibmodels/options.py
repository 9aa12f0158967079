"""Every command-line option, ini value and marker of the plugin, in one place."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

ACTIVE = pytest.StashKey[bool]()
"""Set once a file of model tests is collected."""

# `-k` and `-m` also as `-kNAME` and behind other letters, as in `-vk NAME`.
_SELECTS = re.compile(r"-[a-zA-Z]*[km]|--(deselect|lf|last-failed|sw|stepwise)\b")

JOURNAL_NAME = "journal.sqlite"
WORKER_INPUT = "ibmodels_session"
"""By which a worker is told the session that it belongs to."""
_SESSION = pytest.StashKey[str]()

FILE_NAMES = ("model_tests.yaml", "model_tests.yml")

INI_VALUES: dict[str, tuple[str, str]] = {
    "ibmodels_environments": ("environments.yaml", "the file that describes the environments, from the root folder"),
    "ibmodels_package": ("ibformers", "the folder of the training code, with its package.json, from the root folder"),
    "ibmodels_longest_poll": ("10", "the longest interval in seconds between two looks at a job"),
    "ibmodels_progress_interval": ("8", "seconds between two progress lines while a job is waited for"),
    "ibmodels_startup_limit": ("60", "seconds that an environment may take until it answers for the first time"),
    "ibmodels_upload_limit": ("300", "seconds that uploading and unpacking the code may take, and a first answer"),
    "ibmodels_queue_limit": ("3600", "seconds that a training may wait until the environment begins it"),
    "ibmodels_inference_limit": ("300", "seconds that inference of one model test may take"),
}
"""Name → default and help."""

MARKERS = {
    "training": "the training phase of a model test: push, train, hold the metrics to their minimums",
    "inference": "the inference phase of a model test: serve the trained model, hold its predictions to training's",
}


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("ibmodels", "model tests (pytest-ibmodels)")
    group.addoption(
        "--env",
        action="append",
        default=[],
        metavar="NAME",
        dest="ibmodels_env",
        help="run model tests only on this environment (repeat it, or give a comma list); all by default",
    )
    group.addoption(
        "--package",
        metavar="DIR",
        dest="ibmodels_package",
        help="the folder of the training code, in place of the one that ibmodels_package names",
    )
    group.addoption(
        "--publish-only",
        action="store_true",
        dest="ibmodels_publish_only",
        help="run no tests: publish the package on every environment, or those of --env, where it is not there yet",
    )
    group.addoption(
        "--dry-run",
        action="store_true",
        dest="ibmodels_dry_run",
        help="with --publish-only: show what would happen, and change nothing",
    )
    group.addoption(
        "--reattach",
        action="store_true",
        dest="ibmodels_reattach",
        help="go on with trainings of a session that was killed, where they train the same, instead of training again",
    )
    group.addoption(
        "--promote",
        action="store_true",
        dest="ibmodels_promote",
        help="of model tests with a table, let the new model take the place of the one in use where both phases passed",
    )
    group.addoption(
        "--promote-worse",
        action="store_true",
        dest="ibmodels_promote_worse",
        help="with --promote: also promote a model that is certainly worse than the one in use",
    )
    group.addoption(
        "--model-report",
        action="append",
        default=[],
        metavar="FILE",
        dest="ibmodels_reports",
        help="write a report on all runs at the end: FILE.json for machines, FILE.html to look at; may be repeated",
    )
    parser.addini("ibmodels_files", "names of the files that hold model tests", type="args", default=FILE_NAMES)
    for name, (default, text) in INI_VALUES.items():
        parser.addini(name, f"{text} (default: {default})", default=default)


def add_markers(config: pytest.Config) -> None:
    for name, text in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {text}")


def chosen_environments(config: pytest.Config) -> tuple[str, ...]:
    """The names given with ``--env``, in order, without repetition; empty: all.

    Raises:
        pytest.UsageError: the option is given without a name, as ``--env "$UNSET"`` does: that cannot mean all.
    """
    return split_names(config.getoption("ibmodels_env"))


def split_names(values: Iterable[str] | None) -> tuple[str, ...]:
    """As :func:`chosen_environments`, from the values of ``--env`` themselves."""
    given = [name.strip() for value in values or () for name in value.split(",")]
    if not all(given):
        raise pytest.UsageError("--env: a name is missing; give the name of an environment, or leave the option out")
    return tuple(dict.fromkeys(given))


def replaces_the_run(config: pytest.Config) -> bool:
    """Whether `--publish-only` is to be done in place of a run.

    Raises:
        pytest.UsageError: `--dry-run` is given alone, or with `--publish-only` something that selects tests. What
            `addopts` selects is meant for runs, and is no mistake.
    """
    if config.option.help or config.option.version:
        return False
    if not config.getoption("ibmodels_publish_only"):
        if config.getoption("ibmodels_dry_run"):
            raise pytest.UsageError("--dry-run: goes with --publish-only; a run of tests has --collect-only")
        return False
    if config.getoption("collectonly"):
        raise pytest.UsageError(
            "--publish-only: --collect-only shows tests, and none are meant; --dry-run shows what would be published"
        )
    for argument in config.invocation_params.args:
        text = str(argument)
        if _SELECTS.match(text) or (not text.startswith("-") and "::" in text):
            raise pytest.UsageError(f"--publish-only: runs no tests, so {text} selects nothing; leave it out")
    return True


def environments_path(config: pytest.Config) -> Path:
    return config.rootpath / str(config.getini("ibmodels_environments"))


def package_folder(config: pytest.Config) -> Path:
    given: str | None = config.getoption("ibmodels_package")
    if given is not None:
        return config.invocation_params.dir / given
    return config.rootpath / str(config.getini("ibmodels_package"))


def journal_file(config: pytest.Config) -> Path:
    """Where what model tests make in environments is written down: below pytest's cache folder, where it survives
    `--cache-clear`.
    """
    try:
        folder = str(config.getini("cache_dir"))
    except ValueError:  # pytest runs without its cache
        folder = ".pytest_cache"
    return config.rootpath / os.path.expandvars(Path(folder).expanduser()) / "ibmodels" / JOURNAL_NAME


def session_id(config: pytest.Config) -> str:
    """Names this pytest run; the same in the controller and all workers of xdist."""
    given: str | None = getattr(config, "workerinput", {}).get(WORKER_INPUT)
    return config.stash.setdefault(_SESSION, given or uuid.uuid4().hex)


def controls_workers(config: pytest.Config) -> bool:
    """Whether this process is xdist's controller, which runs no test itself."""
    return config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput")


def is_active(config: pytest.Config) -> bool:
    """Whether this process has collected a file of model tests."""
    return ACTIVE in config.stash


def is_model_tests_file(config: pytest.Config, path: Path) -> bool:
    names: list[str] = config.getini("ibmodels_files")
    return path.name in names


def check_settings(config: pytest.Config) -> None:
    """Raise UsageError for a setting that cannot be meant, before anything is collected."""
    if config.getoption("ibmodels_promote_worse") and not config.getoption("ibmodels_promote"):
        raise pytest.UsageError("--promote-worse: goes with --promote, which promotes models; alone it does nothing")
    for name in INI_VALUES:
        if name.endswith(("_poll", "_interval", "_limit")):
            seconds(config, name)


def seconds(config: pytest.Config, name: str) -> float:
    """An ini value in seconds.

    Raises:
        pytest.UsageError: it is not a positive number.
    """
    text = str(config.getini(name))
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise pytest.UsageError(f"{name} = {text!r}: should be a number of seconds above 0")
    return value
