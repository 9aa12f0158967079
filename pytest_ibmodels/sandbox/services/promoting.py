"""Changing the model in use, for the API and the portal, with an entry in the audit."""

import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.services.tenant import Tenant

ACTIONS: Mapping[str, str] = MappingProxyType({"override": "override", "rollback": "roll back"})
"""Operation of the pushed code → its name in the audit."""


def change_model(
    tenant: Tenant,
    who: str,
    operation: str,
    settings: dict[str, Any],
    request: dict[str, Any],
    script_packages: list[str],
    abandoned: threading.Event | None = None,
) -> dict[str, Any]:
    """Override or roll back the model in use, and record ``who`` did it.

    Returns:
        Answer of the pushed code: the version in use now, the one before, and a sentence.

    Raises:
        SandboxError: As :meth:`Tunings.answer`.
    """
    answer = tenant.tuning.answer(script_packages, operation, settings, request, abandoned)
    if not isinstance(answer, dict):
        msg = f"tuning: the pushed code answers {operation} with something other than the versions"
        raise SandboxError(msg)
    before, after = (str(answer[key])[:200] if answer.get(key) else None for key in ("previous", "in_use"))
    tenant.audit.record(who, ACTIONS[operation], f"model {settings['model_name']}", before=before, after=after)
    return answer
