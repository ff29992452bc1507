"""Discussions and pull requests: open, read, comment, close, merge."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.responses import JSONResponse, Response

from .errors import HttpError, bad_request, forbidden
from .routing import Call, Router
from .store import MAIN, Commit, Discussion, Repo, now
from .trees import merge, unified_diff

router = Router()

PAGE = 10
MIN_TITLE, MAX_TITLE = 3, 200
_DISCUSSIONS = "/api/{kind}/{ns}/{name}/discussions"


@router.on("POST", _DISCUSSIONS)
async def create(call: Call) -> Response:
    repo = call.repo()
    user = call.caller.require_write_token()
    body = await call.json()
    title = str(body.get("title", "")).strip()
    if not MIN_TITLE <= len(title) <= MAX_TITLE:
        raise bad_request(f"The title must have {MIN_TITLE} to {MAX_TITLE} characters")
    text = body.get("description") or ""
    with call.state.store.lock:
        if body.get("pullRequest"):
            opened = open_pull_request(
                repo, title, text, user.name, "draft", base_ref=MAIN, base_oid=repo.refs[MAIN]
            )
        else:
            opened = _open(repo, title, text, user.name, "open", is_pull_request=False)
        call.state.store.save(repo)
    url = f"{call.base_url}{repo.url_path}/discussions/{opened.num}"
    return JSONResponse({"num": opened.num, "pullRequest": opened.is_pull_request, "url": url})


@router.on("GET", _DISCUSSIONS)
async def list_discussions(call: Call) -> Response:
    repo = call.repo()
    query = call.request.query_params
    found = repo.discussions[::-1]
    if query.get("type", "all") != "all":
        found = [item for item in found if item.is_pull_request == (query["type"] != "discussion")]
    if query.get("status", "all") != "all":
        is_open = query["status"] == "open"
        found = [item for item in found if (item.status in ("open", "draft")) == is_open]
    if "author" in query:
        found = [item for item in found if item.author == query["author"]]
    start = int(query.get("p", 0)) * PAGE
    page = [_summary(repo, item) for item in found[start : start + PAGE]]
    return JSONResponse({"count": len(found), "start": start, "discussions": page})


@router.on("GET", _DISCUSSIONS + "/{num}")
async def details(call: Call) -> Response:
    repo = call.repo()
    discussion = repo.discussion(int(call.params["num"]))
    described = {**_summary(repo, discussion), "events": discussion.events}
    if discussion.is_pull_request:
        base, ours, theirs = _sides(repo, discussion)
        merged = discussion.status == "merged"
        conflicts = [] if merged else merge(base.files, ours.files, theirs.files)[1]
        described["filesWithConflicts"] = conflicts
        described["changes"] = {"base": discussion.base_ref}
        if discussion.merge_oid:
            described["changes"]["mergeCommitId"] = discussion.merge_oid
        if call.flag("diff"):
            described["diff"] = unified_diff(call.state.store.blobs, base.files, theirs.files)
    return JSONResponse(described)


@router.on("POST", _DISCUSSIONS + "/{num}/comment")
async def comment(call: Call) -> Response:
    body = await call.json()
    if not body.get("comment"):
        raise bad_request('"comment" is required')
    return _add(call, "newMessage", _comment_data(body["comment"]), kind="comment")


@router.on("POST", _DISCUSSIONS + "/{num}/title")
async def rename(call: Call) -> Response:
    discussion = _for_change(call)
    title = str((await call.json()).get("title", "")).strip()
    old, discussion.title = discussion.title, title
    return _add(call, "newTitle", {"from": old, "to": title}, kind="title-change")


@router.on("POST", _DISCUSSIONS + "/{num}/status")
async def change_status(call: Call) -> Response:
    discussion = _for_change(call)
    body = await call.json()
    status = body.get("status")
    if status not in ("open", "closed") or discussion.status == "merged":
        raise bad_request(f"Cannot go from '{discussion.status}' to '{status}'")
    if body.get("comment"):
        _add(call, "newMessage", _comment_data(body["comment"]), kind="comment")
    discussion.status = status
    return _add(call, "newStatus", {"status": status}, kind="status-change")


@router.on("POST", _DISCUSSIONS + "/{num}/merge")
async def merge_pull_request(call: Call) -> Response:
    repo = call.repo()
    user = call.caller.require_write(repo)
    body = await call.json()
    store = call.state.store
    with store.lock:
        discussion = repo.discussion(int(call.params["num"]))
        if not discussion.is_pull_request or discussion.status != "open":
            raise bad_request(f"#{discussion.num} ({discussion.status}) cannot be merged")
        base, ours, theirs = _sides(repo, discussion)
        files, conflicts = merge(base.files, ours.files, theirs.files)
        if conflicts:
            raise HttpError(409, f"Conflicting files: {', '.join(conflicts)}")
        merged = store.add_commit(
            repo,
            discussion.base_ref,
            files,
            parents=[ours.oid, theirs.oid],
            title=f"{discussion.title} (#{discussion.num})",
            message=body.get("comment") or "",
            author=user.name,
        )
        discussion.status, discussion.merge_oid = "merged", merged.oid
        return _add(call, "newStatus", {"status": "merged"}, kind="status-change")


def open_pull_request(
    repo: Repo, title: str, text: str, author: str, status: str, *, base_ref: str, base_oid: str
) -> Discussion:
    """Open a pull request whose ref still stands at its base. The caller saves the repo."""
    opened = _open(repo, title, text, author, status, is_pull_request=True)
    opened.base_ref, opened.base_oid = base_ref, base_oid
    repo.refs[opened.ref] = base_oid
    return opened


def record_commit(discussion: Discussion, commit: Commit) -> None:
    """Show a commit among the events of its pull request. The caller saves the repo."""
    data = {"subject": commit.title, "oid": commit.oid}
    discussion.events.append(_event("commit", commit.author, data))


def _open(
    repo: Repo, title: str, text: str, author: str, status: str, *, is_pull_request: bool
) -> Discussion:
    opened = Discussion(len(repo.discussions) + 1, title, author, now(), status, is_pull_request)
    if text:
        opened.events.append(_event("comment", author, _comment_data(text)))
    repo.discussions.append(opened)
    return opened


def _for_change(call: Call) -> Discussion:
    repo = call.repo()
    user = call.caller.require_write_token()
    discussion = repo.discussion(int(call.params["num"]))
    if user.name != discussion.author and not call.caller.can_write(repo):
        raise forbidden("Only its author and the repo's owners can change a discussion")
    return discussion


def _sides(repo: Repo, discussion: Discussion) -> tuple[Commit, Commit, Commit]:
    """Where a pull request started, where its target is now, and its own head."""
    return (
        repo.commit(discussion.base_oid),
        repo.commit(repo.refs[discussion.base_ref]),
        repo.commit(repo.refs[discussion.ref]),
    )


def _add(call: Call, name: str, data: dict[str, Any], *, kind: str) -> Response:
    repo = call.repo()
    event = _event(kind, call.caller.require_write_token().name, data)
    with call.state.store.lock:
        repo.discussion(int(call.params["num"])).events.append(event)
        call.state.store.save(repo)
    return JSONResponse({name: event})


def _event(kind: str, author: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": secrets.token_hex(12),
        "type": kind,
        "createdAt": now(),
        "author": {"name": author},
        "data": data,
    }


def _comment_data(text: str) -> dict[str, Any]:
    latest = {"raw": text, "html": text, "updatedAt": now()}
    return {"edited": False, "hidden": False, "latest": latest, "history": [latest]}


def _summary(repo: Repo, discussion: Discussion) -> dict[str, Any]:
    return {
        "num": discussion.num,
        "title": discussion.title,
        "author": {"name": discussion.author},
        "createdAt": discussion.created_at,
        "status": discussion.status,
        "isPullRequest": discussion.is_pull_request,
        "repo": {"name": repo.id, "type": repo.type},
    }
