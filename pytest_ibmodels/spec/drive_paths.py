"""Paths on an environment's drives."""

from __future__ import annotations

from pytest_ibmodels.spec.messages import quoted

FORM = "OWNER/REPO/fs/DRIVE/…"


def drive_path(text: str) -> str:
    """The path without its outer slashes.

    Raises:
        ValueError: It is not of the form `OWNER/REPO/fs/DRIVE/…`; the message goes on after the key's name.
    """
    path = text.removeprefix("/").removesuffix("/")
    parts = path.split("/")
    if len(parts) < 4 or parts[2] != "fs" or "" in parts:
        raise ValueError(f"has to be a drive path, {FORM}, but is {quoted(text)}")
    dots = next((part for part in parts if part in {".", ".."}), None)
    if dots is not None:
        raise ValueError(f"has to be a whole drive path, but {quoted(text)} has `{dots}` in it")
    if not path.isprintable():
        raise ValueError(f"has to be a drive path, but {quoted(text)} has a control character in it")
    return path


def project_path(text: str) -> str:
    """The drive path of an `.ibannotator` file, without its outer slashes.

    Raises:
        ValueError: It is not of the form `OWNER/REPO/fs/DRIVE/…/NAME.ibannotator`; the message goes on after the
            key's name.
    """
    path = drive_path(text)
    if not path.endswith(".ibannotator") or path.count("/") < 4 or path.endswith("/.ibannotator"):
        raise ValueError(
            f"has to be the drive path of an Annotator project, {FORM}/NAME.ibannotator, but is {quoted(text)}"
        )
    return path
