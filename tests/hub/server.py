"""The server itself: started in a thread, seeded and inspected by tests."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import uvicorn

from .accounts import Accounts
from .app import HubState, Middleware, build_app
from .blobs import FileEntry
from .faults import Faults
from .repos import create_repo
from .request_log import RequestLog
from .store import Commit, Repo, Store
from .upload_modes import lfs_tracked, upload_mode

# A small send buffer, so that a client that stops reading stops the counting too.
SEND_BUFFER = 128 * 1024
START_TIMEOUT_S = 10.0

Content = bytes | str | Path


class LocalHub:
    """A Hub on ``http://127.0.0.1:PORT``; a context manager that starts and stops it.

    There are two users: ``alice``, who belongs to the organisation ``acme``, and
    ``bob``. Repositories may be seeded in any namespace.

    Args:
        root: The folder of the store; what an earlier server left there is served again.
        middleware: ASGI middleware around the application (outermost first), such
            as one that changes answers; the request log sees its results.

    Attributes:
        root: The folder of the store.
        endpoint: The URL, for ``HF_ENDPOINT``.
        token: A token of alice with the role write.
        tokens: Tokens by name: ``alice`` and ``bob`` (write), ``alice-read`` (read).
        log: The requests so far.
        faults: What goes wrong, and when; nothing until a fault is injected.
        crashes: Tracebacks of requests on which the server itself failed.
    """

    def __init__(self, root: Path, *, middleware: Sequence[Middleware] = ()) -> None:
        self.root = Path(root)
        self.log = RequestLog()
        accounts = Accounts()
        self.tokens = {
            "alice": accounts.add_user("alice", orgs=["acme"]),
            "bob": accounts.add_user("bob"),
        }
        self.tokens["alice-read"] = accounts.add_token("alice", "read")
        self.token = self.tokens["alice"]
        self.state = HubState(Store(self.root), accounts)
        self.crashes = self.state.crashes
        self.endpoint = ""
        self.faults = Faults()
        self._app = build_app(self.state, self.log, [*middleware, self.faults])
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> LocalHub:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, port: int = 0) -> None:
        """Serve on a port, 0 for a free one; returns when requests are answered."""
        listener = _listen(port)
        port = listener.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        config = uvicorn.Config(
            self._app,
            loop="asyncio",
            http=self.faults.protocol(),
            lifespan="off",
            log_level="warning",
            access_log=False,
            # Never hang up on a client that is about to reuse its connection.
            timeout_keep_alive=3600,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self.faults.attach(self._server, lambda: _listen(port))
        self._thread = threading.Thread(
            target=self._server.run, args=([listener],), name="local-hub", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("The local Hub did not start")
            time.sleep(0.005)

    def stop(self) -> None:
        """Stop serving. The store stays, and ``start`` serves it on another port."""
        if self._server and self._thread:
            self._server.should_exit = True
            self._thread.join(START_TIMEOUT_S)
            self._server = self._thread = None

    def add_user(self, name: str, orgs: Iterable[str] = ()) -> str:
        """Make a user; returns a write token, which is also kept in ``tokens``."""
        self.tokens[name] = self.state.accounts.add_user(name, orgs)
        return self.tokens[name]

    def add_repo(
        self,
        repo_id: str,
        *,
        files: Mapping[str, Content] | None = None,
        folder: Path | None = None,
        repo_type: str = "model",
        private: bool = False,
        gated: bool = False,
    ) -> str:
        """Make a repository, without the checks that clients are subject to.

        Args:
            repo_id: ``"namespace/name"``.
            files: Path to content (a ``Path`` is read, a ``str`` is written as UTF-8).
            folder: A folder whose files are all added.
            repo_type: ``"model"`` or ``"dataset"``.
            private: Only its namespace sees it.
            gated: Only its namespace and who was granted access gets files.

        Returns:
            The id of the commit that ``main`` stands at.
        """
        namespace = repo_id.split("/")[0]
        repo = create_repo(self.state.store, repo_type, repo_id, private=private, author=namespace)
        if gated:
            repo.gated = "manual"
            self.state.store.save(repo)
        contents: dict[str, Content] = dict(files or {})
        if folder:
            inside = (path for path in sorted(Path(folder).rglob("*")) if path.is_file())
            contents |= {path.relative_to(folder).as_posix(): path for path in inside}
        if not contents:
            return repo.refs["refs/heads/main"]
        return self.add_commit(repo_id, contents, repo_type=repo_type)

    def add_commit(
        self,
        repo_id: str,
        files: Mapping[str, Content] | None = None,
        *,
        delete: Iterable[str] = (),
        repo_type: str = "model",
        branch: str = "main",
        message: str = "Add files",
    ) -> str:
        """Commit to a repository behind the clients' back; returns the commit id."""
        repo = self.repo(repo_id, repo_type)
        store = self.state.store
        with store.lock:
            head = repo.resolve(branch)
            changed = {path: self._entry(head, path, item) for path, item in (files or {}).items()}
            merged = {**head.files, **changed}
            for path in delete:
                del merged[path]
            return store.add_commit(
                repo,
                f"refs/heads/{branch}",
                merged,
                parents=[head.oid],
                title=message,
                author=repo.namespace,
            ).oid

    def repo(self, repo_id: str, repo_type: str = "model") -> Repo:
        """The stored repository: its settings, refs, discussions and commits.

        Raises:
            KeyError: If there is none.
        """
        repo = self.state.store.get(repo_type, repo_id)
        if repo is None:
            raise KeyError(f"{repo_type} {repo_id}")
        return repo

    def commit(self, repo_id: str, revision: str = "main", repo_type: str = "model") -> Commit:
        """A stored commit; its ``files`` are path to ``FileEntry``."""
        return self.repo(repo_id, repo_type).resolve(revision)

    def read(
        self, repo_id: str, path: str, revision: str = "main", repo_type: str = "model"
    ) -> bytes:
        """The content of a stored file. Raises KeyError if there is none."""
        return self.state.store.blobs.read(
            self.commit(repo_id, revision, repo_type).files[path].sha256
        )

    def grant(self, repo_id: str, user: str, repo_type: str = "model") -> None:
        """Let a user into a gated repository."""
        repo = self.repo(repo_id, repo_type)
        repo.granted.append(user)
        self.state.store.save(repo)

    def flag_unsafe(self, repo_id: str, path: str, level: str = "unsafe") -> None:
        """Have the Hub's security scan flag a file of a model (``securityRepoStatus``)."""
        repo = self.repo(repo_id)
        repo.security_issues.append({"path": path, "level": level})
        self.state.store.save(repo)

    def env(self, hf_home: Path, token: str | None = None) -> dict[str, str]:
        """The environment for a client in a subprocess.

        Args:
            hf_home: Where the client keeps its caches; a fresh folder keeps tests apart.
            token: The client's token; None for an anonymous one.
        """
        ours = ("HF_", "HUGGING", "TRANSFORMERS_")
        env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        env |= {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(hf_home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
        if token:
            env["HF_TOKEN"] = token
        return env

    def _entry(self, head: Commit, path: str, content: Content) -> FileEntry:
        """Store a content the way an upload would: by LFS or regular."""
        blobs = self.state.store.blobs
        if isinstance(content, Path):
            sha256 = blobs.put_file(content)
        else:
            sha256 = blobs.put(content.encode() if isinstance(content, str) else content)
        tracked: list[str] = []
        with contextlib.suppress(KeyError):
            tracked = lfs_tracked(blobs.read(head.files[".gitattributes"].sha256).decode())
        with blobs.path(sha256).open("rb") as stream:
            mode = upload_mode(path, blobs.size(sha256), stream.read(512), tracked)
        return blobs.lfs_entry(sha256) if mode == "lfs" else blobs.regular_entry(sha256)


def _listen(port: int) -> socket.socket:
    """A listening socket on localhost."""
    # asyncio sets TCP_NODELAY only on sockets whose protocol it can tell, and
    # accepted ones inherit both that and the options from the listening one.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener
