"""The table route: ``run_train`` on the rows of a database table; the model is served by ``model-service/run``.

Source: Instabase protocol, "Training jobs", "Model service" and "Text classification".
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_ibmodels.engine.routes.base import DataFingerprint, RunContext, TrainingState
from pytest_ibmodels.engine.routes.served_text import ServedTextRoute, better_checks
from pytest_ibmodels.instabase.errors import ApiError
from pytest_ibmodels.spec.databases import without_password

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pydantic import SecretStr

    from pytest_ibmodels.spec import ModelTest, TableSpec
    from pytest_ibmodels.verdicts.checks import MetricCheck

_PROMOTE = "run_promote_table"
"""Name of the promoting function, in the module of the training function."""


class TableRoute(ServedTextRoute):
    """Trains on a database table."""

    name: ClassVar[str] = "table"

    @staticmethod
    def is_for(test: ModelTest) -> bool:
        return test.table is not None

    async def fingerprint(
        self,
        test: ModelTest,
        database: SecretStr | None,
        file_marker: Callable[[str], Awaitable[str]],  # noqa: ARG002 - of Route
    ) -> DataFingerprint:
        if database is None:
            return DataFingerprint(test.dataset)
        url = without_password(database.get_secret_value())
        return DataFingerprint(f"{test.dataset} of {hashlib.sha256(url.encode()).hexdigest()[:16]}")

    async def start_training(self, context: RunContext, test: ModelTest) -> str:
        table = _table(test)
        if context.database is None:
            raise ApiError("run_train", "this environment has no `database`")
        arguments: dict[str, Any] = {
            "hyperparams": test.config,
            "table": table.name,
            "columns": list(table.columns),
            "limit": table.limit,
            "p_of_train": table.p_of_train,
            "save_path": self.save_path(context, test),
            "model_name": self.model_name(context, test),
            "current_model": test.name,
            **table.side_column,
        }
        arguments["database"] = context.database.get_secret_value()
        return await self._train(context, context.package.table_function, test, arguments)

    def extra_checks(self, test: ModelTest, state: TrainingState) -> tuple[list[MetricCheck], list[str]]:
        return better_checks(_table(test), state)

    def field(self, test: ModelTest) -> str:
        return _table(test).columns[0]

    async def start_promotion(self, context: RunContext, test: ModelTest, *, force: bool) -> str:
        function = f"{context.package.table_function.rpartition('.')[0]}.{_PROMOTE}"
        return await self._promote(context, function, test, force=force)


def _table(test: ModelTest) -> TableSpec:
    assert test.table is not None  # noqa: S101 - see TableRoute.is_for
    return test.table
