"""Changes of the drive: uploads, new folders, and deleting."""

from dataclasses import replace

from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from pytest_ibmodels.sandbox.errors import BodyTooLargeError, SandboxError
from pytest_ibmodels.sandbox.portal.drive import (
    ROOT,
    can_delete,
    existing,
    folder_page,
    folder_url,
    path_of,
)
from pytest_ibmodels.sandbox.portal.formats import plain, size
from pytest_ibmodels.sandbox.portal.forms import Done
from pytest_ibmodels.sandbox.portal.uploads import Upload, read_upload
from pytest_ibmodels.sandbox.portal.visits import Visit, page
from pytest_ibmodels.sandbox.services.deleting import delete_node
from pytest_ibmodels.sandbox.storage.drive import Drive
from pytest_ibmodels.sandbox.storage.paths import DrivePath


async def upload(visit: Visit) -> Response:
    """Store files in a folder."""
    try:
        sent = await read_upload(visit.request, visit.session)
    except BodyTooLargeError:
        limit = plain(size(visit.tenant.settings.max_body))
        problem = (
            f"These files are larger than {limit} together, the most that this sandbox takes at once; nothing was "
            "stored. Send fewer at once, or start the sandbox with a larger --max-body."
        )
        return await run_in_threadpool(lambda: folder_page(visit, path_of(visit), 413, problem))
    try:
        return await run_in_threadpool(_store, replace(visit, form=sent.form), sent.uploads)
    finally:
        sent.remove()


def make_folder(visit: Visit) -> Response:
    """Make a folder, or a drive if the page is above all drives."""
    folder, name = path_of(visit), visit.form.get("name")

    def action() -> Done:
        if not name.strip("/"):
            msg = "a folder needs a name: nothing was made"
            raise SandboxError(msg)
        made = folder.joined(*(part for part in name.split("/") if part))
        if visit.tenant.drive.info(made) is not None:
            msg = f"'{made}' is there already: nothing was made"
            raise SandboxError(msg)
        visit.tenant.drive.make_folder(made)
        visit.tenant.audit.record(visit.who, "make folder", f"folder {made}")
        return Done(f"The folder “{made.name}” is made. It is empty.", folder_url(path=str(made)))

    return visit.act(action, lambda problem: folder_page(visit, folder, 409, problem, name))


def ask_to_delete(visit: Visit) -> Response:
    """Ask once whether to delete a file or folder."""
    return _ask_to_delete(visit, "")


def delete(visit: Visit) -> Response:
    """Delete a file or folder."""
    path = path_of(visit)

    def action() -> Done:
        drive = visit.tenant.drive
        kind = existing(drive, path).type
        _check_deletable(drive, path)
        delete_node(visit.tenant, path, force=True)
        visit.tenant.audit.record(visit.who, "delete", f"{kind} {path}")
        return Done(f"The {kind} “{path.name}” is deleted.", folder_url(path=str(path.parent)))

    return visit.act(action, lambda problem: _ask_to_delete(visit, problem))


def _store(visit: Visit, uploads: tuple[Upload, ...]) -> Response:
    folder, drive = path_of(visit), visit.tenant.drive
    is_replacing = visit.form.get("replace") == "yes"

    def action() -> Done:
        if not uploads:
            msg = "no file was chosen: nothing was stored"
            raise SandboxError(msg)
        targets = [_target(folder, item.name) for item in uploads]
        taken = [path.name for path in targets if drive.info(path) is not None]
        if taken and not is_replacing:
            msg = f"{_named(taken)} in this folder already: nothing was stored. Choose to replace, and send again"
            raise SandboxError(msg)
        for number, (item, target) in enumerate(zip(uploads, targets, strict=True)):
            try:
                drive.put(target, item.file, overwrite=is_replacing)
            except SandboxError as error:
                msg = f"{number} of {len(uploads)} files were stored, then: {error}"
                raise SandboxError(msg) from None
            visit.tenant.audit.record(visit.who, "upload", f"file {target}")
        done = f"“{targets[0].name}” is stored." if len(targets) == 1 else f"{len(targets)} files are stored."
        return Done(done, folder_url(path=str(folder)))

    return visit.act(action, lambda problem: folder_page(visit, folder, 409, problem))


def _target(folder: DrivePath, name: str) -> DrivePath:
    if "/" in name:
        msg = f"the name {name[:100]!r} of a file has a '/': nothing was stored"
        raise SandboxError(msg)
    return folder.joined(name)


def _named(names: list[str]) -> str:
    if len(names) == 1:
        return f"“{names[0]}” is"
    return f"“{names[0]}” and {len(names) - 1} more of these names are"


def _ask_to_delete(visit: Visit, problem: str) -> Response:
    path, drive = path_of(visit), visit.tenant.drive
    info = existing(drive, path)
    _check_deletable(drive, path)
    count = len(drive.names(path)) if info.type == "folder" else 0
    return visit.render("delete.html", 409 if problem else 200, path=path, info=info, count=count, problem=problem)


def _check_deletable(drive: Drive, path: DrivePath) -> None:
    if not can_delete(drive, path):
        what = f"'{path}'" if path != ROOT else "the whole drive"
        msg = f"{what} cannot be deleted here: it is read-only, holds a read-only folder, or is a drive itself"
        raise SandboxError(msg)


ROUTES = (
    page("/portal/drive", upload, method="POST", has_files=True),
    page("/portal/drive/folder", make_folder, method="POST"),
    page("/portal/drive/delete", ask_to_delete),
    page("/portal/drive/delete", delete, method="POST"),
)
