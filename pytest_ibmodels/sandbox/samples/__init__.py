"""Built-in samples: small generated data sets, identical on every machine."""

import importlib
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

SAMPLES = {
    "drivers-licenses": "pytest_ibmodels.sandbox.samples.drivers_licenses",
    "reviews": "pytest_ibmodels.sandbox.samples.reviews",
}
"""Module of each sample, with ``VERSION``, to be raised when the content changes, and ``write(folder)``.

The module of a database has the name of its SQLite file in ``DATABASE``.
"""

DATABASES = ("reviews",)
"""Samples that are databases."""


def sample_folder(name: str, root: Path) -> Path:
    """Return the folder of a sample below ``root``; generate it if it is missing."""
    module = importlib.import_module(SAMPLES[name])
    folder = root / f"{name}-{module.VERSION}"
    if not folder.is_dir():
        # Another process may generate the same sample: the first rename wins.
        draft = root / f".{uuid.uuid4().hex}"
        module.write(draft)
        with suppress(OSError):
            draft.rename(folder)
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def sample_database(name: str, root: Path) -> str:
    """Return the URL of a sample database below ``root``; generate it if it is missing."""
    # Imported here, as worker processes import this module without needing SQLAlchemy.
    from sqlalchemy import URL

    file: str = importlib.import_module(SAMPLES[name]).DATABASE
    url = URL.create("sqlite", database=str(sample_folder(name, root) / file))
    return url.render_as_string(hide_password=False)
