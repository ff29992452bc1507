"""Commits: the ndjson in which clients send them, and the list of them."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse, Response

from .blobs import BlobStore
from .cards import validate_card
from .discussions import open_pull_request, record_commit
from .errors import HttpError, bad_request, entry_not_found, forbidden, revision_not_found
from .paging import paginate
from .routing import Call, Router
from .store import Commit, Files, Repo, Store
from .trees import all_folders, below
from .upload_modes import MAX_REGULAR

router = Router()

COMMITS_PAGE = 50


@dataclass
class CommitRequest:
    """A parsed commit: its header, and its operations as (key, value) in their order."""

    title: str
    message: str
    parent: str | None
    operations: list[tuple[str, dict[str, Any]]]


@router.on("POST", "/api/{kind}/{ns}/{name}/commit/{rev}")
async def create_commit(call: Call) -> Response:
    repo = call.repo()
    wanted = parse_commit(await call.request.body())
    store = call.state.store
    with store.lock:
        ref = repo.find_ref(call.params["rev"])
        if ref is None or ref.startswith("refs/tags/"):
            raise revision_not_found(call.params["rev"])
        if call.flag("create_pr"):
            return _commit_to_new_pr(call, repo, ref, wanted)
        _require_commit_rights(call, repo, ref)
        head = repo.commit(repo.refs[ref])
        if wanted.parent and not head.oid.startswith(wanted.parent):
            raise HttpError(412, "A commit has happened since. Please refresh and try again.")
        files = _changed_files(store, repo, head, wanted)
        commit = _store_commit(call, repo, ref, head, files, wanted)
    return JSONResponse(_reply(call, repo, commit))


@router.on("GET", "/api/{kind}/{ns}/{name}/commits/{rev}")
async def list_commits(call: Call) -> Response:
    repo = call.repo()
    history = {commit.oid: commit for commit in repo.history(repo.resolve(call.params["rev"]))}
    page, next_page = paginate(call, list(history), COMMITS_PAGE)
    formatted = "formatted" in call.request.query_params.getlist("expand[]")
    described = [_describe(history[oid], formatted) for oid in page]
    return JSONResponse(described, headers={"X-Total-Count": str(len(history)), **next_page})


def parse_commit(body: bytes) -> CommitRequest:
    """Read the lines ``{"key": ..., "value": {...}}``, of which the first is the header.

    Raises:
        HttpError: 400 for anything that is not such a list.
    """
    try:
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        items = [(line["key"], dict(line["value"])) for line in lines]
    except (ValueError, KeyError, TypeError):
        raise bad_request("The commit is not newline-delimited JSON of keys and values") from None
    if not items or items[0][0] != "header":
        raise bad_request("The first line of a commit must be its header")
    header = items[0][1]
    title = header.get("summary")
    if not isinstance(title, str) or not title:
        raise bad_request('"header.summary" is required')
    return CommitRequest(
        title, header.get("description") or "", header.get("parentCommit"), items[1:]
    )


def apply_operations(
    blobs: BlobStore, commit: Commit, operations: list[tuple[str, dict[str, Any]]]
) -> Files:
    """The files of ``commit`` after the operations.

    Raises:
        HttpError: 400 for an operation that is malformed or impossible,
            ``EntryNotFound`` for the deletion of what is not there.
    """
    files = dict(commit.files)
    for key, value in operations:
        path = _checked_path(value.get("path"))
        if key == "file":
            files[path] = blobs.regular_entry(blobs.put(_content(value)))
        elif key == "lfsFile":
            files[path] = blobs.lfs_entry(_uploaded(blobs, path, value))
        elif key in ("deletedFile", "deletedFolder"):
            doomed = {path} & files.keys() if key == "deletedFile" else below(files, path).keys()
            if not doomed:
                raise entry_not_found(
                    commit.oid, f"A file with this name doesn't exist: {value['path']}"
                )
            files = {kept: entry for kept, entry in files.items() if kept not in doomed}
        else:
            raise bad_request(f"Unknown operation '{key}'")
    both = files.keys() & all_folders(files)
    if both:
        raise bad_request(f"'{min(both)}' cannot be a file and a folder")
    return files


def _require_commit_rights(call: Call, repo: Repo, ref: str) -> None:
    if not ref.startswith("refs/pr/"):
        call.caller.require_write(repo)
        return
    user = call.caller.require_write_token()
    pull_request = repo.discussion(int(ref.rsplit("/", 1)[1]))
    if user.name != pull_request.author and not call.caller.can_write(repo):
        raise forbidden("Only its author and the repo's owners can add to a pull request")
    if pull_request.status not in ("open", "draft"):
        raise bad_request(f"The pull request is {pull_request.status}")


def _commit_to_new_pr(call: Call, repo: Repo, ref: str, wanted: CommitRequest) -> Response:
    user = call.caller.require_write_token()
    if not ref.startswith("refs/heads/"):
        raise revision_not_found(call.params["rev"])
    base = repo.resolve(wanted.parent) if wanted.parent else repo.commit(repo.refs[ref])
    files = _changed_files(call.state.store, repo, base, wanted)  # no pull request if it fails
    pull_request = open_pull_request(
        repo, wanted.title, wanted.message, user.name, "open", base_ref=ref, base_oid=base.oid
    )
    commit = _store_commit(call, repo, pull_request.ref, base, files, wanted)
    url = f"{call.base_url}{repo.url_path}/discussions/{pull_request.num}"
    return JSONResponse({**_reply(call, repo, commit), "pullRequestUrl": url})


def _changed_files(store: Store, repo: Repo, head: Commit, wanted: CommitRequest) -> Files:
    """The files after the commit; the Hub refuses a card with invalid metadata."""
    files = apply_operations(store.blobs, head, wanted.operations)
    entry = files.get("README.md")
    if entry is not None and entry != head.files.get("README.md"):
        content = store.blobs.read(entry.sha256).decode(errors="replace")
        errors, _ = validate_card(content, repo.type)
        if errors:
            listed = "\n".join(f"- Error: {error}" for error in errors)
            raise bad_request(
                f"Your push was rejected during YAML metadata verification:\n{listed}"
            )
    return files


def _store_commit(
    call: Call, repo: Repo, ref: str, head: Commit, files: Files, wanted: CommitRequest
) -> Commit:
    commit = call.state.store.add_commit(
        repo,
        ref,
        files,
        parents=[head.oid],
        title=wanted.title,
        message=wanted.message,
        author=call.caller.require_login().name,
    )
    if ref.startswith("refs/pr/"):
        record_commit(repo.discussion(int(ref.rsplit("/", 1)[1])), commit)
        call.state.store.save(repo)
    return commit


def _reply(call: Call, repo: Repo, commit: Commit) -> dict[str, Any]:
    url = f"{call.base_url}{repo.url_path}/commit/{commit.oid}"
    return {"success": True, "commitOid": commit.oid, "commitUrl": url, "hookOutput": ""}


def _describe(commit: Commit, formatted: bool) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": commit.oid,
        "title": commit.title,
        "message": commit.message,
        "authors": [{"user": commit.author}],
        "date": commit.date,
    }
    if formatted:
        described["formatted"] = {"title": commit.title, "message": commit.message}
    return described


def _checked_path(path: Any) -> str:
    if not isinstance(path, str):
        raise bad_request("Each operation needs a path")
    path = path.rstrip("/")
    parts = path.split("/")
    if not all(parts) or {".", "..", ".git"} & set(parts) or "\0" in path:
        raise bad_request(f"Invalid path '{path}'")
    return path


def _content(value: dict[str, Any]) -> bytes:
    content = value.get("content")
    if not isinstance(content, str):
        raise bad_request('"file.content" is required')
    try:
        data = (
            base64.b64decode(content, validate=True)
            if value.get("encoding") == "base64"
            else content.encode()
        )
    except binascii.Error:
        raise bad_request('"file.content" is not base64') from None
    if len(data) > MAX_REGULAR:
        raise bad_request(f"'{value['path']}' is larger than 10 MiB and must be uploaded by LFS")
    return data


def _uploaded(blobs: BlobStore, path: str, value: dict[str, Any]) -> str:
    oid = value.get("oid")
    if value.get("algo") != "sha256" or not isinstance(oid, str):
        raise bad_request(f"The LFS file '{path}' needs the algo sha256 and an oid")
    if not blobs.has(oid):
        raise bad_request(f"The LFS object {oid} of '{path}' was never uploaded")
    if value.get("size", blobs.size(oid)) != blobs.size(oid):
        raise bad_request(f"The LFS object {oid} of '{path}' has another size")
    return oid
