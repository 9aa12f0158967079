"""``/api/v1/drives``: files and folders (Instabase protocol, "Drives")."""

from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from starlette.convertors import PathConvertor, register_url_convertor

from pytest_ibmodels.instabase.wire import (
    CopyRequest,
    DeleteRequest,
    DriveArgs,
    Envelope,
    JobStarted,
    Listing,
    MetadataAnswer,
    Mount,
    MountListing,
    Node,
    NodeMetadata,
    RenameRequest,
    UnzipRequest,
    Written,
)
from pytest_ibmodels.sandbox.errors import SandboxError
from pytest_ibmodels.sandbox.http.bodies import Args, JsonRoute, TheTenant, body_to_file, json_object, parse_as
from pytest_ibmodels.sandbox.http.openapi import BINARY, DRIVE_ARGS, FILE_ANSWER, FILE_BODY
from pytest_ibmodels.sandbox.http.routers.content import file_answer
from pytest_ibmodels.sandbox.services.deleting import delete_node
from pytest_ibmodels.sandbox.services.tenant import Tenant
from pytest_ibmodels.sandbox.storage.archives import unzip
from pytest_ibmodels.sandbox.storage.nodes import NodeInfo
from pytest_ibmodels.sandbox.storage.paths import ROOT_DEPTH, DrivePath

router = APIRouter(prefix="/api/v1/drives", route_class=JsonRoute)

# A node may have the name of an action; the action is the one whose body has this key (Instabase protocol, "Drives").
_ACTIONS = {"copy": "new_full_path", "move": "new_full_path", "unzip": "zip_file"}


class _AnyText(PathConvertor):
    """Path with line feeds too, which Starlette's own converter does not match: a refusal names them."""

    regex = "(?s:.*)"


register_url_convertor("any_text", _AnyText())


async def _path(path: str) -> DrivePath:
    return DrivePath.parse(path)


ThePath = Annotated[DrivePath, Depends(_path)]


@router.get(
    "/{path:any_text}",
    response_model=None,
    responses={200: {"model": Listing | MetadataAnswer | MountListing, "content": BINARY}, **FILE_ANSWER},
    openapi_extra=DRIVE_ARGS,
)
def read(path: ThePath, args: Args, tenant: TheTenant, request: Request) -> Response | dict[str, Any]:
    """Read a file, list a folder, tell a node's metadata, or list the drives of ``OWNER/REPO/fs``."""
    if len(path.parts) == ROOT_DEPTH and args.type is None and args.get_metadata is None:
        return _drives(tenant, path)
    if args.type is None and args.get_metadata and not args.get_content:
        return MetadataAnswer(status="OK", metadata=_metadata(_existing(tenant, path))).model_dump(exclude_none=True)
    if args.type == "file" or (args.type is None and _existing(tenant, path).type == "file"):
        return file_answer(tenant.drive, path, args.range, request)
    infos, token = tenant.drive.page(path, args.start_page_token or "")
    nodes = [_node(info, with_metadata=bool(args.get_metadata)) for info in infos]
    listing = Listing(status="OK", nodes=nodes, has_more=bool(token), next_page_token=token)
    # As text: FastAPI would validate every value of every node once more.
    return Response(listing.model_dump_json(exclude_none=True), media_type="application/json")


@router.post(
    "/{path:any_text}",
    response_model=None,
    responses={200: {"model": Written | Envelope | JobStarted}},
    openapi_extra={**DRIVE_ARGS, **FILE_BODY},
)
async def write(path: ThePath, args: Args, tenant: TheTenant, request: Request) -> dict[str, Any]:
    """Write a file, make a folder, or copy, move or unzip, as the last part of the path and the body say."""
    upload = await body_to_file(request)
    try:
        return await run_in_threadpool(_write, tenant, path, args, upload)
    finally:
        upload.unlink(missing_ok=True)


@router.patch("/{path:any_text}", response_model_exclude_none=True)
def rename(path: ThePath, body: RenameRequest, tenant: TheTenant) -> JobStarted:
    """Rename a node within its folder."""
    if "/" in body.new_name:
        raise SandboxError(f"'{path}' cannot be renamed to {body.new_name!r}: a name holds no '/'")
    target = path.parent.joined(body.new_name)
    return _as_job(tenant.tasks.start("move", lambda: tenant.drive.move(path, target)))


@router.delete("/{path:any_text}", openapi_extra=DRIVE_ARGS)
def delete(path: ThePath, args: Args, tenant: TheTenant, body: DeleteRequest | None = None) -> dict[str, str]:
    """Delete a node, and unload the models served from it; ``force`` is in the body or in the arguments."""
    delete_node(tenant, path, force=bool(args.force or (body and body.force)))
    return {"status": "OK"}


def _write(tenant: Tenant, path: DrivePath, args: DriveArgs, upload: Path) -> dict[str, Any]:
    if path.name in _ACTIONS:
        body = json_object(upload)
        if body is not None and _ACTIONS[path.name] in body:
            return _act(tenant, path, upload.read_bytes()).model_dump(exclude_none=True)
    if args.type == "folder":
        tenant.drive.make_folder(path)
        return {"status": "OK"}
    if args.cursor:
        tenant.drive.patch(path, upload, args.cursor)
    else:
        tenant.drive.put(path, upload, overwrite=args.if_exists == "overwrite")
    return Written(status="OK").model_dump(exclude_none=True)


def _act(tenant: Tenant, path: DrivePath, body: bytes) -> JobStarted:
    drive, node = tenant.drive, path.parent
    if path.name == "unzip":
        wish = parse_as(UnzipRequest, body, "unzip")
        archive, destination = DrivePath.parse(f"{node}/{wish.zip_file}"), DrivePath.parse(wish.destination)
        limit = tenant.settings.max_unzipped
        return _as_job(tenant.tasks.start("unzip", lambda: unzip(drive, archive, destination, max_bytes=limit)))
    target = DrivePath.parse(parse_as(CopyRequest, body, path.name).new_full_path)
    act = drive.copy if path.name == "copy" else drive.move
    return _as_job(tenant.tasks.start(path.name, lambda: act(node, target)))


def _as_job(job_id: str) -> JobStarted:
    return JobStarted(status="OK", job_id=job_id)


def _drives(tenant: Tenant, root: DrivePath) -> dict[str, Any]:
    names = tenant.drive.names(root) if tenant.drive.info(root) else []
    drives = [Mount(full_path=str(root.joined(name))) for name in names]
    return MountListing(status="OK", drives=drives).model_dump(exclude={"msg"})


def _existing(tenant: Tenant, path: DrivePath) -> NodeInfo:
    info = tenant.drive.info(path)
    if info is None:
        raise SandboxError(f"'{path}' does not exist")
    return info


def _metadata(info: NodeInfo) -> NodeMetadata:
    return NodeMetadata(type=info.type, modified_timestamp=info.modified, size=info.size)


def _node(info: NodeInfo, *, with_metadata: bool) -> Node:
    path = str(info.path)
    metadata = _metadata(info) if with_metadata else None
    return Node(name=info.path.name, type=info.type, path=path, full_path=path, metadata=metadata)
