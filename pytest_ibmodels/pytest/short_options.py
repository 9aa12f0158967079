"""Short names of options (``--env`` for ``--ibmodels-env``), added only if no other plugin has them.

A ``conftest.py`` adds its options after every plugin, and argparse ends pytest at the first duplicate. So the plugin
adds long names at once, and short names after the initial ``conftest.py`` files, if the command line uses them.

pytest determines its root folder before it loads plugins. It then takes a separate value (``--package DIR``) for a test
path, which changes the root folder if DIR exists; ``--package=DIR`` does not.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from itertools import pairwise
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from pytest_ibmodels.pytest import options
from pytest_ibmodels.pytest.keys import SHORT_OPTIONS
from pytest_ibmodels.pytest.option_table import GROUP, OPTIONS, destination

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

NAME = "ibmodels-short-options"
_ADDOPTS = "PYTEST_ADDOPTS"


class ShortOptions:
    """Plugin that holds pytest's parser until the command line is parsed."""

    def __init__(self, parser: pytest.Parser) -> None:
        self._parser = parser
        self._added: frozenset[str] | None = None

    def add(self, args: Sequence[str]) -> None:
        """Add the short names that the command line needs."""
        self._added = add_short_options(self._parser, args)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_load_initial_conftests(
        self, early_config: pytest.Config, args: list[str]
    ) -> Generator[None, object, object]:
        options.accept_types(early_config, self._parser)
        _drop_values(early_config, args)
        result = yield
        if self._added is None:
            self.add(args)
        early_config.stash[SHORT_OPTIONS] = self._added or frozenset()
        again = _joined_values(early_config)
        if again is not None and self._parser.parse_known_and_unknown_args(args)[1]:
            # In a wrong root folder, pytest may miss the conftest.py that defines these options, and reject them.
            raise SystemExit(_run(early_config, again))
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int | None:
        again = _joined_values(config)
        return None if again is None else int(_run(config, again))

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Do the work of the hook above if a ``conftest.py`` loaded the plugin, after that hook."""
        if SHORT_OPTIONS not in config.stash:
            options.accept_types(config, self._parser)
            config.stash[SHORT_OPTIONS] = self._added or frozenset()


def add_short_options(parser: pytest.Parser, args: Sequence[str]) -> frozenset[str]:
    """Add every free ``--NAME`` if the command line uses one of them.

    Otherwise all names stay free, for a ``conftest.py`` that pytest finds only while it collects.

    Args:
        parser: pytest's parser.
        args: the command line.

    Returns:
        The names that were added.
    """
    names = [name for name, _ in OPTIONS]
    given = {argument.partition("=")[0] for argument in args}
    if given & {"-h", "--help"} or any(argument.startswith("@") for argument in args):  # all, or a file of arguments
        return frozenset(name for name in names if _add_short_option(parser, name))
    mine = {name for name in names if f"--{name}" in given and _add_short_option(parser, name)}
    return frozenset(mine | {name for name in names if mine and name not in mine and _add_short_option(parser, name)})


def _add_short_option(parser: pytest.Parser, name: str) -> bool:
    """Add one short name; return False if another plugin has it."""
    arguments = {**dict(OPTIONS)[name], "help": f"the same as --ibmodels-{name}"}
    try:
        parser.getgroup(*GROUP).addoption(f"--{name}", dest=destination(name), **arguments)
    except (ValueError, argparse.ArgumentError):  # raised by pytest and argparse for a duplicate
        return False
    return True


def register(parser: pytest.Parser, manager: pytest.PytestPluginManager) -> None:
    """Register the plugin that adds the short names."""
    short = ShortOptions(parser)
    if any(isinstance(plugin, ModuleType) and _is_conftest(plugin) for plugin in manager.get_plugins()):
        short.add(sys.argv[1:])  # a conftest.py loads this plugin: the command line is parsed next
    manager.register(short, NAME)


def _is_conftest(module: ModuleType) -> bool:
    return os.path.basename(module.__file__ or "") == "conftest.py"  # noqa: PTH119 - it may be no valid path


def _drop_values(config: pytest.Config, args: Sequence[str]) -> None:
    """Remove values of short options from the test paths in which pytest looks for ``conftest.py`` files.

    An existing path stays: it may be a test path after another plugin's flag of that name.
    """
    paths: list[str] = config.known_args_namespace.file_or_dir
    for index in _values(args, short=True):
        if args[index] in paths and not (config.invocation_params.dir / args[index]).exists():
            paths.remove(args[index])


def _joined_values(config: pytest.Config) -> tuple[list[str], str] | None:
    """Return the command line and PYTEST_ADDOPTS with ``--package=DIR`` for ``--package DIR`` if DIR exists.

    Returns:
        None if nothing changes.
    """
    if hasattr(config, "workerinput"):
        return None
    given = [str(argument) for argument in config.invocation_params.args]
    from_variable = shlex.split(os.environ.get(_ADDOPTS, ""))
    mine = config.stash.get(SHORT_OPTIONS, frozenset())
    joined, joined_variable = (_joined(one, mine, config) for one in (given, from_variable))
    return None if (joined, joined_variable) == (given, from_variable) else (joined, shlex.join(joined_variable))


def _run(config: pytest.Config, again: tuple[list[str], str]) -> int | pytest.ExitCode:
    """Run pytest in place of the current run, which has done nothing yet."""
    args, addopts = again
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(_ADDOPTS, addopts)
        return pytest.main(args, config.invocation_params.plugins)


def _joined(args: Sequence[str], short: frozenset[str], config: pytest.Config) -> list[str]:
    joined = list(args)
    for index in reversed(list(_values(args))):
        is_mine = args[index - 1].startswith("--ibmodels-") or args[index - 1].removeprefix("--") in short
        if is_mine and (config.invocation_params.dir / args[index]).exists():
            joined[index - 1 : index + 1] = [f"{args[index - 1]}={args[index]}"]
    return joined


def _values(args: Sequence[str], *, short: bool = False) -> Iterator[int]:
    """Yield the indices of arguments that are values of this plugin's options."""
    names = {f"--{name}" for name, arguments in OPTIONS if "metavar" in arguments}
    if not short:
        names |= {f"--ibmodels-{name.removeprefix('--')}" for name in names}
    for index, (option, value) in enumerate(pairwise(args), start=1):
        if option in names and not value.startswith("-"):
            yield index
