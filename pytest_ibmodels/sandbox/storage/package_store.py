"""Published packages in the database of a store."""

from sqlalchemy import ColumnElement, delete, insert, select, update

from pytest_ibmodels.sandbox.storage.tables import PackageRow, row_of
from pytest_ibmodels.sandbox.storage.transactions import Database


class PackageStore:
    """Published packages of a tenant. Methods raise :class:`StoreError` if the database cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[PackageRow]:
        """All published packages, in no particular order."""
        with self._database.statement() as connection:
            return [PackageRow(**row) for row in connection.execute(select(PackageRow)).mappings()]

    def get(self, name: str, version: str) -> PackageRow | None:
        with self._database.statement() as connection:
            row = connection.execute(select(PackageRow).where(*_named(name, version))).mappings().first()
        return None if row is None else PackageRow(**row)

    def add(self, row: PackageRow) -> bool:
        """Add a version; return False if it is published already."""
        return self._database.add(insert(PackageRow).values(row_of(row)))

    def mark_installed(self, name: str, version: str) -> None:
        with self._database.writing() as connection:
            connection.execute(update(PackageRow).where(*_named(name, version)).values(installed=True))

    def remove(self, name: str, version: str) -> None:
        with self._database.writing() as connection:
            connection.execute(delete(PackageRow).where(*_named(name, version)))


def _named(name: str, version: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return PackageRow.name == name, PackageRow.version == version
