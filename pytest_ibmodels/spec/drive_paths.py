"""Paths on the drives of an environment, as users write them into the YAML files."""

from __future__ import annotations

from pytest_ibmodels.spec.messages import quoted

FORM = "OWNER/REPO/fs/DRIVE/…"


def drive_path(text: str) -> str:
    """Check a drive path and strip its outer slashes.

    Raises:
        ValueError: Not of the form `OWNER/REPO/fs/DRIVE/…`. The message continues after the name of the key.
    """
    path = text.removeprefix("/").removesuffix("/")
    parts = path.split("/")
    if len(parts) < 4 or parts[2] != "fs" or "" in parts:
        raise ValueError(f"has to be a drive path, {FORM}, but is {quoted(text)}")
    dots = next((part for part in parts if part in {".", ".."}), None)
    if dots is not None:
        raise ValueError(f"has to be a full drive path, but {quoted(text)} contains `{dots}`")
    if not path.isprintable():
        raise ValueError(f"has to be a drive path, but {quoted(text)} contains a control character")
    return path


def annotator_project_path(text: str) -> str:
    """Check the drive path of an `.ibannotator` file and strip its outer slashes.

    Raises:
        ValueError: Not of the form `OWNER/REPO/fs/DRIVE/…/NAME.ibannotator`. The message continues after the name of
            the key.
    """
    path = drive_path(text)
    if not path.endswith(".ibannotator") or path.count("/") < 4 or path.endswith("/.ibannotator"):
        raise ValueError(
            f"has to be the drive path of an Annotator project, {FORM}/NAME.ibannotator, but is {quoted(text)}"
        )
    return path
