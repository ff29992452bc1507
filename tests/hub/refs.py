"""Branches, tags, and the list of all refs."""

from __future__ import annotations

import re

from starlette.responses import JSONResponse, Response

from .errors import HttpError, bad_request, forbidden, revision_not_found
from .routing import Call, Router
from .store import MAIN

router = Router()

# The rules of git-check-ref-format that a typo can break.
_BAD_NAME = re.compile(r"^refs/|^[-/.]|[/.]$|\.\.|//|@\{|[\s~^:?*\[\\]|\.lock$")


@router.on("GET", "/api/{kind}/{ns}/{name}/refs")
async def list_refs(call: Call) -> Response:
    repo = call.repo()

    def below(prefix: str) -> list[dict]:
        return [
            {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": oid}
            for ref, oid in repo.refs.items()
            if ref.startswith(prefix)
        ]

    found = {"branches": below("refs/heads/"), "tags": below("refs/tags/"), "converts": []}
    if call.flag("include_prs"):
        found["pullRequests"] = below("refs/pr/")
    return JSONResponse(found)


@router.on("POST", "/api/{kind}/{ns}/{name}/branch/{branch}")
async def create_branch(call: Call) -> Response:
    body = await call.json()
    return _create(call, "refs/heads/", call.params["branch"], body.get("startingPoint", "main"))


@router.on("POST", "/api/{kind}/{ns}/{name}/tag/{rev}")
async def create_tag(call: Call) -> Response:
    body = await call.json()
    return _create(call, "refs/tags/", body.get("tag", ""), call.params["rev"])


@router.on("DELETE", "/api/{kind}/{ns}/{name}/branch/{branch}")
async def delete_branch(call: Call) -> Response:
    return _delete(call, f"refs/heads/{call.params['branch']}")


@router.on("DELETE", "/api/{kind}/{ns}/{name}/tag/{tag}")
async def delete_tag(call: Call) -> Response:
    return _delete(call, f"refs/tags/{call.params['tag']}")


def _create(call: Call, prefix: str, name: str, revision: str) -> Response:
    repo = call.repo()
    call.caller.require_write(repo)
    if not name or _BAD_NAME.search(name):
        raise bad_request(f"Invalid reference name '{name}'")
    with call.state.store.lock:
        if prefix + name in repo.refs:
            raise HttpError(409, f"Reference already exists: {prefix}{name}")
        repo.refs[prefix + name] = repo.resolve(revision).oid
        call.state.store.save(repo)
    return Response("OK")


def _delete(call: Call, ref: str) -> Response:
    repo = call.repo()
    call.caller.require_write(repo)
    if ref == MAIN:
        raise forbidden("The branch main cannot be deleted")
    with call.state.store.lock:
        if ref not in repo.refs:
            raise revision_not_found(ref)
        del repo.refs[ref]
        call.state.store.save(repo)
    return Response("OK")
