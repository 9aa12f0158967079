"""The embedded sandbox: a server process on a free loopback port that ends with this process."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pydantic import SecretStr

from pytest_ibmodels.engine.failures import EnvironmentUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

_MODULE = "pytest_ibmodels.sandbox"
_NEEDED = ("fastapi", "uvicorn", "sqlalchemy", "psutil", "faker")
_START_SECONDS = 60.0
_STOP_SECONDS = 2.0
# Variables that the server gets; it passes on fewer to jobs. Others of the user's shell may hold tokens.
_PASSED_VARIABLES = (
    *("PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
    *("XDG_CACHE_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
_PASSED_PREFIXES = ("LC_", "HF_", "TRANSFORMERS_", "TOKENIZERS_", "OMP_", "MKL_", "CUDA_", "PIP_")
_SECRET_WORDS = ("_TOKEN", "_SECRET", "_PASSWORD", "_KEY")


class EmbeddedSandbox:
    """One server process with its token and data folder, which is temporary unless ``data`` is given."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        url: str,
        token: SecretStr,
        scratch: Path,
        errors: IO[bytes],
        *,
        is_temporary: bool,
        portal: str = "",
    ) -> None:
        self.is_temporary = is_temporary
        self.url = url
        self.portal = portal
        self.token = token
        self._process = process
        self._scratch = scratch
        self._errors = errors

    @classmethod
    async def start(
        cls,
        *,
        mounts: Mapping[str, str],
        data: Path | None = None,
        code: Path | None = None,
        job_threads: int | None = None,
        portal: bool = False,
    ) -> EmbeddedSandbox:
        """Start a server and wait until it answers.

        Args:
            mounts: drive folder → local folder, or ``sample:NAME``.
            data: data folder; None for a temporary one.
            code: folder of the code that jobs will run; its training libraries, such as torch, are imported at once.
            job_threads: threads of torch in each training; None leaves them to the code.
            portal: whether ``portal`` has the address of the portal, with a one-time code to sign in.

        Raises:
            EnvironmentUnavailable: a package is missing, or the server did not start; the text says what to do.
        """
        _check_installed()
        try:
            scratch = Path(tempfile.mkdtemp(prefix="ibmodels-sandbox-"))
        except OSError as error:
            raise _start_failure(error) from None
        with contextlib.ExitStack() as undo:
            # The token file must not stay behind if the start fails.
            undo.callback(shutil.rmtree, scratch, ignore_errors=True)
            try:
                token = secrets.token_urlsafe(32)
                token_file = scratch / "token"
                token_file.touch(mode=0o600)
                token_file.write_text(token)
                errors = undo.enter_context(tempfile.TemporaryFile())
                process = await asyncio.create_subprocess_exec(
                    *_command(scratch, data or scratch / "data", token_file, mounts, code, job_threads, portal),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=errors,
                    env=_environment(),
                    cwd=scratch,
                    start_new_session=True,  # Ctrl-C goes to pytest alone, which then stops the server
                )
            except (OSError, ValueError) as error:
                raise _start_failure(error) from None
            try:
                announced = await _read_announcement(process, errors)
                # Removed once it was read, since the code of jobs runs as the same user.
                token_file.unlink(missing_ok=True)
            except BaseException:
                await _stop_process(process)
                raise
            undo.pop_all()
        return cls(
            process,
            str(announced["url"]),
            SecretStr(token),
            scratch,
            errors,
            is_temporary=data is None,
            portal=str(announced.get("portal", "")),
        )

    @property
    def has_ended(self) -> bool:
        """Whether the server process has ended."""
        return self._process.returncode is not None

    def last_error_line(self) -> str:
        """The last line that the server wrote to stderr; empty if there is none."""
        return _last_line(self._errors)

    async def stop(self) -> None:
        """Stop the server and its child processes, and remove the temporary folder."""
        await _stop_process(self._process)
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._errors.close()


def _command(
    scratch: Path,
    data: Path,
    token_file: Path,
    mounts: Mapping[str, str],
    code: Path | None,
    job_threads: int | None,
    portal: bool,
) -> list[str]:
    command = [sys.executable, "-P", "-m", _MODULE, "serve", "--announce", "--exit-with-parent"]
    command += ["--data", str(data), "--token-file", str(token_file)]
    if code is not None:
        command += ["--preload-for", str(code)]
    if job_threads is not None:
        command += ["--job-threads", str(job_threads)]
    if portal:
        command += ["--portal-code"]
    # If this process is killed, the server cleans up.
    command += ["--remove-at-end", str(scratch)]
    for folder, source in mounts.items():
        # As JSON, since both may contain `=`.
        command += ["--mount", json.dumps([folder, source])]
    return command


def _start_failure(error: Exception) -> EnvironmentUnavailable:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    at = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
    return EnvironmentUnavailable(f"the sandbox did not start: {reason}{at}")


async def _stop_process(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            # Not `send_signal`, which polls the process and so takes its exit status from asyncio's child watcher.
            os.kill(process.pid, signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _read_announcement(process: asyncio.subprocess.Process, errors: IO[bytes]) -> dict[str, object]:
    assert process.stdout is not None  # noqa: S101 - for the type checker: stdout=PIPE
    line = b""
    with contextlib.suppress(TimeoutError):
        line = await asyncio.wait_for(process.stdout.readline(), _START_SECONDS)
    try:
        announced: dict[str, object] = json.loads(line)
        _ = announced["url"]
    except (ValueError, KeyError):
        await _stop_process(process)
        reason = _last_line(errors) or f"it did not say within {_START_SECONDS:.0f} s that it is ready"
        raise EnvironmentUnavailable(f"the sandbox did not start: {reason}") from None
    return announced


def _last_line(errors: IO[bytes]) -> str:
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def _check_installed() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise EnvironmentUnavailable(
            f"the sandbox needs packages that are not installed ({', '.join(missing)}): "
            "run pip install 'pytest-ibmodels[sandbox]'"
        )


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if (name in _PASSED_VARIABLES or name.startswith(_PASSED_PREFIXES))
        and not any(word in name for word in _SECRET_WORDS)
    }
