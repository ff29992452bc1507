"""Tensors that may outgrow memory: how much there is, and room in a temporary file for more.

The file has no name once it is mapped (where the system allows it), so it is gone when the
tensor is, whatever becomes of the process.
"""

from __future__ import annotations

import math
import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from torch import Tensor

from ngf_hub.errors import DataError, NgfHubError

VARIABLE = "NGF_HUB_MEMORY"
"""The environment variable that bounds a cache, in GiB; ``--memory`` sets it."""
SHARE = 0.25
"""Of the free memory, what a cache may take where nothing is said."""
_CGROUP = Path("/sys/fs/cgroup")


def free_memory(device: torch.device | None = None) -> int:
    """Bytes that are free: on a CUDA device, or on this machine for this process.

    Processes that a launcher started on one machine share what it has; a control group
    (a container's limit) counts too.
    """
    if device is not None and device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    import psutil  # type: ignore[import-untyped]

    free = int(psutil.virtual_memory().available)
    with suppress(OSError, ValueError):  # no such group, or "max"
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        cached = _inactive_file()
        free = min(free, max(0, limit - used + cached))
    return free // max(1, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def _inactive_file() -> int:
    """Bytes of the group's page cache, which are given up when they are needed."""
    for line in (_CGROUP / "memory.stat").read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == "inactive_file":
            return int(value)
    return 0


def memory_bound(device: torch.device | None = None, share: float = SHARE, beside: int = 0) -> int:
    """Bytes that something may take in memory: as the user says, else a share of what is free.

    Args:
        device: Where.
        share: The share.
        beside: Bytes that something else will take there meanwhile.

    Raises:
        NgfHubError: What the user says is no number above 0.
    """
    said = os.environ.get(VARIABLE)
    if not said:
        return int(share * max(0, free_memory(device) - beside))
    try:
        bound = float(said)
    except ValueError:
        bound = math.nan
    if not (math.isfinite(bound) and bound > 0):
        raise NgfHubError(f"{VARIABLE}={said!r} is no number of GiB.", "Give such as 4 or 0.5.")
    return int(bound * 2**30)


@contextmanager
def bounded(gib: float | None) -> Iterator[None]:
    """Within it :func:`memory_bound` is so many GiB; as it was for ``None``."""
    before = os.environ.get(VARIABLE)
    if gib is not None:
        os.environ[VARIABLE] = str(gib)
    try:
        yield
    finally:
        if gib is not None:
            os.environ.pop(VARIABLE, None)
            if before is not None:
                os.environ[VARIABLE] = before


def room(shape: Sequence[int], dtype: torch.dtype, what: str, bound: int) -> Tensor:
    """An empty tensor on the CPU: in memory, or mapped to a temporary file above the bound.

    Args:
        shape: Its shape.
        dtype: Its type.
        what: What it will hold, for the error.
        bound: Bytes up to which it lies in memory.

    Raises:
        DataError: The disk has no room for it.
    """
    count = math.prod(shape)
    size = count * dtype.itemsize
    if size <= bound or count == 0:
        return torch.empty(tuple(shape), dtype=dtype)
    try:
        handle, name = tempfile.mkstemp(prefix=f"ngf-hub-{what}-")
    except OSError as error:
        raise _no_room(size, what) from error
    try:
        _reserve(handle, size)
        mapped = torch.from_file(name, shared=True, size=count, dtype=dtype)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise _no_room(size, what) from error
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    tensor = mapped.view(tuple(shape))
    try:
        Path(name).unlink()
    except PermissionError:  # Windows keeps files that are mapped
        weakref.finalize(tensor, _remove, name)
    return tensor


def _no_room(size: int, what: str) -> DataError:
    return DataError(
        f"There is no room for {size / 2**30:.1f} GiB of {what} in {tempfile.gettempdir()}.",
        "Free some space, set TMPDIR to another disk, or use fewer images.",
    )


def _remove(name: str) -> None:
    with suppress(OSError):
        Path(name).unlink()


def _reserve(handle: int, size: int) -> None:
    """Allocate a file's blocks now: writing to a mapped file on a full disk kills the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
        return
    block = bytes(2**20)
    while size > 0:
        size -= os.write(handle, block[: min(size, len(block))])
