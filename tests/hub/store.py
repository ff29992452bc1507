"""Repositories on disk: settings, refs, discussions, and commits with their parents.

Below the store's root::

    blobs/                                contents (see ``blobs``)
    repos/{models,datasets}/NS/NAME/repo.json        settings, refs, discussions
    repos/{models,datasets}/NS/NAME/commits/OID.json one commit with its whole tree

Every change is written beside its place and renamed, and a store opened on the
same root finds everything again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from .blobs import BlobStore, FileEntry
from .errors import HttpError, revision_not_found

REPO_TYPES = ("model", "dataset")
MAIN = "refs/heads/main"
MIN_SHORT_OID = 7  # as on the Hub: shorter prefixes are taken for names

Files = dict[str, FileEntry]


def now() -> str:
    """The time in the Hub's form."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


@dataclass(frozen=True)
class Commit:
    """A commit: its whole tree, and where it comes from."""

    oid: str
    parents: list[str]
    title: str
    message: str
    author: str
    date: str
    files: Files


@dataclass
class Discussion:
    """A discussion or, with ``base_oid``, a pull request.

    Attributes:
        base_ref: The ref a pull request is to be merged into.
        base_oid: The commit of ``base_ref`` it started from.
        merge_oid: The commit that merged it.
    """

    num: int
    title: str
    author: str
    created_at: str
    status: str
    is_pull_request: bool
    events: list[dict] = field(default_factory=list)
    base_ref: str | None = None
    base_oid: str | None = None
    merge_oid: str | None = None

    @property
    def ref(self) -> str:
        return f"refs/pr/{self.num}"


@dataclass
class Repo:
    """A model or dataset repository. Change it only inside ``Store.lock``."""

    folder: Path
    type: str
    id: str
    created_at: str
    private: bool = False
    gated: str | bool = False
    granted: list[str] = field(default_factory=list)
    refs: dict[str, str] = field(default_factory=dict)
    discussions: list[Discussion] = field(default_factory=list)
    security_issues: list[dict] = field(default_factory=list)
    _commits: dict[str, Commit] = field(default_factory=dict, repr=False)

    @property
    def namespace(self) -> str:
        return self.id.split("/")[0]

    @property
    def url_path(self) -> str:
        """The path of the repo's page."""
        return f"/{self.id}" if self.type == "model" else f"/{self.type}s/{self.id}"

    def commit(self, oid: str) -> Commit:
        if oid not in self._commits:
            stored = json.loads((self.folder / "commits" / f"{oid}.json").read_text())
            stored["files"] = {path: FileEntry(**entry) for path, entry in stored["files"].items()}
            self._commits[oid] = Commit(**stored)
        return self._commits[oid]

    def find_ref(self, revision: str) -> str | None:
        """The full name of the ref that ``revision`` names, branches before tags."""
        for ref in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if ref in self.refs:
                return ref
        return None

    def resolve(self, revision: str) -> Commit:
        """The commit that a branch, tag, ref or (abbreviated) commit id stands for.

        Raises:
            HttpError: 404 ``RevisionNotFound``.
        """
        ref = self.find_ref(revision)
        if ref:
            return self.commit(self.refs[ref])
        if len(revision) >= MIN_SHORT_OID and set(revision) <= set("0123456789abcdef"):
            matches = list((self.folder / "commits").glob(f"{revision}*.json"))
            if len(matches) == 1:
                return self.commit(matches[0].stem)
        raise revision_not_found(revision)

    def history(self, commit: Commit) -> Iterator[Commit]:
        """The commit and its first parents, newest first."""
        while True:
            yield commit
            if not commit.parents:
                return
            commit = self.commit(commit.parents[0])

    def discussion(self, num: int) -> Discussion:
        if not 1 <= num <= len(self.discussions):
            raise HttpError(404, "Discussion not found")
        return self.discussions[num - 1]


class Store:
    """All repositories under ``root``.

    Attributes:
        lock: Held around every change, for the server's thread and the tests' own.
        blobs: The contents.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = threading.RLock()
        self.blobs = BlobStore(root / "blobs")
        self._nonce = itertools.count()
        self._repos: dict[tuple[str, str], Repo] = {}
        for path in sorted((root / "repos").glob("*/*/*/repo.json")):
            stored = json.loads(path.read_text())
            stored["discussions"] = [Discussion(**item) for item in stored["discussions"]]
            repo = Repo(folder=path.parent, **stored)
            self._repos[repo.type, repo.id] = repo

    def get(self, repo_type: str, repo_id: str) -> Repo | None:
        return self._repos.get((repo_type, repo_id))

    def all(self, repo_type: str) -> list[Repo]:
        """All repos of a type, newest first."""
        with self.lock:
            found = [repo for (kind, _), repo in self._repos.items() if kind == repo_type]
        return found[::-1]

    def create(self, repo_type: str, repo_id: str, private: bool) -> Repo:
        with self.lock:
            folder = self.root / "repos" / f"{repo_type}s" / repo_id
            (folder / "commits").mkdir(parents=True)
            repo = Repo(folder, repo_type, repo_id, created_at=now(), private=private)
            self._repos[repo_type, repo_id] = repo
            self.save(repo)
            return repo

    def delete(self, repo: Repo) -> None:
        """Forget a repo. Its contents stay, as others may share them."""
        with self.lock:
            del self._repos[repo.type, repo.id]
            shutil.rmtree(repo.folder)

    def save(self, repo: Repo) -> None:
        """Write a repo's settings, refs and discussions."""
        with self.lock:
            stored = {
                name: getattr(repo, name)
                for name in Repo.__dataclass_fields__
                if name not in ("folder", "discussions", "_commits")
            }
            stored["discussions"] = [asdict(item) for item in repo.discussions]
            _write_json(repo.folder / "repo.json", stored)

    def add_commit(
        self,
        repo: Repo,
        ref: str,
        files: Files,
        *,
        parents: list[str],
        title: str,
        message: str = "",
        author: str,
    ) -> Commit:
        """Store a commit and move ``ref`` to it."""
        with self.lock:
            content = {
                "parents": parents,
                "title": title,
                "message": message,
                "author": author,
                "date": now(),
                "files": {path: asdict(files[path]) for path in sorted(files)},
            }
            seed = json.dumps([repo.type, repo.id, next(self._nonce), content], sort_keys=True)
            oid = hashlib.sha1(seed.encode()).hexdigest()
            _write_json(repo.folder / "commits" / f"{oid}.json", {"oid": oid, **content})
            repo.refs[ref] = oid
            self.save(repo)
            return repo.commit(oid)


def _write_json(path: Path, content: dict) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content))
    os.replace(temporary, path)
