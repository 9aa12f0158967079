"""Names of packages, as the client and the sandbox accept them."""

import re

PACKAGE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9 ._-]*[A-Za-z0-9._-])?")
MAX_PACKAGE_FILE_NAME = 200
"""Maximum number of characters of a package's file name."""


def package_file_name(name: str, version: str) -> str:
    """Name of the file in which a marketplace keeps a package."""
    return f"{name}-{version}.ibsolution"
