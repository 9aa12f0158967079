"""Pages of the drive: folders, and downloads of files."""

from bisect import bisect_right
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from starlette.responses import Response

from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.http.routers.content import RESPONSE_HEADER, file_answer
from pytest_ibmodels.sandbox.portal.visits import NotHereError, Visit, page
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.nodes import NodeInfo
from pytest_ibmodels.sandbox.storage.paths import ROOT_DEPTH, DrivePath

PAGE_ENTRIES = 100
ROOT = DrivePath(())
DRIVE_DEPTH = ROOT_DEPTH + 1
"""Number of parts of ``OWNER/REPO/fs/DRIVE``, the first folder that holds files."""


@dataclass(frozen=True)
class Entry:
    """An entry of a folder.

    Attributes:
        name: Name, or names down to the drive if each folder on the way holds only the next.
        can_delete: Whether a person can delete it.
    """

    name: str
    info: NodeInfo
    can_delete: bool


@dataclass(frozen=True)
class _Shown:
    """Names of a folder that a page shows, and the names before which its neighbours begin; None for no neighbour."""

    names: list[str]
    first: int
    count: int
    previous: str | None
    next: str | None
    last: str | None


def browse(visit: Visit) -> Response:
    """Show a page of a folder, filtered by a part of the name."""
    return folder_page(visit, path_of(visit))


def download(visit: Visit) -> Response:
    """Send a file, which a browser stores and never shows as a page."""
    path = path_of(visit)
    existing(visit.tenant.drive, path)
    response = file_answer(visit.tenant.drive, path, None, visit.request)
    if RESPONSE_HEADER in response.headers:
        del response.headers[RESPONSE_HEADER]
    response.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(path.name, safe='')}"
    return response


def folder_page(visit: Visit, folder: DrivePath, status: int = 200, problem: str = "", name: str = "") -> Response:
    """Show a page of a folder.

    Args:
        visit: The visit.
        folder: The folder.
        status: HTTP status.
        problem: Why a form of the page was not accepted.
        name: The new folder's name as it was typed.
    """
    drive = visit.tenant.drive
    existing(drive, folder)
    find, after = visit.query("find"), visit.request.query_params.get("after", "")
    names = drive.names(folder)
    matching = [found for found in names if find.casefold() in found.casefold()] if find else names
    shown = _shown(matching, after)
    query = {"path": str(folder), **({"find": find} if find else {})}
    return visit.render(
        "drive.html",
        status,
        folder=folder,
        above=[(DrivePath(folder.parts[:depth]), name) for depth, name in enumerate(folder.parts[:-1], start=1)],
        entries=[entry for name in shown.names if (entry := _entry(drive, folder, name)) is not None],
        shown=shown,
        is_empty=not names,
        urls={
            title: folder_url(**query, **({} if after is None else {"after": after}))
            for title, after in (
                ("First", None),
                ("Previous", shown.previous),
                ("Next", shown.next),
                ("Last", shown.last),
            )
            if after is not None or title == "First"
        },
        find=find,
        can_add=can_add(drive, folder),
        can_delete=can_delete(drive, folder),
        is_mounted=is_mounted(drive, folder),
        depth=len(folder.parts),
        drive_depth=DRIVE_DEPTH,
        max_bytes=visit.tenant.settings.max_body,
        problem=problem,
        name=name,
    )


def path_of(visit: Visit) -> DrivePath:
    """Return the path that the query names; the root without one.

    Raises:
        SandboxError: It is no path.
    """
    text = visit.request.query_params.get("path", "")
    return DrivePath.parse(text) if text.strip("/") else ROOT


def existing(drive: Drive, path: DrivePath) -> NodeInfo:
    """Return the node at ``path``.

    Raises:
        NotHereError: There is none.
    """
    info = drive.info(path)
    if info is None:
        msg = f"'{path}' is not in the drive; it may be deleted or moved"
        raise NotHereError(msg)
    return info


def is_mounted(drive: Drive, path: DrivePath) -> bool:
    """Whether the node is in a folder that is mounted read-only."""
    return any(path.starts_with(mount.at) for mount in drive.mounts)


def can_add(drive: Drive, folder: DrivePath) -> bool:
    """Whether files can be added to a folder."""
    return len(folder.parts) >= DRIVE_DEPTH and not is_mounted(drive, folder)


def can_delete(drive: Drive, path: DrivePath) -> bool:
    """Whether a node can be deleted: it is below a drive, and neither in a mounted folder nor around one."""
    holds_mount = any(mount.at.starts_with(path) for mount in drive.mounts)
    return len(path.parts) > DRIVE_DEPTH and not holds_mount and not is_mounted(drive, path)


def folder_url(**query: str) -> str:
    """Path and query of a folder's page."""
    return f"/portal/drive?{urlencode(query)}" if query.get("path") else "/portal/drive"


def _shown(names: list[str], after: str) -> _Shown:
    first = bisect_right(names, after) if after else 0
    end, count = min(first + PAGE_ENTRIES, len(names)), len(names)
    previous = first - PAGE_ENTRIES
    last = (count - 1) // PAGE_ENTRIES * PAGE_ENTRIES
    return _Shown(
        names[first:end],
        first,
        count,
        None if first == 0 else names[previous - 1] if previous > 0 else "",
        names[end - 1] if end < count else None,
        names[last - 1] if end < count else None,
    )


def _entry(drive: Drive, folder: DrivePath, name: str) -> Entry | None:
    """Return an entry of a listed folder; None if it is gone by now."""
    path = folder.entry(name)
    try:
        info = drive.info(path)
        # A drive is four folders deep: those that hold only one folder are one step.
        while info is not None and info.type == "folder" and len(path.parts) < DRIVE_DEPTH:
            inner = drive.names(path)
            if len(inner) != 1:
                break
            path = path.entry(inner[0])
            info = drive.info(path)
    except SandboxError:
        return None
    if info is None:
        return None
    return Entry("/".join(path.parts[len(folder.parts) :]), info, can_delete(drive, path))


ROUTES = (
    page("/portal/drive", browse),
    page("/portal/drive/download", download),
)
