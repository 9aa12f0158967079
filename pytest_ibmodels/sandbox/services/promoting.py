"""Changing which version of a model is in use or waits, for the API and the portal, with an entry in the audit."""

import threading
from collections.abc import Mapping
from typing import Any

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.services.tenant import Tenant

_PROMOTED = ("previous", "in_use")
_CHANGES: Mapping[str, tuple[str, tuple[str, str]]] = {
    "override": ("override", _PROMOTED),
    "rollback": ("roll back", _PROMOTED),
    "discard": ("discard", ("discarded", "")),
}
"""Operation of the pushed code → its name in the audit, and the answer's keys of the versions before and after."""


def change_model(
    tenant: Tenant,
    who: str,
    operation: str,
    settings: dict[str, Any],
    request: dict[str, Any],
    script_packages: list[str],
    abandoned: threading.Event | None = None,
) -> dict[str, Any]:
    """Override, roll back or discard, and record ``who`` did it.

    Returns:
        Answer of the pushed code: versions, and a sentence.

    Raises:
        SandboxError: As :meth:`Tunings.answer`.
    """
    answer = tenant.tuning.answer(script_packages, operation, settings, request, abandoned)
    if not isinstance(answer, dict):
        msg = f"tuning: the pushed code answers {operation} with something other than versions"
        raise SandboxError(msg)
    action, keys = _CHANGES[operation]
    before, after = (str(answer[key])[:200] if answer.get(key) else None for key in keys)
    tenant.audit.record(who, action, f"model {settings['model_name']}", before=before, after=after)
    return answer
