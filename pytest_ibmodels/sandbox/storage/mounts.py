"""Read-only mounts in the drive: local folders and built-in samples."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pytest_ibmodels.sandbox.errors import SandboxError, UsageError
from pytest_ibmodels.sandbox.jsontext import loads
from pytest_ibmodels.sandbox.samples import SAMPLES, sample_folder
from pytest_ibmodels.sandbox.storage.paths import APPLICATIONS, ROOT_DEPTH, DrivePath

SAMPLE_PREFIX = "sample:"


@dataclass(frozen=True)
class Mount:
    """Mount of ``source``: an absolute folder, or ``sample:NAME``, generated below ``samples`` on first use."""

    at: DrivePath
    source: str
    samples: Path

    @classmethod
    def parse(cls, text: str, samples: Path) -> Self:
        """Parse ``DRIVE_FOLDER=SOURCE``, or both as a JSON list of two texts.

        Raises:
            UsageError: the mount is invalid.
        """
        folder, source = _split(text)
        try:
            at = DrivePath.parse(folder)
        except SandboxError as error:
            raise UsageError(f"mount {text!r}: {error}") from None
        if len(at.parts) <= ROOT_DEPTH:
            raise UsageError(f"mount {text!r}: {at} names no folder in a drive; expected OWNER/REPO/fs/DRIVE/FOLDER")
        if source.startswith(SAMPLE_PREFIX):
            if source.removeprefix(SAMPLE_PREFIX) not in SAMPLES:
                raise UsageError(f"mount {text!r}: unknown sample; there are: {', '.join(SAMPLES)}")
            return cls(at, source, samples)
        local = _local(source)
        if not _is_folder(local):
            raise UsageError(f"mount {text!r}: {source!r} is not a folder on this machine")
        return cls(at, str(local), samples)

    def folder(self) -> Path:
        """Local folder, with links resolved."""
        if self.source.startswith(SAMPLE_PREFIX):
            return sample_folder(self.source.removeprefix(SAMPLE_PREFIX), self.samples).resolve()
        return Path(self.source)


def _split(text: str) -> tuple[str, str]:
    """Folder and source, divided at the `=` that is followed by an existing source."""
    as_list = _json_list(text)
    if as_list is not None:
        return as_list
    pieces = text.split("=")
    divisions = [("=".join(pieces[:at]), "=".join(pieces[at:])) for at in range(1, len(pieces))]
    divisions = [(folder, source) for folder, source in divisions if source]
    if not divisions:
        raise UsageError(f"mount {text!r}: expected DRIVE_FOLDER=SOURCE, as in acme/samples/fs/Samples/x=/local/folder")
    possible = [division for division in divisions if _is_source(division[1])]
    if len(possible) > 1:
        listed = json.dumps(list(possible[0]))
        raise UsageError(f"mount {text!r}: more than one of its '=' may divide it; write it as JSON, such as {listed}")
    return (possible or divisions)[0]


def _json_list(text: str) -> tuple[str, str] | None:
    try:
        value = loads(text)
    except ValueError:
        return None
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(item, str) for item in value):
        return None
    return value[0], value[1]


def _is_source(source: str) -> bool:
    if source.startswith(SAMPLE_PREFIX):
        return source.removeprefix(SAMPLE_PREFIX) in SAMPLES
    return _is_folder(_local(source))


def _local(source: str) -> Path:
    try:
        return Path(source).expanduser().resolve()
    except (OSError, RuntimeError, ValueError):  # `~nobody`, or a link to itself
        return Path(source)


def _is_folder(local: Path) -> bool:
    try:
        return local.is_dir()
    except (OSError, ValueError):
        return False


def parse_mounts(texts: list[str], samples: Path) -> tuple[Mount, ...]:
    """Parse all ``--mount`` values.

    Raises:
        UsageError: a mount is invalid, or overlaps another.
    """
    mounts: list[Mount] = []
    for text in texts:
        mount = Mount.parse(text, samples)
        if mount.at.starts_with(APPLICATIONS) or APPLICATIONS.starts_with(mount.at):
            raise UsageError(
                f"mount {text!r}: '{APPLICATIONS}' shows the marketplace; give the mount a folder elsewhere"
            )
        for other in mounts:
            if mount.at.starts_with(other.at) or other.at.starts_with(mount.at):
                raise UsageError(f"mount {text!r}: overlaps the mount at '{other.at}'; give each a folder of its own")
        mounts.append(mount)
    return tuple(mounts)
