"""Settings and markers of the plugin, and what its options mean."""

from __future__ import annotations

import importlib.util
import re
import shlex
import uuid
import warnings
from typing import TYPE_CHECKING, Any, Literal

import pytest

from pytest_ibmodels.pytest.keys import ACTIVE, NOT_OURS, SHORT_OPTIONS
from pytest_ibmodels.pytest.option_table import GROUP, OPTIONS, destination

if TYPE_CHECKING:
    from pathlib import Path

# `-k` and `-m` also match as `-kNAME` and after other letters, as in `-vk NAME`.
_SELECTS = re.compile(r"-[a-zA-Z]*[km]|--(deselect|lf|last-failed|sw|stepwise)\b")

WORKER_INPUT = "ibmodels_session"
"""Key of xdist's ``workerinput`` that holds the session's id."""
_SESSION = pytest.StashKey[str]()

FILE_NAMES = ("model_tests.yaml", "model_tests.yml")

INI_VALUES: dict[str, tuple[str, str]] = {
    "ibmodels_environments": ("environments.yaml", "the file that describes the environments, from the root folder"),
    "ibmodels_package": ("ibformers", "the folder of the training code, with its package.json, from the root folder"),
    "ibmodels_longest_poll": ("10", "the longest interval in seconds between two polls of a job"),
    "ibmodels_progress_interval": ("8", "seconds between two progress lines while a job is waited for"),
    "ibmodels_startup_limit": ("60", "seconds that an environment may take to answer for the first time"),
    "ibmodels_upload_limit": ("300", "seconds that uploading and unpacking the code may take, with the first answer"),
    "ibmodels_queue_limit": ("3600", "seconds that a training may wait in the environment's queue"),
    "ibmodels_inference_limit": ("300", "seconds that the inference of one model test may take"),
    "ibmodels_history": (
        "cache",
        "where runs are kept: cache (a file in pytest's cache folder), none, or a URL; IBMODELS_HISTORY replaces it",
    ),
    "ibmodels_trend_min_shift": ("0.01", "the smallest drop of a metric that a trend warning is given for"),
    "ibmodels_mlflow": (
        "auto",
        "where MLflow stores runs: a tracking URI, auto (the variable MLFLOW_TRACKING_URI, if it is set), or none",
    ),
    "ibmodels_mlflow_experiment": ("", "the experiment of MLflow; by default, the name of the project"),
}
"""Setting → default and help."""
_KINDS = {
    "ibmodels_history": "`cache`, `none` or a URL of SQLAlchemy",
    "ibmodels_mlflow": "`auto`, `none` or a tracking URI of MLflow",
    "ibmodels_mlflow_experiment": "the name of an experiment",
}
"""Setting → its values in words, for those that are neither seconds nor a path."""

MARKERS = {
    "training": "the training phase of a model test: upload, train, compare the metrics with their minimums",
    "inference": "the inference phase of a model test: serve the trained model, compare its predictions",
}


def add_options(parser: pytest.Parser) -> None:
    """Add the options with their long names, and the settings."""
    group = parser.getgroup(*GROUP)
    for name, arguments in OPTIONS:
        group.addoption(f"--ibmodels-{name}", dest=destination(name), **arguments)
    parser.addini("ibmodels_files", "names of the files that hold model tests", type="args", default=FILE_NAMES)
    for name, (default, text) in INI_VALUES.items():
        kind: Literal["float", "string"] = "float" if is_number(name) else "string"
        parser.addini(name, f"{text} (default: {default})", type=kind, default=default)


def spelled(config: pytest.Config, name: str) -> str:
    """Return an option's name for messages: ``--NAME``, or ``--ibmodels-NAME`` if the short name is not ours."""
    return f"--{name}" if name in config.stash.get(SHORT_OPTIONS, ()) else f"--ibmodels-{name}"


def add_markers(config: pytest.Config) -> None:
    for name, text in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {text}")


def chosen_environments(config: pytest.Config) -> tuple[str, ...]:
    """Return the environments given with ``--env``; empty means all.

    Raises:
        pytest.UsageError: a name is empty.
    """
    values: list[str] = config.getoption("ibmodels_env")
    if not values:  # `spec` is heavy to import
        return ()
    from pytest_ibmodels.spec.project import environment_names

    try:
        return environment_names(values)
    except ValueError as error:
        raise pytest.UsageError(f"{spelled(config, 'env')}: {error}") from None


def replaces_the_run(config: pytest.Config) -> bool:
    """Return whether `--publish-only` replaces the run.

    Raises:
        pytest.UsageError: `--dry-run` is given alone, or the command line selects tests for `--publish-only`. A
            selection in `addopts` is meant for runs, and allowed.
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
            f"{publish}: runs no tests, so --collect-only shows none; {dry} shows what would be published"
        )
    for argument in config.invocation_params.args:
        text = str(argument)
        if _SELECTS.match(text) or (not text.startswith("-") and "::" in text):
            raise pytest.UsageError(f"{publish}: runs no tests, so {text} selects nothing; leave it out")
    return True


def environments_missing(config: pytest.Config) -> str:
    """Return an error message if the file of environments does not exist; else an empty text."""
    from pytest_ibmodels.spec.project import environments_path

    path = environments_path(config)
    if path.exists():
        return ""
    return (
        f"there is no {path}, which would describe environments. Paths count from pytest's root folder, which is "
        f"{config.rootpath}: set it with --rootdir, or set `ibmodels_environments` to the path of the file"
    )


def session_id(config: pytest.Config) -> str:
    """Return the id of this pytest run, the same in xdist's controller and all its workers."""
    given: str | None = getattr(config, "workerinput", {}).get(WORKER_INPUT)
    return config.stash.setdefault(_SESSION, given or uuid.uuid4().hex)


