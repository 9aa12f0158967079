"""Command line of the sandbox: ``serve``, and ``node`` for the machines of a cluster."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from pytest_ibmodels.sandbox.errors import DataInUseError, StartError, UsageError
from pytest_ibmodels.sandbox.storage.cleanup import CleanupDir

if TYPE_CHECKING:
    from pytest_ibmodels.sandbox.settings import Settings

app = typer.Typer(
    help="An environment for model tests on this machine: stores files, trains, serves.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0, 1 if the sandbox cannot start, 2 for wrong usage.
    """
    _open_standard_streams()
    try:
        app(arguments, prog_name="python -m pytest_ibmodels.sandbox")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@app.callback()
def _program() -> None:
    pass  # Without a callback, Typer would run the only command without its name.


def _host(value: str) -> str:
    if not value.strip():
        raise typer.BadParameter("it is empty, which would mean all addresses of this machine; give one, as 127.0.0.1")
    return value.strip()


def _port(value: int) -> int:
    if not 0 <= value <= 65535:
        raise typer.BadParameter(f"{value} is no port; expected 0 to 65535")
    return value


def _positive(value: float) -> float:
    if not 0 < value < float("inf"):
        raise typer.BadParameter(f"{value:g} is not above 0")
    return value


def _positive_int(value: int) -> int:
    if value < 1:
        raise typer.BadParameter(f"{value} is not at least 1")
    return value


def _threads(value: int | None) -> int | None:
    return None if value is None else _positive_int(value)


def _address(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r".+:\d+", value):
        raise typer.BadParameter(f"{value!r} is no address; expected HOST:PORT, as 10.0.0.1:6379")
    return value


def _count(value: int | None) -> int | None:
    if value is not None and value < 0:
        raise typer.BadParameter(f"{value} is not at least 0")
    return value


class Kind(StrEnum):
    """Kinds of executors."""

    LOCAL = "local"
    RAY = "ray"


_TOKENS = "File with the only accepted token, or lines 'NAME TOKEN', one per tenant."
_MOUNT = "Show a local folder, or a built-in sample (sample:drivers-licenses), read-only in the drive; repeatable."
_DATABASE = "SQLAlchemy URL (default: a SQLite file below --data); {name} in it stands for the tenant."
_KEPT = "How long the state and log of an ended job are kept."
_THREADS = "Threads of torch in a training (default: as many as its code wants)."
_PRELOAD_FOR = "Folder of code that jobs will run: if it imports torch and the like, import them at the start."
_NO_PRELOAD = "Import torch and the like in each job that needs them, not once for all: less memory, later first steps."
_FIND_LINKS = "Folder or URL with packages for the requirements of pushed code, beside pip's index; repeatable."
_EXECUTOR = "Where jobs run: on this machine, or on the nodes of a Ray cluster."
_RAY_ADDRESS = "Head of the cluster (default: the one that --data knows, or else a cluster of this machine alone)."
_SHARED = "Folder that all machines of the cluster share, at the same path."
_REMOVED = "Remove this folder, which holds the token file, when the sandbox ends or cannot start."
_READY = 'Print one line of JSON, {"url", "pid"}, when ready.'
_CODE = "Print the portal's address with a one-time code to sign in, good for ten minutes; for a single token."
_CORES = os.cpu_count() or 1


