"""Before an upload: which files go by LFS, which are ignored, which are there already."""

from __future__ import annotations

import base64
import binascii
from fnmatch import fnmatchcase

from starlette.responses import JSONResponse, Response

from .blobs import BlobStore
from .errors import bad_request
from .routing import Call, Router
from .store import Files

router = Router()

MAX_REGULAR = 10 * 1024 * 1024
_LFS_PATTERNS = (
    "*.7z *.arrow *.bin *.bz2 *.ckpt *.ftz *.gz *.h5 *.joblib *.lfs.* *.mlmodel *.model *.msgpack "
    "*.npy *.npz *.onnx *.ot *.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors "
    "saved_model/**/* *.tar.* *.tar *.tflite *.tgz *.wasm *.xz *.zip *.zst *tfevents*"
)
GITATTRIBUTES = "".join(
    f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in _LFS_PATTERNS.split()
)


@router.on("POST", "/api/{kind}/{ns}/{name}/preupload/{rev}")
async def preupload(call: Call) -> Response:
    repo = call.repo()
    if call.flag("create_pr"):
        call.caller.require_login()
    elif not call.params["rev"].startswith("refs/pr/"):
        call.caller.require_write(repo)
    files = repo.resolve(call.params["rev"]).files
    body = await call.json()
    blobs = call.state.store.blobs
    lfs_patterns = lfs_tracked(_text(blobs, files, ".gitattributes"))
    ignore = body.get("gitIgnore", _text(blobs, files, ".gitignore"))
    answer = []
    for file in body.get("files", []):
        try:
            path, size = file["path"], int(file["size"])
            sample = base64.b64decode(file.get("sample", ""))
        except (KeyError, TypeError, ValueError, binascii.Error):
            raise bad_request("Each file needs a path, a size and a base64 sample") from None
        present = files.get(path)
        answer.append(
            {
                "path": path,
                "uploadMode": upload_mode(path, size, sample, lfs_patterns),
                "shouldIgnore": is_ignored(path, ignore),
                # What the client compares with its own hash to leave out unchanged files.
                "oid": present and (present.sha256 if present.lfs else present.oid),
            }
        )
    return JSONResponse({"files": answer, "commitOid": repo.resolve(call.params["rev"]).oid})


def upload_mode(path: str, size: int, sample: bytes, lfs_patterns: list[str]) -> str:
    """``"lfs"`` for what .gitattributes tracks, for large and for binary files."""
    tracked = any(_matches(path, pattern) for pattern in lfs_patterns)
    return "lfs" if tracked or size > MAX_REGULAR or _is_binary(sample) else "regular"


def lfs_tracked(gitattributes: str) -> list[str]:
    """The patterns that a .gitattributes hands to LFS."""
    rows = [line.split() for line in gitattributes.splitlines()]
    return [row[0] for row in rows if "filter=lfs" in row[1:]]


def is_ignored(path: str, gitignore: str) -> bool:
    """Whether a .gitignore leaves a path out; the last pattern that matches decides."""
    ignored = False
    for line in gitignore.splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        keep = pattern.startswith("!")
        pattern = pattern.removeprefix("!")
        candidates = ["/".join(path.split("/")[:n]) for n in range(1, path.count("/") + 1)]
        if not pattern.endswith("/"):
            candidates.append(path)
        if any(_matches(candidate, pattern.rstrip("/")) for candidate in candidates):
            ignored = not keep
    return ignored


def _matches(path: str, pattern: str) -> bool:
    """Git's rule: a pattern without a slash is held against the last part only."""
    if "/" not in pattern:
        return fnmatchcase(path.rsplit("/", 1)[-1], pattern)
    return fnmatchcase(path, pattern.removeprefix("/").replace("**/", ""))


def _is_binary(sample: bytes) -> bool:
    if b"\0" in sample:
        return True
    try:
        sample.decode()
    except UnicodeDecodeError as error:
        # A character of up to four bytes may be cut off at the sample's end.
        return error.start < len(sample) - 3
    return False


def _text(blobs: BlobStore, files: Files, path: str) -> str:
    entry = files.get(path)
    return blobs.read(entry.sha256).decode(errors="replace") if entry else ""