def controls_workers(config: pytest.Config) -> bool:
    """Return whether this process is xdist's controller, which runs no test itself."""
    return config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput")


def is_active(config: pytest.Config) -> bool:
    """Return whether this process has collected a file of model tests."""
    return ACTIVE in config.stash


def is_model_tests_file(config: pytest.Config, path: Path) -> bool:
    return path.name in file_names(config)


def file_names(config: pytest.Config) -> list[str]:
    """Return the names of files of model tests; a string is split as a shell does."""
    names: Any = config.getini("ibmodels_files")
    return shlex.split(names) if isinstance(names, str) else names


def has_settings(config: pytest.Config) -> bool:
    """Return whether the project has a setting of this plugin."""
    defaults: dict[str, object] = {name: default for name, (default, _) in INI_VALUES.items()}
    defaults["ibmodels_files"] = FILE_NAMES
    return any(config.getini(name) != default for name, default in defaults.items())


def not_ours(config: pytest.Config) -> list[str]:
    """Return lines for the session's header on files that are named like model tests and belong to another tool."""
    files: list[str] = config.stash.setdefault(NOT_OURS, [])
    names = ", ".join(files)
    return [f"no model tests of pytest-ibmodels: {names}; pass the file's path if it should be"] if names else []


def case_of(nodeid: str) -> tuple[str, str, str] | None:
    """Split the node id of a model test's item.

    Returns:
        The id of the case, the environment, and the phase; None for any other test.
    """
    path, *names = nodeid.split("::")
    if len(names) != 3 or names[2] not in {f"test_{phase}" for phase in MARKERS} or path.endswith(".py"):
        return None
    return nodeid.rpartition("::")[0], names[1], names[2].removeprefix("test_")


def is_number(name: str) -> bool:
    """Return whether a setting is a number."""
    return name.endswith(("_poll", "_interval", "_limit", "_shift"))


def _number_in_words(name: str) -> str:
    return "a number above 0" if name.endswith("_shift") else "a number of seconds above 0"


def accept_types(config: pytest.Config, parser: pytest.Parser) -> None:
    """Accept a setting as its own type or as a string: pytest's native TOML has numbers, strings and lists.

    pytest 9.1 has no type that accepts several of them, so a setting of another type is declared again as a string.

    Raises:
        pytest.UsageError: the setting is neither.
    """
    for name, (default, text) in {**INI_VALUES, "ibmodels_files": (" ".join(FILE_NAMES), "")}.items():
        if _getini(config, name) is None:
            parser.addini(name, text, type="string", default=default)
            if _getini(config, name) is None:
                meant = _number_in_words(name) if is_number(name) else "a text"
                meant = "a list of texts" if name == "ibmodels_files" else meant
                raise pytest.UsageError(f"{config.inipath or 'settings'}: {name} should be {meant}")


def _getini(config: pytest.Config, name: str) -> object:
    """Return the value of a setting; None if the value has another type than the setting."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pytest.PytestWarning)  # pytest accepts a list as a string, and warns
        try:
            value: object = config.getini(name)
        except (TypeError, ValueError, pytest.UsageError):
            return None
    return value


def check_settings(config: pytest.Config) -> None:
    """Check options and settings before anything is collected.

    Raises:
        pytest.UsageError: a setting has an impossible value.
    """
    if config.getoption("ibmodels_promote_worse") and not config.getoption("ibmodels_promote"):
        raise pytest.UsageError("--promote-worse: goes with --promote, which promotes models; alone it does nothing")
    if config.getoption("ibmodels_sandbox_portal") and importlib.util.find_spec("jinja2") is None:
        raise pytest.UsageError(
            f"{spelled(config, 'sandbox-portal')}: needs packages that are not installed: "
            "run pip install 'pytest-ibmodels[portal]'"
        )
    for name, (default, _) in INI_VALUES.items():
        value: object = config.getini(name)
        if is_number(name):
            positive_number(config, name)
        elif not isinstance(value, str) or (default and not value.strip()):
            what = _KINDS.get(name, "a path")
            raise pytest.UsageError(f"{name} = {value!r}: should be {what}, as a text")
    names: list[object] = list(file_names(config))
    if not names or not all(isinstance(name, str) and name for name in names):
        raise pytest.UsageError(f"ibmodels_files = {names!r}: should be names of files, as a list of texts")


def positive_number(config: pytest.Config, name: str) -> float:
    """Return a setting that is a number, such as seconds.

    Raises:
        pytest.UsageError: the value is not a positive number.
    """
    given: Any = config.getini(name)
    try:
        value = float(given)
    except (TypeError, ValueError):
        value = 0.0
    if not 0 < value < float("inf"):
        raise pytest.UsageError(f"{name} = {given!r}: should be {_number_in_words(name)}")
    return value
