"""Pages of the marketplace: published packages, installing and unpublishing."""

from starlette.responses import Response

from pytest_ibmodels.sandbox.portal.forms import Done
from pytest_ibmodels.sandbox.portal.visits import NotHereError, Visit, page
from pytest_ibmodels.sandbox.services.marketplace import installed_folder
from pytest_ibmodels.sandbox.storage.paths import APPLICATIONS
from pytest_ibmodels.sandbox.storage.tables import PackageRow

PAGE_VERSIONS = 100
_LIST = "/portal/marketplace"
_VERSION = f"{_LIST}/{{name}}/{{version}}"


def package_list(visit: Visit) -> Response:
    """Show a page of the published versions."""
    return _list(visit)


def install(visit: Visit) -> Response:
    """Install a version."""
    name, version = visit.path("name"), visit.path("version")

    def action() -> Done:
        visit.tenant.marketplace.install(name, version, visit.who)
        return Done(f"{name} {version} is installed.", _LIST)

    return visit.act(action, lambda problem: _list(visit, 409, problem))


def ask_to_unpublish(visit: Visit) -> Response:
    """Ask once whether to unpublish a version."""
    return _ask_to_unpublish(visit, "")


def unpublish(visit: Visit) -> Response:
    """Unpublish a version."""
    name, version = visit.path("name"), visit.path("version")

    def action() -> Done:
        visit.tenant.marketplace.unpublish(name, version, visit.who)
        return Done(f"{name} {version} is unpublished.", _LIST)

    return visit.act(action, lambda problem: _ask_to_unpublish(visit, problem))


def _list(visit: Visit, status: int = 200, problem: str = "") -> Response:
    rows = visit.tenant.marketplace.versions()
    count = -(-len(rows) // PAGE_VERSIONS)
    asked = visit.query("page")
    number = min(max(int(asked), 1), max(count, 1)) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 1
    return visit.render(
        "marketplace.html",
        status,
        rows=rows[(number - 1) * PAGE_VERSIONS : number * PAGE_VERSIONS],
        number=number,
        pages_count=count,
        applications=str(APPLICATIONS),
        installed_folder=installed_folder,
        problem=problem,
    )


def _ask_to_unpublish(visit: Visit, problem: str) -> Response:
    row = _the_version(visit)
    return visit.render("unpublish.html", 409 if problem else 200, row=row, problem=problem)


def _the_version(visit: Visit) -> PackageRow:
    name, version = visit.path("name"), visit.path("version")
    row = visit.tenant.store.packages.get(name, version)
    if row is None:
        msg = f"{name[:100]!r} {version[:100]!r} is not published; it may be unpublished meanwhile"
        raise NotHereError(msg)
    return row


ROUTES = (
    page(_LIST, package_list),
    page(f"{_VERSION}/install", install, method="POST"),
    page(f"{_VERSION}/unpublish", ask_to_unpublish),
    page(f"{_VERSION}/unpublish", unpublish, method="POST"),
)
