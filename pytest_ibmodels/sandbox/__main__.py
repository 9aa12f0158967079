"""``python -m pytest_ibmodels.sandbox serve``: start a sandbox."""

import argparse
import os
import sys
from pathlib import Path

from pytest_ibmodels.sandbox.errors import DataInUseError, StartError, UsageError
from pytest_ibmodels.sandbox.storage.cleanup import RemovedAtEnd


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 0, 1 if the sandbox cannot start, 2 for wrong usage."""
    _open_standard_streams()
    options = _parser().parse_args(arguments)
    doomed = None
    try:
        doomed = _removed_at_end(options)
        _serve(options, doomed)
    except StartError as error:
        if doomed and isinstance(error, DataInUseError) and options.data.resolve().is_relative_to(doomed.folder):
            # It holds what the other sandbox works on.
            doomed.keep()
        print(f"the sandbox cannot start: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        print(
            f"the sandbox needs the package '{error.name}', which is not installed; "
            "pip install 'pytest-ibmodels[sandbox]' brings it",
            file=sys.stderr,
        )
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pytest_ibmodels.sandbox",
        description="An environment for model tests on this machine: stores files, trains, serves.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="start a sandbox and keep it running",
        description="Start a sandbox and keep it running until SIGTERM or Ctrl-C.",
        allow_abbrev=False,
    )
    shown = "show a local folder, or a built-in sample (sample:drivers-licenses), read-only in the drive; repeatable"
    now = "do not import torch and the like ahead of the first job: less memory, later first steps"
    cores = os.cpu_count() or 1
    tokens = "file that holds the only accepted token, or lines 'NAME TOKEN', each of whom has a root of its own"
    kept = "for how long an ended job's state and log are kept (default: %(default)s)"
    database = "SQLAlchemy URL (default: a SQLite file below --data); {name} in it stands for the holder of a token"
    removed = "remove this folder, the one that holds the token file, when the sandbox ends or cannot start"
    add = serve.add_argument
    add("--data", type=Path, required=True, metavar="DIR", help="folder that holds all its state; made if missing")
    add("--token-file", type=Path, required=True, metavar="FILE", help=tokens)
    add("--host", type=_host, default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=_port, default=0, help="port to listen on (default: a free one)")
    add("--mount", action="append", default=[], metavar="DRIVE_FOLDER=SOURCE", help=shown)
    add("--max-jobs", type=_positive_int, default=cores, metavar="N", help="trainings at once (default: %(default)s)")
    add("--job-memory", type=_positive, default=8, metavar="GIB", help="memory of a training (default: %(default)s)")
    add("--job-time", type=_positive, default=7200, metavar="SECONDS", help="time of a training (default: %(default)s)")
    add("--max-body", type=_positive, default=1024, metavar="MIB", help="largest request body (default: %(default)s)")
    add("--database", metavar="URL", help=database)
    add("--keep-jobs", type=_positive, default=30, metavar="DAYS", help=kept)
    add("--no-preload", action="store_true", help=now)
    add("--exit-with-parent", action="store_true", help="stop when standard input ends")
    add("--remove-at-end", type=Path, metavar="FOLDER", help=removed)
    add("--announce", action="store_true", help='print one line of JSON, {"url", "pid"}, when ready')
    return parser


def _serve(options: argparse.Namespace, doomed: RemovedAtEnd | None) -> None:
    # Imported here: a usage error, and every child process that imports this module, need none of it.
    from pytest_ibmodels.sandbox.execution.child import clean_environment
    from pytest_ibmodels.sandbox.http.app import create_app
    from pytest_ibmodels.sandbox.http.server import Server, listen
    from pytest_ibmodels.sandbox.http.server_log import set_up_logging
    from pytest_ibmodels.sandbox.http.tokens import read_tokens
    from pytest_ibmodels.sandbox.settings import DAY, GIB, MIB, Settings
    from pytest_ibmodels.sandbox.storage.mounts import parse_mounts

    data = options.data.expanduser().resolve()
    tokens = read_tokens(options.token_file)
    if len(tokens.names) > 1 and options.database and "{name}" not in options.database:
        msg = (
            "--database: with several tokens each holder needs a database of its own; "
            "write {name} where its name differs"
        )
        raise UsageError(msg)
    settings = Settings(
        data=data,
        mounts=parse_mounts(options.mount, data / "samples"),
        database=options.database,
        max_jobs=options.max_jobs,
        job_memory=int(options.job_memory * GIB),
        job_time=options.job_time,
        max_body=int(options.max_body * MIB),
        keep_jobs=options.keep_jobs * DAY,
        preload=not options.no_preload,
    )
    with listen(options.host, options.port) as listener:
        app = create_app(settings, tokens)
        set_up_logging(data / "server.log")
        # What this process does not have, none that it starts can inherit: not the environment, nor the command
        # line, which names the token file.
        clean_environment(os.environ)
        sys.argv = sys.argv[:1]
        sys.path[:] = [entry for entry in sys.path if _may_hold_packages(entry)]
        server = Server(
            app, listener, announce=options.announce, exit_with_parent=options.exit_with_parent, doomed=doomed
        )
        server.run_until_stopped()


def _removed_at_end(options: argparse.Namespace) -> RemovedAtEnd | None:
    if options.remove_at_end is None:
        return None
    folder: Path = options.remove_at_end.expanduser().resolve()
    # Unlike Path.home() this never raises.
    home = Path(os.path.expanduser("~"))  # noqa: PTH111
    # What is removed with all it holds should have been made for this.
    if options.token_file.resolve().parent != folder or home.is_relative_to(folder):
        msg = (
            f"--remove-at-end '{options.remove_at_end}' is refused, nothing was removed: expected the folder that "
            "holds the token file, made for this sandbox alone, not a home folder or one above it"
        )
        raise UsageError(msg)
    return RemovedAtEnd(folder)


def _may_hold_packages(entry: str) -> bool:
    """Not the working directory, where a folder ``datasets`` would hide a package, unless this package is there."""
    return bool(entry) and (Path(entry) != Path.cwd() or Path(entry) == Path(__file__).resolve().parents[2])


def _open_standard_streams() -> None:
    """Give standard streams that are closed to nobody, so that no file of the sandbox gets their numbers.

    What code of ours, or of a job, prints would otherwise go into that file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
        # The announcement tells apart whether there is somebody to read it: stdout stays None.
        if getattr(sys, name) is None and name == "stderr":
            sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for as long as the process lives


def _host(text: str) -> str:
    if not text.strip():
        msg = "it is empty, which would mean all addresses of this machine; give one, such as 127.0.0.1"
        raise argparse.ArgumentTypeError(msg)
    return text.strip()


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65535:
        msg = f"{text} is no port; expected 0 to 65535"
        raise argparse.ArgumentTypeError(msg)
    return value


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        msg = f"{text} is not above 0"
        raise argparse.ArgumentTypeError(msg)
    return value


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        msg = f"{text} is not at least 1"
        raise argparse.ArgumentTypeError(msg)
    return value


if __name__ == "__main__":
    sys.exit(main())
