"""Downloads: HEAD and GET of a file at a revision, whole or by ``Range``."""

from __future__ import annotations

from pathlib import PurePosixPath

from starlette.responses import FileResponse, Response

from .errors import entry_not_found
from .routing import Call, Router

router = Router()


@router.on("GET HEAD", "/{prefix}{ns}/{name}/resolve/{rev}/{path*}")
@router.on("GET HEAD", "/api/{kind}/{ns}/{name}/resolve/{rev}/{path*}")
async def resolve(call: Call) -> Response:
    repo = call.repo()
    call.caller.require_files(repo)
    commit = repo.resolve(call.params["rev"])
    path = call.params["path"]
    entry = commit.files.get(path)
    if entry is None:
        raise entry_not_found(commit.oid)
    etag = f'"{entry.sha256 if entry.lfs else entry.oid}"'
    headers = {"X-Repo-Commit": commit.oid, "ETag": etag}
    if entry.lfs:
        headers |= {"X-Linked-ETag": etag, "X-Linked-Size": str(entry.size)}
    return FileResponse(
        call.state.store.blobs.path(entry.sha256),
        headers=headers,
        filename=PurePosixPath(path).name,
        content_disposition_type="inline",
    )