@app.command()
def serve(
    data: Annotated[Path, Option(metavar="DIR", help="Folder that holds all its state; made if missing.")],
    token_file: Annotated[Path, Option(metavar="FILE", help=_TOKENS)],
    host: Annotated[str, Option(metavar="HOST", callback=_host, help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Option(metavar="PORT", callback=_port, help="Port to listen on; 0 is a free one.")] = 0,
    mount: Annotated[list[str] | None, Option(metavar="DRIVE_FOLDER=SOURCE", help=_MOUNT)] = None,
    executor: Annotated[Kind, Option(metavar="KIND", help=_EXECUTOR)] = Kind.LOCAL,
    ray_address: Annotated[str | None, Option(metavar="HOST:PORT", callback=_address, help=_RAY_ADDRESS)] = None,
    max_jobs: Annotated[int, Option(metavar="N", callback=_positive_int, help="Trainings that run at once.")] = _CORES,
    job_memory: Annotated[float, Option(metavar="GIB", callback=_positive, help="Memory of a training.")] = 8,
    job_time: Annotated[float, Option(metavar="SECONDS", callback=_positive, help="Time of a training.")] = 7200,
    job_threads: Annotated[int | None, Option(metavar="N", callback=_threads, help=_THREADS)] = None,
    max_body: Annotated[float, Option(metavar="MIB", callback=_positive, help="Largest request body.")] = 1024,
    database: Annotated[str | None, Option(metavar="URL", help=_DATABASE)] = None,
    keep_jobs: Annotated[float, Option(metavar="DAYS", callback=_positive, help=_KEPT)] = 30,
    preload_for: Annotated[Path | None, Option(metavar="FOLDER", help=_PRELOAD_FOR)] = None,
    no_preload: Annotated[bool, Option("--no-preload", help=_NO_PRELOAD)] = False,
    find_links: Annotated[list[str] | None, Option(metavar="FOLDER_OR_URL", help=_FIND_LINKS)] = None,
    exit_with_parent: Annotated[bool, Option("--exit-with-parent", help="Stop when standard input ends.")] = False,
    remove_at_end: Annotated[Path | None, Option(metavar="FOLDER", help=_REMOVED)] = None,
    announce: Annotated[bool, Option("--announce", help=_READY)] = False,
    portal_code: Annotated[bool, Option("--portal-code", help=_CODE)] = False,
) -> None:
    """Start a sandbox and keep it running until SIGTERM or Ctrl-C."""
    with _start_errors(data, token_file, remove_at_end) as cleanup_dir:
        # Imported here: --help and wrong usage do without.
        from pytest_ibmodels.sandbox.settings import DAY, GIB, MIB, Settings
        from pytest_ibmodels.sandbox.storage.mounts import parse_mounts

        data = data.expanduser().resolve()
        settings = Settings(
            data=data,
            mounts=parse_mounts(mount or [], data / "samples"),
            database=database,
            executor=executor.value,
            ray_address=ray_address,
            max_jobs=max_jobs,
            job_memory=int(job_memory * GIB),
            job_time=job_time,
            job_threads=job_threads,
            max_body=int(max_body * MIB),
            keep_jobs=keep_jobs * DAY,
            preload=not no_preload,
            preload_for=preload_for and preload_for.expanduser().resolve(),
            find_links=tuple(_link(text) for text in find_links or []),
            pip_variables={name: value for name, value in os.environ.items() if name.startswith("PIP_")},
        )
        _run(settings, token_file, host, port, announce, exit_with_parent, cleanup_dir, portal_code)


@app.command()
def node(
    data: Annotated[Path, Option(metavar="DIR", help=_SHARED)],
    head: Annotated[bool, Option("--head", help="Start a cluster, which other machines then join.")] = False,
    address: Annotated[str | None, Option(metavar="IP", help="Address of this machine (default: found).")] = None,
    port: Annotated[int, Option(metavar="PORT", callback=_port, help="Port of the head; 0 is a free one.")] = 6379,
    cpus: Annotated[int | None, Option(metavar="N", callback=_count, help="Processors for jobs; 0: run none.")] = None,
    gpus: Annotated[int | None, Option(metavar="N", callback=_count, help="GPUs for jobs (default: all).")] = None,
    exit_with_parent: Annotated[bool, Option("--exit-with-parent", help="Stop when standard input ends.")] = False,
) -> None:
    """Make this machine a node of the cluster that runs a sandbox's jobs, until SIGTERM or Ctrl-C."""
    from pytest_ibmodels.sandbox.execution.ray_cluster.node import run_node

    try:
        run_node(
            data.expanduser().resolve(),
            head=head,
            address=address,
            port=port,
            cpus=cpus,
            gpus=gpus,
            exit_with_parent=exit_with_parent,
        )
    except StartError as error:
        typer.echo(f"the node cannot start: {error}", err=True)
        raise typer.Exit(error.exit_code) from None


def _link(text: str) -> str:
    folder = Path(text).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if "://" not in text:
        raise UsageError(f"--find-links '{text}': no such folder, and no URL")
    return text


def _run(
    settings: "Settings",
    token_file: Path,
    host: str,
    port: int,
    announce: bool,
    exit_with_parent: bool,
    cleanup_dir: CleanupDir | None,
    portal_code: bool,
) -> None:
    from pytest_ibmodels.sandbox.execution.child import clean_environment
    from pytest_ibmodels.sandbox.http.app import create_app
    from pytest_ibmodels.sandbox.http.server import Server, listen
    from pytest_ibmodels.sandbox.http.server_log import log_name, set_up_logging
    from pytest_ibmodels.sandbox.http.tokens import read_tokens
    from pytest_ibmodels.sandbox.portal.gate import add_portal, is_installed
    from pytest_ibmodels.sandbox.storage.databases import is_shared

    tokens = read_tokens(token_file)
    if len(tokens.names) > 1 and settings.database and "{name}" not in settings.database:
        raise UsageError(
            "--database: with several tokens each tenant needs a database of its own; "
            "write {name} in the part that names the database"
        )
    if portal_code and len(tokens.names) > 1:
        raise UsageError("--portal-code: a one-time code is for a single token, and this token file has several")
    if portal_code and not is_installed():
        raise StartError("--portal-code: the portal is not installed: run pip install 'pytest-ibmodels[portal]'")
    with listen(host, port) as listener:
        server_app = create_app(settings, tokens)
        sign_in_path = add_portal(server_app, tokens, with_code=portal_code)
        set_up_logging(settings.data / log_name(listener, is_shared(settings.database_url)))
        # Child processes inherit neither the environment nor the command line, which names the token file.
        clean_environment(os.environ)
        sys.argv = sys.argv[:1]
        sys.path[:] = [entry for entry in sys.path if _may_hold_packages(entry)]
        server = Server(
            server_app,
            listener,
            announce=announce,
            exit_with_parent=exit_with_parent,
            cleanup_dir=cleanup_dir,
            sign_in_path=sign_in_path,
        )
        server.run_until_stopped()


@contextmanager
def _start_errors(data: Path, token_file: Path, remove_at_end: Path | None) -> Iterator[CleanupDir | None]:
    """Print why the sandbox cannot start, and exit; yield the folder to remove at the end."""
    cleanup_dir = None
    try:
        cleanup_dir = None if remove_at_end is None else _cleanup_dir(remove_at_end, token_file)
        yield cleanup_dir
    except StartError as error:
        if cleanup_dir and isinstance(error, DataInUseError) and data.resolve().is_relative_to(cleanup_dir.folder):
            # The other sandbox's data is in it.
            cleanup_dir.keep()
        typer.echo(f"the sandbox cannot start: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except ModuleNotFoundError as error:
        typer.echo(
            f"the sandbox needs the package '{error.name}', which is not installed: "
            "run pip install 'pytest-ibmodels[sandbox]'",
            err=True,
        )
        raise typer.Exit(1) from None


def _cleanup_dir(folder: Path, token_file: Path) -> CleanupDir:
    resolved = folder.expanduser().resolve()
    # Unlike Path.home() this never raises.
    home = Path(os.path.expanduser("~"))  # noqa: PTH111
    # A folder that is removed with all it holds should have been made for this.
    if token_file.resolve().parent != resolved or home.is_relative_to(resolved):
        raise UsageError(
            f"--remove-at-end '{folder}' is refused, nothing was removed: expected the folder that "
            "holds the token file, made for this sandbox alone, not a home folder or one above it"
        )
    return CleanupDir(resolved)


def _may_hold_packages(entry: str) -> bool:
    # In the working directory a folder `datasets` would hide the package, unless this package itself is there.
    return bool(entry) and (Path(entry) != Path.cwd() or Path(entry) == Path(__file__).resolve().parents[2])


def _open_standard_streams() -> None:
    """Open /dev/null for every closed standard stream.

    Otherwise a file of the sandbox would get the stream's number, and whatever code prints would go into that file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
        # sys.stdout stays None: the announcement has to know that nobody reads it.
        if getattr(sys, name) is None and name == "stderr":
            sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - open until the process ends
