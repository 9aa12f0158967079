"""Opening of the store that a database's kind needs."""

import uuid

from sqlalchemy import URL

from pytest_ibmodels.sandbox.storage.data_folder import DataFolder
from pytest_ibmodels.sandbox.storage.job_store import Store
from pytest_ibmodels.sandbox.storage.local_store import LocalStore
from pytest_ibmodels.sandbox.storage.shared_store import SharedStore
from pytest_ibmodels.sandbox.storage.transactions import Database


def open_store(url: str | URL, owner: str | None = None, folder: DataFolder | None = None) -> Store:
    """Open the store of a tenant.

    Args:
        url: SQLAlchemy URL of its database.
        owner: Id of this server. None makes one.
        folder: The server's data folder, which all servers of a database share. None checks nothing.

    Raises:
        StartError: the database cannot be opened, or others use it or the data folder in another way.
        StoreError: the database cannot be read.
    """
    database = Database(url)
    owner = owner or uuid.uuid4().hex
    try:
        return SharedStore(database, owner, folder) if database.is_shared else LocalStore(database, owner)
    except BaseException:
        database.close()
        raise
