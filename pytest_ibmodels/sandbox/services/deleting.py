"""Deleting files and folders of the drive, for the API and the portal."""

from pytest_ibmodels.sandbox.services.tenant import Tenant
from pytest_ibmodels.sandbox.storage.paths import DrivePath


def delete_node(tenant: Tenant, path: DrivePath, *, force: bool) -> None:
    """Delete a file or folder, and unload the models served from it.

    Raises:
        SandboxError: As :meth:`Drive.delete`.
    """
    tenant.drive.delete(path, force=force)
    for name in tenant.store.models.forget_below(str(path)):
        tenant.models.unload(name)
