"""The script route: ``run_train`` on a function of the project's own; the model is served by ``model-service/run``.

Source: Instabase protocol, "Training jobs", "Model service" and "Code of your own".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pytest_ibmodels.engine.routes.base import DataFiles, DataFingerprint, RouteError, RunContext, TrainingState
from pytest_ibmodels.engine.routes.served_text import ServedTextRoute, better_checks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pydantic import SecretStr

    from pytest_ibmodels.spec import ModelTest, ScriptSpec
    from pytest_ibmodels.verdicts.checks import MetricCheck
    from pytest_ibmodels.verdicts.results import TrainingPredictions

_LIBRARY = "ibformers"
_PROMOTE = f"{_LIBRARY}.endpoints.run_promote_table"
"""Promotes a model that was trained with ``ibformers.sdk``, which is pushed with the code."""


class ScriptRoute(ServedTextRoute):
    """Trains with a function of the project's own, on any data."""

    name: ClassVar[str] = "script"

    def __init__(self) -> None:
        super().__init__()
        self._fields: tuple[str, ...] = ()

    @staticmethod
    def is_for(test: ModelTest) -> bool:
        return test.script is not None

    async def fingerprint(
        self,
        test: ModelTest,
        database: SecretStr | None,  # noqa: ARG002 - of Route
        file_marker: Callable[[str], Awaitable[str]],
    ) -> DataFingerprint:
        paths = [path.text if path.local is None else str(path.local) for path in _script(test).data]
        markers = [await file_marker(path) for path in paths]
        return DataFingerprint(test.dataset, " ".join(markers) if all(markers) else "")

    async def start_training(self, context: RunContext, test: ModelTest) -> str:
        script = _script(test)
        assert context.find_data is not None or not script.data  # noqa: S101 - contexts of sessions have it
        found = [await context.find_data(path) for path in script.data] if context.find_data is not None else []
        arguments = {
            "hyperparams": test.config,
            "data": [_argument(files) for files in found],
            "save_path": self.save_path(context, test),
            "model_name": self.model_name(context, test),
            "current_model": test.name,
        }
        return await self._train(context, script.function, test, arguments)

    def extra_checks(self, test: ModelTest, state: TrainingState) -> tuple[list[MetricCheck], list[str]]:
        return better_checks(_script(test), state)

    async def training_predictions(self, context: RunContext, test: ModelTest) -> TrainingPredictions:
        predictions = await super().training_predictions(context, test)
        self._fields = tuple(dict.fromkeys(name for fields in predictions.texts.values() for name in fields))
        return predictions

    def field(self, test: ModelTest) -> str:  # noqa: ARG002 - of ServedTextRoute
        if len(self._fields) != 1:
            raise RouteError(
                f"predictions.json has the fields {', '.join(self._fields) or '(none)'}, but a served model answers "
                "with one: write one field, or set `inference: false`"
            )
        return self._fields[0]

    async def start_promotion(self, context: RunContext, test: ModelTest, *, force: bool) -> str | None:
        package = context.package
        if _LIBRARY not in {package.module, *package.libraries}:
            return None
        return await self._promote(context, _PROMOTE, test, force=force)


def _script(test: ModelTest) -> ScriptSpec:
    assert test.script is not None  # noqa: S101 - see ScriptRoute.is_for
    return test.script


def _argument(files: DataFiles) -> dict[str, Any]:
    return {"path": files.path, "files": None if files.files is None else list(files.files)}
