"""What the Hub tells about a repository, and the searchable lists of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from starlette.responses import JSONResponse, Response

from .cards import read_metadata
from .paging import paginate
from .routing import Call, Router
from .store import MAIN, Commit, Repo, Store

router = Router()

LIST_PAGE = 1000
_SORT_KEYS = ("createdAt", "lastModified")


@router.on("GET", "/api/{kind}/{ns}/{name}")
@router.on("GET", "/api/{kind}/{ns}/{name}/revision/{rev}")
async def repo_info(call: Call) -> Response:
    repo = call.repo()
    commit = repo.resolve(call.params.get("rev", "main"))
    described = describe(call.state.store, repo, commit, with_blobs=call.flag("blobs"))
    expand = _expand(call)
    if expand:
        described = {key: described[key] for key in ("id", *expand) if key in described}
    elif not call.flag("securityStatus"):
        del described["securityRepoStatus"]
    return JSONResponse(described, headers={"X-Repo-Commit": commit.oid})


@router.on("GET", "/api/{kind}")
async def list_repos(call: Call) -> Response:
    query = call.request.query_params
    store = call.state.store
    found = {
        repo.id: describe(store, repo, repo.commit(repo.refs[MAIN]), with_blobs=False)
        for repo in store.all(call.repo_type)
        if call.caller.can_see(repo)
    }
    found = {repo_id: item for repo_id, item in found.items() if _wanted(call, item)}
    order = sorted(
        found,
        key=lambda repo_id: found[repo_id][_sort_key(query.get("sort"))],
        reverse=query.get("direction", "-1") == "-1",
    )
    page, next_page = paginate(call, order, LIST_PAGE)
    keep = _list_fields(call)
    return JSONResponse([keep(found[repo_id]) for repo_id in page], headers=next_page)


def describe(store: Store, repo: Repo, commit: Commit, *, with_blobs: bool) -> dict[str, Any]:
    """All that is known of a repo at a commit, under the Hub's names."""
    metadata = _card_metadata(store, commit)
    described: dict[str, Any] = {
        "_id": hashlib.sha1(f"{repo.type}/{repo.id}".encode()).hexdigest()[:24],
        "id": repo.id,
        "author": repo.namespace,
        "sha": commit.oid,
        "createdAt": repo.created_at,
        "lastModified": commit.date,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": _tags(metadata),
        "cardData": metadata,
        "siblings": _siblings(commit, with_blobs),
        "usedStorage": sum(entry.size for entry in commit.files.values()),
        "securityRepoStatus": {"scansDone": True, "filesWithIssues": repo.security_issues},
    }
    if repo.type == "model":
        described |= {"modelId": repo.id, "spaces": [], "config": _config(store, commit)}
        described |= {
            key: metadata[key] for key in ("pipeline_tag", "library_name") if key in metadata
        }
        if "model-index" in metadata:
            described["model-index"] = metadata["model-index"]
    return described


def _siblings(commit: Commit, with_blobs: bool) -> list[dict[str, Any]]:
    siblings = []
    for path in sorted(commit.files):
        entry = commit.files[path]
        sibling: dict[str, Any] = {"rfilename": path}
        if with_blobs:
            sibling |= {"blobId": entry.oid, "size": entry.size}
            if entry.lfs:
                sibling["lfs"] = {
                    "sha256": entry.sha256,
                    "size": entry.size,
                    "pointerSize": entry.pointer_size,
                }
        siblings.append(sibling)
    return siblings


def _card_metadata(store: Store, commit: Commit) -> dict[str, Any]:
    entry = commit.files.get("README.md")
    if entry is None:
        return {}
    text = store.blobs.read(entry.sha256).decode(errors="replace")
    # Dates, NaN and the like are no JSON: they are shown as text.
    as_json = json.dumps(read_metadata(text), default=str, skipkeys=True)
    return json.loads(as_json, parse_constant=str)


def _config(store: Store, commit: Commit) -> dict[str, Any]:
    """The few keys of config.json that the Hub shows."""
    entry = commit.files.get("config.json")
    try:
        config = json.loads(store.blobs.read(entry.sha256)) if entry else {}
    except ValueError:
        config = {}
    shown = ("architectures", "architecture", "model_type")
    return {key: config[key] for key in shown if key in config} if isinstance(config, dict) else {}


def _tags(metadata: dict[str, Any]) -> list[str]:
    tags = [tag for tag in _as_list(metadata.get("tags")) if isinstance(tag, str)]
    tags += _as_list(metadata.get("library_name")) + _as_list(metadata.get("pipeline_tag"))
    tags += _as_list(metadata.get("language"))
    for key, prefix in (("license", "license"), ("datasets", "dataset"), ("base_model",) * 2):
        tags += [f"{prefix}:{value}" for value in _as_list(metadata.get(key))]
    return list(dict.fromkeys(map(str, tags)))


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _wanted(call: Call, item: dict[str, Any]) -> bool:
    query = call.request.query_params
    tags = set(item["tags"])
    wanted_tags = [tag for value in query.getlist("filter") for tag in value.split(",")]
    return (
        item["author"].lower() == query.get("author", item["author"]).lower()
        and query.get("search", "").lower() in item["id"].lower()
        and tags.issuperset(wanted_tags)
        and query.get("pipeline_tag") in (None, item.get("pipeline_tag"))
        and ("gated" not in query or bool(item["gated"]) == call.flag("gated"))
    )


def _sort_key(wanted: str | None) -> str:
    return wanted if wanted in _SORT_KEYS else "createdAt"


def _list_fields(call: Call) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Which fields a list shows: fewer than the page of the repo itself."""
    expand = _expand(call)
    dropped = {"securityRepoStatus", "usedStorage", "spaces", "model-index", "disabled"}
    if not call.flag("full"):
        dropped |= {"siblings", "sha", "lastModified", "author", "gated"}
        dropped |= {"cardData"} if not call.flag("cardData") else set()
        dropped |= {"config"} if not call.flag("config") else set()

    def keep(item: dict[str, Any]) -> dict[str, Any]:
        if expand:
            return {key: item[key] for key in ("_id", "id", *expand) if key in item}
        return {key: value for key, value in item.items() if key not in dropped}

    return keep


def _expand(call: Call) -> list[str]:
    query = call.request.query_params
    return [*query.getlist("expand"), *query.getlist("expand[]")]
