"""What a sandbox is started with."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from sqlalchemy import URL

from pytest_ibmodels.sandbox.storage.mounts import Mount

GIB = 2**30
MIB = 2**20
DAY = 86_400.0


@dataclass(frozen=True)
class Settings:
    """Sizes in bytes, times in seconds."""

    data: Path
    mounts: tuple[Mount, ...] = ()
    database: str | None = None
    """A SQLAlchemy URL; None is a SQLite file below ``data``. ``{name}`` in it stands for the holder of a token."""
    max_jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    job_memory: int = 8 * GIB
    job_time: float = 7200.0
    max_body: int = 1024 * MIB
    keep_jobs: float = 30 * DAY
    """For how long after its end a job's state and log are kept."""
    preload: bool = True
    """Whether to import torch and the like ahead of the first job, once for all jobs."""
    max_models: int = 4
    model_idle: float = 600.0
    model_time: float = 300.0
    """The longest that loading a model, or running it on one document, may take."""

    def of_holder(self, name: str) -> Self:
        """The same for the holder of one of several tokens: a data folder of its own, and a database of its own."""
        if not name:
            return self
        database = self.database and self.database.replace("{name}", name)
        return replace(self, data=self.data / "holders" / name, database=database)

    @property
    def drive_root(self) -> Path:
        return self.data / "drive"

    @property
    def scratch(self) -> Path:
        return self.data / "tmp"

    @property
    def jobs_root(self) -> Path:
        return self.data / "jobs"

    @property
    def applications_root(self) -> Path:
        """What the drive shows of the marketplace: published archives, and installed packages."""
        return self.data / "applications"

    @property
    def models_root(self) -> Path:
        """The folder of the models in use, as pushed code keeps them."""
        return self.data / "models"

    @property
    def samples_root(self) -> Path:
        return self.data / "samples"

    @property
    def database_url(self) -> str | URL:
        """A URL for SQLAlchemy. It is built from the path, as `?` and `%` in a path mean something else in a URL."""
        return self.database or URL.create("sqlite", database=str(self.data / "sandbox.sqlite"))

    @property
    def max_unzipped(self) -> int:
        return 4 * self.max_body
