"""Weight files: read with every check, and written as safetensors.

A safetensors file is checked before a model is built from it; a pickle is read
only if the static scan finds nothing and only as plain tensors.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ngf_hub.checksums import sha256
from ngf_hub.errors import ModelError, UnsafeFileError
from ngf_hub.evidence.files import scan_pickle
from ngf_hub.evidence.safetensors_header import loads_quickly
from ngf_hub.text import plain

STORAGE_TYPES = (torch.float16, torch.bfloat16, torch.float32)
# Where training scripts put the weights in a checkpoint; timm looks in the same places.
_NESTED = ("state_dict_ema", "model_ema", "state_dict", "model")
_LFS_POINTER = b"version https://git-lfs"


@dataclass
class Weights:
    """The tensors of a checkpoint.

    Attributes:
        tensors: By the name that the file gives them.
        storage_dtype: What they are stored as; float32 where types are mixed.
        hashes: SHA-256 of each file, by its name.
        notes: What a reader should know.
    """

    tensors: dict[str, Tensor]
    storage_dtype: torch.dtype
    hashes: dict[str, str]
    notes: tuple[str, ...] = ()


def read_weights(paths: Sequence[Path]) -> Weights:
    """Read the files of one checkpoint.

    Args:
        paths: One file, or the shards.

    Raises:
        ModelError: A file is truncated or corrupt, or a weight is quantised,
            NaN or infinite.
        UnsafeFileError: A pickle that the static scan or ``weights_only`` refuses.
    """
    tensors: dict[str, Tensor] = {}
    hashes = {}
    notes = []
    for path in paths:
        _check_not_pointer(path)
        if path.suffix == ".safetensors":
            tensors.update(_read_safetensors(path))
        else:
            tensors.update(_read_pickle(path))
            notes.append(
                f"{path.name} is a pickle: it passed the static scan and was read as "
                "plain tensors (weights_only); the output is safetensors"
            )
        hashes[path.name] = sha256(path)
    dtype, mixed = _check_types(tensors)
    check_finite(tensors.items())
    return Weights(tensors, dtype, hashes, (*notes, *mixed))


def check_finite(tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Refuse NaN and infinity.

    Raises:
        ModelError: It names the first tensor that holds one.
    """
    for name, tensor in tensors:
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            bad = int((~torch.isfinite(tensor)).sum())
            raise ModelError(
                f"{bad} of {tensor.numel()} values of {plain(name)} are NaN or infinite.",
                "The checkpoint is broken: use another revision of it.",
            )


def storage_dtype(module: nn.Module) -> torch.dtype:
    """The type to store a module's weights in, by what they are now."""
    return _common_type(dict(module.named_parameters()))[0]


def write_safetensors(state: Mapping[str, Tensor], path: Path, dtype: torch.dtype) -> None:
    """Write tensors as safetensors, floating-point ones as ``dtype``.

    Tensors that share memory are written out one by one, as ``load_state_dict``
    of the plain model expects them all.
    """
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    with disk_errors():
        save_file(stored(state, dtype), path, metadata={"format": "pt"})


@contextmanager
def disk_errors() -> Iterator[None]:
    """Safetensors wraps what the system says into its own exception: unwrap it.

    Raises:
        OSError: With the system's ``errno``, such as that of a full disk.
    """
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def stored(state: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """A copy on the CPU with floating-point tensors as ``dtype``, nothing shared."""
    return {
        name: tensor.detach()
        .to(device="cpu", dtype=dtype if tensor.is_floating_point() else tensor.dtype)
        .clone(memory_format=torch.contiguous_format)
        for name, tensor in state.items()
    }


def _check_not_pointer(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(len(_LFS_POINTER))
    if start == _LFS_POINTER:
        raise ModelError(
            f"{path.name} is a Git LFS pointer and not the weights.", "Run `git lfs pull` there."
        )
    if not start:
        raise ModelError(f"{path.name} is empty.", f"Delete {path} and fetch it again.")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if not loads_quickly(path):
            raise ValueError("its header is too long")
        return dict(load_file(path))
    except (SafetensorError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path.name} is truncated or corrupt ({plain(error, 80)}).",
            f"Delete {path} and fetch it again.",
        ) from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    findings = scan_pickle(path)
    if findings:
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        raise UnsafeFileError(
            f"{path.name} is a pickle that is refused: {findings[0].reason}{more}.",
            "Ask for safetensors, or convert it yourself if you trust its author.",
            details="\n".join(finding.reason for finding in findings),
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    # Reading hostile or cut files can end in any exception; all mean the same.
    except Exception as error:
        raise UnsafeFileError(
            f"{path.name} cannot be read as plain tensors ({type(error).__name__}).",
            f"Delete {path} and fetch it again, or use a checkpoint in safetensors.",
        ) from error
    tensors = _find_tensors(content)
    if not tensors:
        raise ModelError(f"{path.name} holds no weights.", "Use a checkpoint in safetensors.")
    return tensors


def _find_tensors(content: Any) -> dict[str, Tensor]:
    """The state dictionary in a checkpoint, without the ``module.`` of DataParallel."""
    if not isinstance(content, dict):
        return {}
    for key in _NESTED:
        if isinstance(content.get(key), dict):
            content = content[key]
            break
    tensors = {
        key: value.detach()
        for key, value in content.items()
        if isinstance(key, str) and isinstance(value, Tensor)
    }
    if tensors and all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    return tensors


def _common_type(tensors: Mapping[str, Tensor]) -> tuple[torch.dtype, tuple[str, ...]]:
    """The one floating-point type of all, or float32 with a note."""
    sizes: Counter[torch.dtype] = Counter()
    for tensor in tensors.values():
        if tensor.is_floating_point():
            sizes[tensor.dtype] += tensor.numel()
    if len(sizes) == 1:
        (dtype,) = sizes
        return (dtype if dtype in STORAGE_TYPES else torch.float32), ()
    names = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in sizes))
    return torch.float32, (f"the weights mix {names}; they are written as float32",)


def _check_types(tensors: Mapping[str, Tensor]) -> tuple[torch.dtype, tuple[str, ...]]:
    for name, tensor in tensors.items():
        # Other integers are counters, indices and masks.
        number = tensor.is_floating_point() and tensor.dtype.itemsize > 1
        if not number and (name.endswith("weight") or tensor.is_floating_point()):
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ModelError(
                f"{plain(name)} is stored as {kind}: quantised or complex weights cannot be tuned.",
                "Use the checkpoint in float32, float16 or bfloat16.",
            )
    if not any(tensor.is_floating_point() for tensor in tensors.values()):
        raise ModelError("The checkpoint holds no floating-point weights.")
    return _common_type(tensors)
