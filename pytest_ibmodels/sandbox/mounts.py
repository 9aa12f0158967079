"""Read-only folders shown inside the drive: a local folder, or a built-in sample."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pytest_ibmodels.sandbox.errors import SandboxError, UsageError
from pytest_ibmodels.sandbox.paths import APPLICATIONS, ROOT_DEPTH, DrivePath
from pytest_ibmodels.sandbox.samples import SAMPLES, sample_folder

SAMPLE_PREFIX = "sample:"


@dataclass(frozen=True)
class Mount:
    """``source`` is an absolute folder, or ``sample:NAME``, generated below ``samples`` when first looked at."""

    at: DrivePath
    source: str
    samples: Path

    @classmethod
    def parse(cls, text: str, samples: Path) -> Self:
        """Read ``DRIVE_FOLDER=SOURCE``.

        Raises:
            UsageError: for a mount that cannot be shown.
        """
        folder, separator, source = text.partition("=")
        if not separator or not source:
            msg = f"mount {text!r}: expected DRIVE_FOLDER=SOURCE, as in acme/samples/fs/Samples/x=/local/folder"
            raise UsageError(msg)
        try:
            at = DrivePath.parse(folder)
        except SandboxError as error:
            msg = f"mount {text!r}: {error}"
            raise UsageError(msg) from None
        if len(at.parts) <= ROOT_DEPTH:
            msg = f"mount {text!r}: {folder!r} names no folder in a drive; expected OWNER/REPO/fs/DRIVE/FOLDER"
            raise UsageError(msg)
        if source.startswith(SAMPLE_PREFIX):
            if source.removeprefix(SAMPLE_PREFIX) not in SAMPLES:
                msg = f"mount {text!r}: there is no built-in sample of that name; there are: {', '.join(SAMPLES)}"
                raise UsageError(msg)
            return cls(at, source, samples)
        local = Path(source).expanduser().resolve()
        if not local.is_dir():
            msg = f"mount {text!r}: {source!r} is not a folder on this machine"
            raise UsageError(msg)
        return cls(at, str(local), samples)

    def folder(self) -> Path:
        """The local folder, with all links resolved."""
        if self.source.startswith(SAMPLE_PREFIX):
            return sample_folder(self.source.removeprefix(SAMPLE_PREFIX), self.samples).resolve()
        return Path(self.source)


def parse_mounts(texts: list[str], samples: Path) -> tuple[Mount, ...]:
    """Read all ``--mount`` values.

    Raises:
        UsageError: for a mount that cannot be shown, or that lies in another.
    """
    mounts: list[Mount] = []
    for text in texts:
        mount = Mount.parse(text, samples)
        if mount.at.starts_with(APPLICATIONS) or APPLICATIONS.starts_with(mount.at):
            msg = f"mount {text!r}: '{APPLICATIONS}' shows the marketplace; give the mount a folder elsewhere"
            raise UsageError(msg)
        for other in mounts:
            if mount.at.starts_with(other.at) or other.at.starts_with(mount.at):
                msg = f"mount {text!r}: overlaps the mount at '{other.at}'; give each a folder of its own"
                raise UsageError(msg)
        mounts.append(mount)
    return tuple(mounts)
