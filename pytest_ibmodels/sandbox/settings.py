"""Settings of a sandbox."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self

from sqlalchemy import URL

from pytest_ibmodels.sandbox.storage.mounts import Mount

GIB = 2**30
MIB = 2**20
DAY = 86_400.0


@dataclass(frozen=True)
class Settings:
    """Settings of a server, or of one tenant; sizes in bytes, times in seconds."""

    data: Path
    mounts: tuple[Mount, ...] = ()
    database: str | None = None
    """SQLAlchemy URL with ``{name}`` for the tenant. None means a SQLite file below ``data``."""
    executor: Literal["local", "ray"] = "local"
    """Where jobs run: on this machine, or on a cluster."""
    ray_address: str | None = None
    """Host and port of the cluster's head. None means the cluster of ``data``, or else one of this machine."""
    node_lease: float = 20.0
    """How long the jobs of a node run on when it has lost the cluster."""
    max_jobs: int = field(default_factory=lambda: os.cpu_count() or 1)
    job_memory: int = 8 * GIB
    job_time: float = 7200.0
    job_threads: int | None = None
    """Threads of torch in a training. None leaves them to the training's code."""
    max_body: int = 1024 * MIB
    keep_jobs: float = 30 * DAY
    """How long the state and log of an ended job are kept."""
    preload: bool = True
    """Whether torch and the like are imported once for all jobs and models that need them, not in each."""
    preload_for: Path | None = None
    """Folder of code: if it needs torch and the like, they are imported at the start. None waits for the first job."""
    find_links: tuple[str, ...] = ()
    """Folders and URLs with packages for requirements, beside the index that pip asks."""
    pip_variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables of pip (``PIP_...``), which only installing gets."""
    max_models: int = 4
    model_idle: float = 600.0
    model_time: float = 300.0
    """Timeout of loading a model, and of running it on one document."""

    def for_tenant(self, name: str) -> Self:
        """Settings of one of several tenants, with its own data folder and database; ``''`` is the only tenant."""
        if not name:
            return self
        database = self.database and self.database.replace("{name}", name)
        return replace(self, data=self.data / "holders" / name, database=database)

    @property
    def locks_root(self) -> Path:
        """Files that servers lock while they change the same paths."""
        return self.data / "locks"

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
        """Published archives and installed packages, which the drive shows."""
        return self.data / "applications"

    @property
    def models_root(self) -> Path:
        """Folder of the model registry of pushed code."""
        return self.data / "models"

    @property
    def code_root(self) -> Path:
        """Code of jobs as zips, by digest."""
        return self.data / "code"

    @property
    def code_cache(self) -> Path:
        """Folder where this machine unpacks code."""
        return self.data / "code" / "unpacked"

    @property
    def environments_root(self) -> Path:
        """Virtual environments of requirements."""
        return self.data / "environments"

    @property
    def samples_root(self) -> Path:
        return self.data / "samples"

    @property
    def database_url(self) -> str | URL:
        """SQLAlchemy URL; built from the path's parts, as `?` and `%` in a path have a meaning in a URL text."""
        return self.database or URL.create("sqlite", database=str(self.data / "sandbox.sqlite"))

    @property
    def max_unzipped(self) -> int:
        return 4 * self.max_body
