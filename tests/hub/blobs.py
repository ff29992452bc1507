"""Contents on disk, addressed by their SHA-256."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class FileEntry:
    """A file of a commit.

    Attributes:
        oid: Git's id of the blob; for an LFS file that of its pointer.
        size: Bytes of the content (not of the pointer).
        sha256: Of the content, and so where it lies in the blob store.
        lfs: Whether the file is kept by Git LFS.
        pointer_size: Bytes of the LFS pointer, 0 for a regular file.
    """

    oid: str
    size: int
    sha256: str
    lfs: bool
    pointer_size: int = 0


def git_blob_id(data: bytes) -> str:
    """The id that ``git hash-object`` gives to these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class BlobStore:
    """Immutable contents under ``root``, each stored once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.temporary = root / "incoming"
        self.temporary.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        return self.root / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        """Whether the content is there; what is no SHA-256 never is."""
        return bool(_SHA256.fullmatch(sha256)) and self.path(sha256).is_file()

    def size(self, sha256: str) -> int:
        return self.path(sha256).stat().st_size

    def read(self, sha256: str) -> bytes:
        return self.path(sha256).read_bytes()

    def writer(self) -> BlobWriter:
        return BlobWriter(self)

    def put(self, data: bytes) -> str:
        with self.writer() as writer:
            writer.write(data)
            return writer.commit()

    def put_file(self, source: Path) -> str:
        with self.writer() as writer, source.open("rb") as stream:
            while chunk := stream.read(CHUNK):
                writer.write(chunk)
            return writer.commit()

    def regular_entry(self, sha256: str) -> FileEntry:
        data = self.read(sha256)
        return FileEntry(git_blob_id(data), len(data), sha256, lfs=False)

    def lfs_entry(self, sha256: str) -> FileEntry:
        size = self.size(sha256)
        pointer = (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
        ).encode()
        return FileEntry(git_blob_id(pointer), size, sha256, lfs=True, pointer_size=len(pointer))


class BlobWriter:
    """Takes a content piece by piece; nothing is kept unless ``commit`` is reached."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        descriptor, name = tempfile.mkstemp(dir=blobs.temporary)
        self._stream = os.fdopen(descriptor, "wb")
        self._path = Path(name)
        self._hash = hashlib.sha256()
        self.size = 0

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._path.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        self._stream.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def commit(self) -> str:
        self._stream.close()
        target = self._blobs.path(self.sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(self._path, target)
        return self.sha256
