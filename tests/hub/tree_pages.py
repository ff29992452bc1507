"""Listings of a commit's files: the tree, page by page, and single paths."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from starlette.responses import JSONResponse, Response

from .errors import bad_request, entry_not_found
from .paging import paginate
from .routing import Call, Router
from .store import Commit, Files, Repo
from .trees import all_folders, below, folder_id

router = Router()

PAGE = 1000
EXPANDED_PAGE = 50
MAX_PATHS = 1000


@router.on("GET", "/api/{kind}/{ns}/{name}/tree/{rev}")
@router.on("GET", "/api/{kind}/{ns}/{name}/tree/{rev}/{path*}")
async def tree(call: Call) -> Response:
    repo = call.repo()
    commit = repo.resolve(call.params["rev"])
    folder = call.params.get("path", "").strip("/")
    files = below(commit.files, folder)
    if folder and not files:
        raise entry_not_found(commit.oid, f'{folder} does not exist on "{call.params["rev"]}"')
    paths = files.keys() | (all_folders(files) - {folder} - set(_parents(folder)))
    if not call.flag("recursive"):
        depth = folder.count("/") + 1 if folder else 0
        paths = {path for path in paths if path.count("/") == depth}
    expand = call.flag("expand")
    page, next_page = paginate(call, sorted(paths), EXPANDED_PAGE if expand else PAGE)
    entries = [_describe(repo, commit, path, expand) for path in page]
    return JSONResponse(entries, headers={"X-Repo-Commit": commit.oid, **next_page})


@router.on("POST", "/api/{kind}/{ns}/{name}/paths-info/{rev}")
async def paths_info(call: Call) -> Response:
    repo = call.repo()
    commit = repo.resolve(call.params["rev"])
    if call.request.headers.get("content-type", "").startswith("application/json"):
        body = await call.json()
        wanted, expand = body.get("paths", []), bool(body.get("expand"))
    else:
        form = parse_qs((await call.request.body()).decode())
        wanted = form.get("paths", [])
        expand = form.get("expand", [""])[0].lower() in ("1", "true")
    if len(wanted) > MAX_PATHS:
        raise bad_request("too many parameters")
    known = commit.files.keys() | all_folders(commit.files)
    found = [path for path in (item.strip("/") for item in wanted) if path in known]
    entries = [_describe(repo, commit, path, expand) for path in found]
    return JSONResponse(entries, headers={"X-Repo-Commit": commit.oid})


def _parents(folder: str) -> list[str]:
    parts = folder.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


def _describe(repo: Repo, commit: Commit, path: str, expand: bool) -> dict[str, Any]:
    entry = commit.files.get(path)
    if entry is None:
        described: dict[str, Any] = {
            "type": "directory",
            "oid": folder_id(commit.files, path),
            "size": 0,
            "path": path,
        }
    else:
        described = {"type": "file", "oid": entry.oid, "size": entry.size, "path": path}
        if entry.lfs:
            described["lfs"] = {
                "oid": entry.sha256,
                "size": entry.size,
                "pointerSize": entry.pointer_size,
            }
    if expand:
        last = _last_change(repo, commit, path)
        described["lastCommit"] = {"id": last.oid, "title": last.title, "date": last.date}
        if entry is not None:
            described["securityFileStatus"] = _security(repo, path)
    return described


def _last_change(repo: Repo, commit: Commit, path: str) -> Commit:
    """The newest commit in which ``path`` became what it is."""
    wanted = _identity(commit.files, path)
    newest = commit
    for older in repo.history(commit):
        if _identity(older.files, path) != wanted:
            break
        newest = older
    return newest


def _identity(files: Files, path: str) -> str | None:
    if path in files:
        return files[path].oid
    return folder_id(files, path) if below(files, path) else None


def _security(repo: Repo, path: str) -> dict[str, Any]:
    level = next((item["level"] for item in repo.security_issues if item["path"] == path), "safe")
    scan = {"status": level}
    return {"status": level, "avScan": scan, "pickleImportScan": scan}
