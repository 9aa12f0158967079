"""Page of the audit."""

from urllib.parse import urlencode

from starlette.responses import Response

from pytest_ibmodels.sandbox.portal.visits import Visit, page

PAGE_ENTRIES = 100
_JOB = "job "


def change_list(visit: Visit) -> Response:
    """Show a page of the changes, filtered by action."""
    audit, action = visit.tenant.audit, visit.query("action")
    found = audit.page(
        PAGE_ENTRIES,
        action=action or None,
        before=visit.query("before") or None,
        after=visit.query("after") or None,
    )
    return visit.render(
        "audit.html",
        found=found,
        job_ids={
            entry.id: entry.subject.removeprefix(_JOB) for entry in found.entries if entry.subject.startswith(_JOB)
        },
        action=action,
        actions=audit.actions(),
        older_url=_url(action, before=found.entries[-1].key) if found.entries else "",
        newer_url=_url(action, after=found.entries[0].key) if found.entries else "",
        newest_url=_url(action),
    )


def _url(action: str, **place: str) -> str:
    query = urlencode({**({"action": action} if action else {}), **place}, errors="replace")
    return f"/portal/audit?{query}" if query else "/portal/audit"


ROUTES = (page("/portal/audit", change_list),)
