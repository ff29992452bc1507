"""Who am I; create, delete and configure repositories."""

from __future__ import annotations

import re

from starlette.responses import JSONResponse, Response

from .errors import HttpError, bad_request, forbidden, repo_not_found
from .routing import Call, Router
from .store import MAIN, REPO_TYPES, Repo, Store
from .upload_modes import GITATTRIBUTES

router = Router()

_NAME = re.compile(r"(?!.*(--|\.\.))(?!.*\.git$)[A-Za-z0-9_]([\w.-]{0,94}[A-Za-z0-9_])?", re.ASCII)
MAX_ID = 96


@router.on("GET", "/api/whoami-v2")
async def whoami(call: Call) -> Response:
    user = call.caller.require_login()
    token = {"displayName": "test token", "role": call.caller.role}
    return JSONResponse(
        {
            "type": "user",
            "id": user.name,
            "name": user.name,
            "fullname": user.name.title(),
            "isPro": False,
            "orgs": [
                {"type": "org", "id": org, "name": org, "fullname": org, "roleInOrg": "write"}
                for org in user.orgs
            ],
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


def create_repo(store: Store, repo_type: str, repo_id: str, *, private: bool, author: str) -> Repo:
    """Make a repository with the initial commit that the Hub gives to each."""
    repo = store.create(repo_type, repo_id, private)
    entry = store.blobs.regular_entry(store.blobs.put(GITATTRIBUTES.encode()))
    store.add_commit(
        repo, MAIN, {".gitattributes": entry}, parents=[], title="initial commit", author=author
    )
    return repo


@router.on("POST", "/api/repos/create")
async def create(call: Call) -> Response:
    body = await call.json()
    user = call.caller.require_write_token()
    repo_type, namespace, name = _named_repo(body, user.name)
    if not call.caller.belongs_to(namespace):
        raise forbidden(
            f"You don't have the rights to create a {repo_type} under the namespace '{namespace}'"
        )
    repo_id = f"{namespace}/{name}"
    if len(repo_id) > MAX_ID or not _NAME.fullmatch(name):
        raise bad_request(f"Invalid repository name '{name}'")
    private = bool(body.get("private")) or body.get("visibility") == "private"
    with call.state.store.lock:
        repo = call.state.store.get(repo_type, repo_id)
        if repo is not None:
            url = call.base_url + repo.url_path
            message = f"You already created this {repo_type} repo"
            raise HttpError(409, message, body={"url": url})
        repo = create_repo(call.state.store, repo_type, repo_id, private=private, author=user.name)
    return JSONResponse({"url": call.base_url + repo.url_path, "name": repo_id, "id": repo_id})


@router.on("DELETE", "/api/repos/delete")
async def delete(call: Call) -> Response:
    body = await call.json()
    user = call.caller.require_write_token()
    repo_type, namespace, name = _named_repo(body, user.name)
    repo = call.state.store.get(repo_type, f"{namespace}/{name}")
    if repo is None:
        raise repo_not_found(authenticated=True)
    call.caller.require_read(repo)
    call.caller.require_write(repo)
    call.state.store.delete(repo)
    return Response("OK")


@router.on("PUT", "/api/{kind}/{ns}/{name}/settings")
async def settings(call: Call) -> Response:
    repo = call.repo()
    call.caller.require_write(repo)
    body = await call.json()
    gated = body.get("gated", repo.gated)
    if gated not in ("auto", "manual", False):
        raise bad_request('"gated" must be one of [auto, manual, false]')
    with call.state.store.lock:
        repo.gated = gated
        if "visibility" in body or "private" in body:
            repo.private = body.get("visibility") == "private" or bool(body.get("private"))
        call.state.store.save(repo)
    return JSONResponse({"private": repo.private, "gated": repo.gated})


@router.on("GET", "/api/{kind}/{ns}/{name}/auth-check")
async def auth_check(call: Call) -> Response:
    call.caller.require_files(call.repo())
    return Response("OK")


@router.on("GET", "/api/{kind}/{ns}/{name}/auth-check/write")
async def auth_check_write(call: Call) -> Response:
    call.caller.require_write(call.repo())
    return Response("OK")


def _named_repo(body: dict, default_namespace: str) -> tuple[str, str, str]:
    repo_type = body.get("type") or "model"
    name = body.get("name")
    if repo_type not in REPO_TYPES or not isinstance(name, str):
        raise bad_request("The local Hub has models and datasets, and each needs a name")
    return repo_type, body.get("organization") or default_namespace, name
