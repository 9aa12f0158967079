"""Page of settings: limits, queue, machines of a cluster, disk, software, and the token's name."""

import importlib.util
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from starlette.responses import Response

from pytest_ibmodels.sandbox.portal.visits import Visit, page
from pytest_ibmodels.sandbox.settings import Settings
from pytest_ibmodels.sandbox.storage.mounts import SAMPLE_PREFIX, Mount
from pytest_ibmodels.sandbox.storage.paths import APPLICATIONS
from pytest_ibmodels.sandbox.storage.usage import disk_of, used_below

_COUNT_SECONDS = 0.2
"""Time to count the files of each kind."""
_DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_PARTS = (
    ("torch", "ibformers: training and serving with transformers", ("torch", "transformers", "accelerate")),
    ("postgres", "rows of tables in PostgreSQL", ("psycopg",)),
    ("iris", "rows of tables in InterSystems IRIS", ("sqlalchemy_iris",)),
)


@dataclass(frozen=True)
class Part:
    """An extra of the package.

    Attributes:
        extra: Its name.
        purpose: What it is for.
        missing: Whether one of its packages is not installed.
    """

    extra: str
    purpose: str
    missing: bool


@dataclass(frozen=True)
class ShownMount:
    """A read-only folder of the drive, and what it shows."""

    at: str
    of: str


def settings_page(visit: Visit) -> Response:
    """Show the settings."""
    tenant = visit.tenant
    settings, unfinished = tenant.settings, tenant.job_listing.unfinished()
    dialect = tenant.store.database.engine.dialect.name
    parts, status = _parts(), tenant.server.collect()
    return visit.render(
        "settings.html",
        settings=settings,
        running=unfinished.running,
        queued=unfinished.queued,
        disk=disk_of(settings.data),
        usage=list(_usage(settings).items()),
        version=_version(),
        python=platform.python_version(),
        database=_DATABASES.get(dialect, dialect),
        nodes=[] if status.executor == "local" else status.nodes,
        parts=parts,
        missing=[part.extra for part in parts if part.missing],
        mounts=[_shown(mount) for mount in tenant.drive.mounts],
    )


def _usage(settings: Settings) -> dict[str, Any]:
    kinds = {
        "Drive": settings.drive_root,
        "Jobs and logs": settings.jobs_root,
        "Packages": settings.applications_root,
        "Tuned models": settings.models_root,
        "Environments": settings.environments_root,
    }
    return used_below(kinds, _COUNT_SECONDS)


def _parts() -> tuple[Part, ...]:
    return tuple(Part(extra, purpose, not all(map(_is_there, names))) for extra, purpose, names in _PARTS)


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _version() -> str:
    try:
        return version("pytest-ibmodels")
    except PackageNotFoundError:
        return "not installed as a package"


def _shown(mount: Mount) -> ShownMount:
    # The folder of a mount is a path of the server, which is no concern of a tenant.
    if mount.source.startswith(SAMPLE_PREFIX):
        return ShownMount(str(mount.at), f"the sample {mount.source.removeprefix(SAMPLE_PREFIX)}")
    packages = mount.at == APPLICATIONS
    return ShownMount(str(mount.at), "packages of the marketplace" if packages else "a folder of the server")


ROUTES = (page("/portal/settings", settings_page),)
