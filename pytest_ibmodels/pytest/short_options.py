"""The short names of options, given only where nobody else has them; and values of options that are no test paths.

A ``conftest.py`` adds its options after every plugin has added its own, and argparse ends pytest at the first name that
is added twice. So the plugin adds names of its own at once (``--ibmodels-env``), and short ones (``--env``) after the
initial ``conftest.py`` files, if the command line uses them: who has such a name already keeps it.

pytest looks for its root folder before it knows of any plugin. Then a value behind a blank (``--package DIR``) is a
test path to it, and moves the root folder if DIR is there; written as ``--package=DIR`` it does not.
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

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

NAME = "ibmodels-short-options"
_ADDOPTS = "PYTEST_ADDOPTS"


class ShortOptions:
    """Part of the plugin that has pytest's parser, until the command line is read."""

    def __init__(self, parser: pytest.Parser) -> None:
        self._parser = parser
        self._added: frozenset[str] | None = None

    def add(self, args: Sequence[str]) -> None:
        """Add the short names, as the command line needs them."""
        self._added = add_short_options(self._parser, args)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_load_initial_conftests(
        self, early_config: pytest.Config, args: list[str]
    ) -> Generator[None, object, object]:
        options.settle_types(early_config, self._parser)
        _leave_out_values(early_config, args)
        result = yield
        if self._added is None:
            self.add(args)
        early_config.stash[options.SHORT] = self._added or frozenset()
        again = _joined_values(early_config)
        if again is not None and self._parser.parse_known_and_unknown_args(args)[1]:
            # In a wrong root folder, pytest may miss the conftest.py that has these options, and would refuse them.
            raise SystemExit(_run(early_config, again))
        return result

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int | None:
        again = _joined_values(config)
        return None if again is None else int(_run(config, again))

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Where a ``conftest.py`` named the plugin, it was too late for the hook above."""
        if options.SHORT not in config.stash:
            options.settle_types(config, self._parser)
            config.stash[options.SHORT] = self._added or frozenset()


def add_short_options(parser: pytest.Parser, args: Sequence[str]) -> frozenset[str]:
    """Add ``--NAME`` for each ``--ibmodels-NAME``, if one of them is used, and no one else has it.

    A ``conftest.py`` that pytest only finds while it collects may add an option, too: where nothing of this plugin is
    used, no name is taken from it.

    Args:
        parser: that of pytest.
        args: the command line.

    Returns:
        The names that were added.
    """
    names = [name for name, _ in options.OPTIONS]
    given = {argument.partition("=")[0] for argument in args}
    if given & {"-h", "--help"} or any(argument.startswith("@") for argument in args):  # all, or a file of arguments
        return frozenset(name for name in names if _add_short_option(parser, name))
    mine = {name for name in names if f"--{name}" in given and _add_short_option(parser, name)}
    return frozenset(mine | {name for name in names if mine and name not in mine and _add_short_option(parser, name)})


def _add_short_option(parser: pytest.Parser, name: str) -> bool:
    """Whether the name was free."""
    told = {**dict(options.OPTIONS)[name], "help": f"the same as --ibmodels-{name}"}
    try:
        parser.getgroup(*options.GROUP).addoption(f"--{name}", dest=options.destination(name), **told)
    except (ValueError, argparse.ArgumentError):  # how pytest and argparse say that it is taken
        return False
    return True


def register(parser: pytest.Parser, manager: pytest.PytestPluginManager) -> None:
    """Have the short names added when it is time."""
    short = ShortOptions(parser)
    if any(isinstance(plugin, ModuleType) and _is_conftest(plugin) for plugin in manager.get_plugins()):
        short.add(sys.argv[1:])  # a conftest.py names this plugin: the command line is read next
    manager.register(short, NAME)


def _is_conftest(module: ModuleType) -> bool:
    return os.path.basename(module.__file__ or "") == "conftest.py"  # noqa: PTH119 - any text will do


def _leave_out_values(config: pytest.Config, args: Sequence[str]) -> None:
    """Take values of short options out of what pytest holds for test paths, when it looks for ``conftest.py`` files.

    One that is there as a path may be a path behind somebody's flag of that name, and stays.
    """
    paths: list[str] = config.known_args_namespace.file_or_dir
    for index in _values(args, short=True):
        if args[index] in paths and not (config.invocation_params.dir / args[index]).exists():
            paths.remove(args[index])


def _joined_values(config: pytest.Config) -> tuple[list[str], str] | None:
    """The command line and PYTEST_ADDOPTS with ``--package=DIR`` for ``--package DIR`` where DIR is there.

    None if that is nowhere so.
    """
    if hasattr(config, "workerinput"):
        return None
    given = [str(argument) for argument in config.invocation_params.args]
    from_variable = shlex.split(os.environ.get(_ADDOPTS, ""))
    mine = config.stash.get(options.SHORT, frozenset())
    joined, joined_variable = (_joined(one, mine, config) for one in (given, from_variable))
    return None if (joined, joined_variable) == (given, from_variable) else (joined, shlex.join(joined_variable))


def _run(config: pytest.Config, again: tuple[list[str], str]) -> int | pytest.ExitCode:
    """Run pytest in place of the run that begins with this configuration; it has done nothing yet."""
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
    """Where values of this plugin's options stand that are arguments of their own."""
    names = {f"--{name}" for name, told in options.OPTIONS if "metavar" in told}
    if not short:
        names |= {f"--ibmodels-{name.removeprefix('--')}" for name in names}
    for index, (option, value) in enumerate(pairwise(args), start=1):
        if option in names and not value.startswith("-"):
            yield index
