"""Packages for tests of the marketplace."""

from __future__ import annotations

import json

APPLICATIONS = "system/global/fs/Instabase Drive/Applications"

CODE = """
import time

def where(job_metadata_client, file_client, path=None, **others):
    job_metadata_client.update_metadata({"started": True})
    while path is not None and not file_client.exists(path):
        time.sleep(0.02)
    from MODULE import helper
    return helper.WHERE
"""
"""A module of a package; MODULE is its name."""


def package(name: str, version: str, module: str = "shop") -> dict[str, str]:
    """Return the files of a package with one module."""
    return {
        "package.json": json.dumps({"name": name, "version": version, "solution_type": "pypkg"}),
        f"{module}/__init__.py": "",
        f"{module}/training.py": CODE.replace("MODULE", module),
        f"{module}/helper.py": f"WHERE = '{name} {version}'",
        "readme/index.md": "no module",
    }
