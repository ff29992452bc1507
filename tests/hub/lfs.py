"""Git LFS: ask where to put objects, put them, have them verified."""

from __future__ import annotations

import re
import secrets
from typing import Any

from starlette.responses import JSONResponse, Response

from .errors import HttpError, bad_request
from .routing import Call, Router

router = Router()

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MEDIA_TYPE = "application/vnd.git-lfs+json"


@router.on("POST", "/{prefix}{ns}/{name}.git/info/lfs/objects/batch")
async def batch(call: Call) -> Response:
    repo = call.repo()
    body = await call.json()
    if body.get("operation") != "upload":
        raise bad_request("The local Hub serves LFS downloads by /resolve only")
    # Without a ref the objects are meant for a pull request, which any user may open.
    ref = (body.get("ref") or {}).get("name", "refs/pr/")
    if ref.startswith("refs/pr/"):
        call.caller.require_write_token()
    else:
        call.caller.require_write(repo)
    objects = [_instructions(call, item) for item in body.get("objects", [])]
    return JSONResponse({"transfer": "basic", "objects": objects}, media_type=_MEDIA_TYPE)


@router.on("PUT", "/lfs/upload/{secret}")
async def upload(call: Call) -> Response:
    """Take an object in. Its link is the permission, as with the Hub's signed links."""
    expected = call.state.uploads.get(call.params["secret"])
    with call.state.store.blobs.writer() as writer:
        async for chunk in call.request.stream():
            writer.write(chunk)
        if expected is None:
            raise HttpError(403, "The upload link is not valid")
        if (writer.sha256, writer.size) != expected:
            raise bad_request("The upload does not have the announced SHA-256 and size")
        writer.commit()
    return Response(headers={"ETag": f'"{expected[0]}"'})


@router.on("POST", "/lfs/verify/{secret}")
async def verify(call: Call) -> Response:
    call.caller.require_login()
    body = await call.json()
    blobs = call.state.store.blobs
    expected = call.state.uploads.get(call.params["secret"])
    if expected != (body.get("oid"), body.get("size")) or not blobs.has(expected[0]):
        raise HttpError(404, "The object was not uploaded")
    return Response("OK")


def _instructions(call: Call, item: dict[str, Any]) -> dict[str, Any]:
    oid, size = item.get("oid"), item.get("size")
    if not isinstance(oid, str) or not _SHA256.fullmatch(oid) or not isinstance(size, int):
        error = {"code": 422, "message": "An object needs a SHA-256 and a size"}
        return {"oid": str(oid), "size": size if isinstance(size, int) else 0, "error": error}
    answer: dict[str, Any] = {"oid": oid, "size": size}
    if not call.state.store.blobs.has(oid):
        secret = secrets.token_hex(16)
        call.state.uploads[secret] = (oid, size)
        answer["authenticated"] = True
        answer["actions"] = {
            "upload": {"href": f"{call.base_url}/lfs/upload/{secret}"},
            "verify": {"href": f"{call.base_url}/lfs/verify/{secret}"},
        }
    return answer
