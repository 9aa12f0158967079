"""Registered models in the database of a store."""

import threading
import time
from typing import Any

from sqlalchemy import bindparam, delete, insert, select

from pytest_ibmodels.sandbox.storage.tables import RegisteredModel, row_of
from pytest_ibmodels.sandbox.storage.transactions import Database, database_now, lock_servers

_FORGET = delete(RegisteredModel).where(RegisteredModel.name == bindparam("_name"))


class ModelStore:
    """Registered models of a tenant; kept in memory, too, unless other servers share the database.

    Methods raise :class:`StoreError` if the database cannot be used.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changing = threading.Lock()
        self._cached: dict[str, RegisteredModel] | None = None if database.is_shared else self._read()

    def register(self, name: str, *, model_path: str, program_folder: str) -> None:
        """Serve ``name`` from ``model_path``, and to Refiner programs in ``program_folder`` that name no model."""
        model = RegisteredModel(name, model_path, program_folder, time.time())
        row: dict[str, Any] = row_of(model)
        with self._changing, self._database.writing() as connection:
            if self._cached is None:
                # Another server may register the same name.
                lock_servers(connection)
                row["registered"] = database_now()
            connection.execute(_FORGET, {"_name": name})
            connection.execute(insert(RegisteredModel).values(row))
        # Only after the commit, and in one step.
        if self._cached is not None:
            self._cached[name] = model

    def forget_below(self, path: str) -> list[str]:
        """Delete the models served from ``path`` or below it; return their names."""
        with self._changing:
            models = self._all()
            gone = [name for name, model in models.items() if f"{model.model_path}/".startswith(f"{path}/")]
            if gone:
                with self._database.writing() as connection:
                    connection.execute(_FORGET, [{"_name": name} for name in gone])
            for name in gone:
                del models[name]
        return gone

    def all(self) -> list[RegisteredModel]:
        """All models, by name."""
        return sorted(self._all().values(), key=lambda model: model.name)

    def get(self, name: str) -> RegisteredModel | None:
        return self._all().get(name)

    def of_folder(self, program_folder: str) -> RegisteredModel | None:
        """Newest model registered for the folder of a Refiner program; None if there is none."""
        with self._changing:
            found = [model for model in self._all().values() if model.program_folder == program_folder]
        return max(found, key=lambda model: model.registered, default=None)

    def _all(self) -> dict[str, RegisteredModel]:
        return self._read() if self._cached is None else self._cached

    def _read(self) -> dict[str, RegisteredModel]:
        with self._database.statement() as connection:
            models = [RegisteredModel(**row) for row in connection.execute(select(RegisteredModel)).mappings()]
        return {model.name: model for model in models}
