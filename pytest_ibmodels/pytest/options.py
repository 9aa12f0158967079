"""Every command-line option, ini value and marker of the plugin, in one place."""

from __future__ import annotations

import os
import re
import shlex
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

ACTIVE = pytest.StashKey[bool]()
"""Set once a file of model tests is collected."""

NOT_OURS = pytest.StashKey[list[str]]()
"""Files that have the name of model tests, and are somebody else's."""

SHORT = pytest.StashKey[frozenset[str]]()
"""The options that have their short name, too."""

# `-k` and `-m` also as `-kNAME` and behind other letters, as in `-vk NAME`.
_SELECTS = re.compile(r"-[a-zA-Z]*[km]|--(deselect|lf|last-failed|sw|stepwise)\b")

JOURNAL_NAME = "journal.sqlite"
WORKER_INPUT = "ibmodels_session"
"""By which a worker is told the session that it belongs to."""
_SESSION = pytest.StashKey[str]()

FILE_NAMES = ("model_tests.yaml", "model_tests.yml")
_ENVIRONMENTS = "environments.yaml"
_ENVIRONMENTS_TOO = "environments.yml"
"""Read where the other one is not there, and no setting names a file."""

INI_VALUES: dict[str, tuple[str, str]] = {
    "ibmodels_environments": (_ENVIRONMENTS, "the file that describes the environments, from the root folder"),
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


OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "env",
        {
            "action": "append",
            "default": [],
            "metavar": "NAME",
            "help": "run model tests only on this environment (repeat it, or give a comma list); all by default",
        },
    ),
    (
        "package",
        {
            "metavar": "DIR",
            "help": "the folder of the training code, in place of the one that ibmodels_package names",
        },
    ),
    (
        "publish-only",
        {
            "action": "store_true",
            "help": "run no tests: publish the package on every environment, or those of --env, where it is not there "
            "yet",
        },
    ),
    (
        "dry-run",
        {
            "action": "store_true",
            "help": "with --publish-only: show what would happen, and change nothing",
        },
    ),
    (
        "reattach",
        {
            "action": "store_true",
            "help": "go on with trainings of a session that was killed, where they train the same, instead of training "
            "again",
        },
    ),
    (
        "promote",
        {
            "action": "store_true",
            "help": "of model tests with a table, let the new model take the place of the one in use where both phases "
            "passed",
        },
    ),
    (
        "promote-worse",
        {
            "action": "store_true",
            "help": "with --promote: also promote a model that is certainly worse than the one in use",
        },
    ),
    (
        "model-report",
        {
            "action": "append",
            "default": [],
            "metavar": "FILE",
            "help": "write a report on all runs at the end: FILE.json for machines, FILE.html to look at; may be "
            "repeated",
        },
    ),
)
"""Name without prefix → what argparse is told. pytest has each as ``--ibmodels-NAME``, and as ``--NAME`` where that is
free: see :mod:`pytest_ibmodels.pytest.short_options`."""

GROUP = ("ibmodels", "model tests (pytest-ibmodels)")


def add_options(parser: pytest.Parser) -> None:
    """Add the options with names of the plugin's own, and the settings."""
    group = parser.getgroup(*GROUP)
    for name, told in OPTIONS:
        group.addoption(f"--ibmodels-{name}", dest=destination(name), **told)
    parser.addini("ibmodels_files", "names of the files that hold model tests", type="args", default=FILE_NAMES)
    for name, (default, text) in INI_VALUES.items():
        kind: Literal["float", "string"] = "float" if is_seconds(name) else "string"
        parser.addini(name, f"{text} (default: {default})", type=kind, default=default)


def destination(name: str) -> str:
    """Where argparse leaves the value of an option."""
    return "ibmodels_reports" if name == "model-report" else f"ibmodels_{name.replace('-', '_')}"


def spelled(config: pytest.Config, name: str) -> str:
    """An option as messages name it: ``--NAME``, or ``--ibmodels-NAME`` where the short one is somebody else's."""
    return f"--{name}" if name in config.stash.get(SHORT, ()) else f"--ibmodels-{name}"


def add_markers(config: pytest.Config) -> None:
    for name, text in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {text}")


def chosen_environments(config: pytest.Config) -> tuple[str, ...]:
    """The names given with ``--env``, in order, without repetition; empty: all.

    Raises:
        pytest.UsageError: the option is given without a name, as ``--env "$UNSET"`` does: that cannot mean all.
    """
    return split_names(config.getoption("ibmodels_env"), spelled(config, "env"))


def split_names(values: Iterable[str] | None, option: str = "--env") -> tuple[str, ...]:
    """As :func:`chosen_environments`, from the values of the option themselves."""
    given = [name.strip() for value in values or () for name in value.split(",")]
    if not all(given):
        raise pytest.UsageError(
            f"{option}: a name is missing; give the name of an environment, or leave the option out"
        )
    return tuple(dict.fromkeys(given))


