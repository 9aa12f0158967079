"""Built-in samples: small generated data sets, the same on every machine."""

import importlib
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

SAMPLES = {
    "drivers-licenses": "pytest_ibmodels.sandbox.samples.drivers_licenses",
    "reviews": "pytest_ibmodels.sandbox.samples.reviews",
}
"""The module of each sample; it has ``VERSION``, raised when the content changes, and ``write(folder)``.

Those that are a database have the name of its SQLite file in ``DATABASE``.
"""

DATABASES = ("reviews",)
"""The samples that are databases."""


def sample_folder(name: str, root: Path) -> Path:
    """The folder of sample ``name`` below ``root``, generated if it is not there."""
    module = importlib.import_module(SAMPLES[name])
    folder = root / f"{name}-{module.VERSION}"
    if not folder.is_dir():
        # Generated beside and renamed: whoever else generates it at the same time makes the same.
        draft = root / f".{uuid.uuid4().hex}"
        module.write(draft)
        with suppress(OSError):
            draft.rename(folder)
        shutil.rmtree(draft, ignore_errors=True)
    return folder


def sample_database(name: str, root: Path) -> str:
    """The URL of the sample database ``name``, generated below ``root`` if it is not there."""
    # Imported here: a process of pushed code imports this module too, and does not need it.
    from sqlalchemy import URL

    file: str = importlib.import_module(SAMPLES[name]).DATABASE
    url = URL.create("sqlite", database=str(sample_folder(name, root) / file))
    return url.render_as_string(hide_password=False)
