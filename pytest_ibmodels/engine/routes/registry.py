"""All routes. A new route is a file beside this one and an entry here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_ibmodels.engine.routes.annotator import AnnotatorRoute
from pytest_ibmodels.engine.routes.script import ScriptRoute
from pytest_ibmodels.engine.routes.table import TableRoute

if TYPE_CHECKING:
    from pytest_ibmodels.engine.routes.base import Route
    from pytest_ibmodels.spec import ModelTest

ROUTES: tuple[type[Route], ...] = (AnnotatorRoute, TableRoute, ScriptRoute)


def route_for(test: ModelTest) -> type[Route]:
    """The route that trains a model test."""
    return next(route for route in ROUTES if route.is_for(test))