def replaces_the_run(config: pytest.Config) -> bool:
    """Whether `--publish-only` is to be done in place of a run.

    Raises:
        pytest.UsageError: `--dry-run` is given alone, or with `--publish-only` something that selects tests. What
            `addopts` selects is meant for runs, and is no mistake.
    """
    if config.option.help or config.option.version:
        return False
    publish, dry = spelled(config, "publish-only"), spelled(config, "dry-run")
    if not config.getoption("ibmodels_publish_only"):
        if config.getoption("ibmodels_dry_run"):
            raise pytest.UsageError(f"{dry}: goes with {publish}; a run of tests has --collect-only")
        return False
    if config.getoption("collectonly"):
        raise pytest.UsageError(
            f"{publish}: --collect-only shows tests, and none are meant; {dry} shows what would be published"
        )
    for argument in config.invocation_params.args:
        text = str(argument)
        if _SELECTS.match(text) or (not text.startswith("-") and "::" in text):
            raise pytest.UsageError(f"{publish}: runs no tests, so {text} selects nothing; leave it out")
    return True


def environments_path(config: pytest.Config) -> Path:
    """The file that describes the environments; it need not be there."""
    path = config.rootpath / str(config.getini("ibmodels_environments"))
    other = config.rootpath / _ENVIRONMENTS_TOO
    return other if path.name == _ENVIRONMENTS and not path.exists() and other.is_file() else path


def environments_missing(config: pytest.Config) -> str:
    """Why environments are not known, if their file is not there; else empty."""
    path = environments_path(config)
    if path.exists():
        return ""
    return (
        f"there is no {path}, which would describe environments. Paths count from pytest's root folder, which is "
        f"{config.rootpath}: set it with --rootdir, or set `ibmodels_environments` to the path of the file"
    )


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
    return path.name in file_names(config)


def file_names(config: pytest.Config) -> list[str]:
    """The names of files that hold model tests; a text is split as a shell does."""
    names: Any = config.getini("ibmodels_files")
    return shlex.split(names) if isinstance(names, str) else names


def has_settings(config: pytest.Config) -> bool:
    """Whether the project has set anything for this plugin."""
    defaults: dict[str, object] = {name: default for name, (default, _) in INI_VALUES.items()}
    defaults["ibmodels_files"] = FILE_NAMES
    return any(config.getini(name) != default for name, default in defaults.items())


def not_ours(config: pytest.Config) -> list[str]:
    """What to say of files that have the name of model tests and hold something else."""
    files: list[str] = config.stash.setdefault(NOT_OURS, [])
    names = ", ".join(files)
    return [f"no model tests of pytest-ibmodels: {names}; pass the file's path if it should be"] if names else []


def case_of(nodeid: str) -> tuple[str, str, str] | None:
    """What the id of a model test's item says; None for any other test.

    Returns:
        The id of the case, the environment, and the phase.
    """
    path, *names = nodeid.split("::")
    if len(names) != 3 or names[2] not in {f"test_{phase}" for phase in MARKERS} or path.endswith(".py"):
        return None
    return nodeid.rpartition("::")[0], names[1], names[2].removeprefix("test_")


def is_seconds(name: str) -> bool:
    """Whether a setting is a number of seconds."""
    return name.endswith(("_poll", "_interval", "_limit"))


def settle_types(config: pytest.Config, parser: pytest.Parser) -> None:
    """Give each setting the type of what is written for it: pytest's native TOML has numbers, texts and lists.

    pytest 9.1 has no type that takes several of them, so a setting that is not of its type is read again as text.

    Raises:
        pytest.UsageError: it is neither.
    """
    for name, (default, text) in {**INI_VALUES, "ibmodels_files": (" ".join(FILE_NAMES), "")}.items():
        if _getini(config, name) is None:
            parser.addini(name, text, type="string", default=default)
            if _getini(config, name) is None:
                meant = "a number of seconds above 0" if is_seconds(name) else "a text"
                meant = "a list of texts" if name == "ibmodels_files" else meant
                raise pytest.UsageError(f"{config.inipath or 'settings'}: {name} should be {meant}")


def _getini(config: pytest.Config, name: str) -> object:
    """The value of a setting; None if it is of another type than the setting."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pytest.PytestWarning)  # pytest takes a list for a text, and warns
        try:
            value: object = config.getini(name)
        except (TypeError, ValueError, pytest.UsageError):
            return None
    return value


def check_settings(config: pytest.Config) -> None:
    """Raise UsageError for a setting that cannot be meant, before anything is collected."""
    if config.getoption("ibmodels_promote_worse") and not config.getoption("ibmodels_promote"):
        raise pytest.UsageError("--promote-worse: goes with --promote, which promotes models; alone it does nothing")
    for name in INI_VALUES:
        value: object = config.getini(name)
        if is_seconds(name):
            seconds(config, name)
        elif not isinstance(value, str) or not value.strip():
            raise pytest.UsageError(f"{name} = {value!r}: should be a path, as a text")
    names: list[object] = list(file_names(config))
    if not names or not all(isinstance(name, str) and name for name in names):
        raise pytest.UsageError(f"ibmodels_files = {names!r}: should be names of files, as a list of texts")


def seconds(config: pytest.Config, name: str) -> float:
    """An ini value in seconds.

    Raises:
        pytest.UsageError: it is not a positive number.
    """
    given: Any = config.getini(name)
    try:
        value = float(given)
    except (TypeError, ValueError):
        value = 0.0
    if not 0 < value < float("inf"):
        raise pytest.UsageError(f"{name} = {given!r}: should be a number of seconds above 0")
    return value
