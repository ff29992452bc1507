"""Where computation runs: one Accelerator for placement, precision and reduction.

Work is sharded by striding over indices, and sums are reduced over the
processes, so that N processes give what one gives.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, cast

from ngf_hub.errors import NgfHubError
from ngf_hub.tiles import LIMIT, WITHOUT_TILES, avoid_broken_tiles

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor


PRECISIONS = ("no", "bf16", "fp16")


def make_accelerator(device: str | None = None, mixed_precision: str = "no") -> Accelerator:
    """The Accelerator that everything else is given.

    Args:
        device: ``None`` for the best device at hand, or ``cpu``, ``cuda``,
            ``cuda:1``, ``mps``.
        mixed_precision: ``no``, ``fp16`` or ``bf16``; forward passes only,
            curvature stays in float32 or better.

    Raises:
        NgfHubError: The device is not there or cannot do the precision.
    """
    import torch
    from accelerate import Accelerator

    if mixed_precision not in PRECISIONS:
        raise NgfHubError(
            f"Unknown precision {mixed_precision!r}.", f"Use {', '.join(PRECISIONS)}."
        )
    kind, _, index = (device or "").partition(":")
    if kind not in ("", "cpu", "cuda", "mps"):
        raise NgfHubError(f"Unknown device {device!r}.", "Use cpu, cuda, cuda:N or mps.")
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise NgfHubError("No CUDA device is available.", "Leave out --device to use the CPU.")
        if index:
            if not index.isdigit() or int(index) >= torch.cuda.device_count():
                count = torch.cuda.device_count()
                raise NgfHubError(f"There is no device {device!r}: {count} CUDA device(s) found.")
            torch.cuda.set_device(int(index))
    if kind == "mps" and not torch.backends.mps.is_available():
        raise NgfHubError("No MPS device is available.", "Leave out --device to use the CPU.")
    # Several processes without a device talk to each other only if Accelerate is told so.
    without = not (torch.cuda.is_available() or torch.xpu.is_available())
    cpu = kind == "cpu" or (not kind and processes() > 1 and without)
    _forget_other(cpu, mixed_precision)
    try:
        accelerator = Accelerator(cpu=cpu, mixed_precision=mixed_precision)
    except ValueError as error:
        raise NgfHubError(f"Precision {mixed_precision!r} cannot be used here: {error}") from error
    if mixed_precision == "fp16" and accelerator.device.type == "cpu":
        raise NgfHubError("Precision 'fp16' cannot be used on the CPU.", "Use bf16 or no.")
    if mixed_precision == "bf16" and accelerator.device.type == "cpu" and not avoid_broken_tiles():
        raise NgfHubError(
            "The processor names AMX and does not run it, as on some virtual machines; "
            "bf16 would stop the program.",
            f"Set {LIMIT}={WITHOUT_TILES} before Python starts, or leave the precision at 'no'.",
        )
    return accelerator


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processes() -> int:
    """How many processes a launcher started together, this one among them."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def _forget_other(cpu: bool, mixed_precision: str) -> None:
    """Let a second call in one process ask for another device or precision.

    Accelerate's shared state would refuse that; where it asks for the same, the state stays.
    """
    from accelerate.state import AcceleratorState, PartialState

    state, partial = AcceleratorState._shared_state, PartialState._shared_state
    if partial and (
        partial.get("_cpu", False) != cpu
        or state.get("_mixed_precision", mixed_precision) != mixed_precision
    ):
        AcceleratorState._reset_state(reset_partial_state=True)


def shard(count: int, accelerator: Accelerator) -> range:
    """The indices of 0..count-1 that are this process's share."""
    return range(accelerator.process_index, count, accelerator.num_processes)


def total(value: Tensor, accelerator: Accelerator) -> Tensor:
    """The sum of ``value`` over all processes, on each of them."""
    if accelerator.num_processes == 1:
        return value
    reduced: Tensor = accelerator.reduce(value, reduction="sum")
    return reduced


def exchanged(payload: bytes, accelerator: Accelerator) -> list[bytes]:
    """The bytes that each process gave, in the order of the processes, on each of them."""
    import torch

    count, rank, device = accelerator.num_processes, accelerator.process_index, accelerator.device
    if count == 1:
        return [payload]
    lengths = torch.zeros(count, dtype=torch.int64, device=device)
    lengths[rank] = len(payload)
    sizes = [int(size) for size in total(lengths, accelerator).tolist()]
    rows = torch.zeros(count, max(1, *sizes), dtype=torch.uint8)
    rows[rank, : len(payload)] = torch.frombuffer(bytearray(payload or b"\0"), dtype=torch.uint8)[
        : len(payload)
    ]
    found = total(rows.to(device), accelerator).cpu()
    return [bytes(row[:size].numpy()) for row, size in zip(found, sizes, strict=True)]


@contextmanager
def failing_together(accelerator: Accelerator) -> Iterator[None]:
    """A block that every process runs its own share of: if it fails on one, it fails on all.

    Else those that went on would wait for the others for ever.

    Raises:
        ModelError: The share of another process failed by one, or ran out of memory.
    """
    import torch

    from ngf_hub.errors import ModelError

    raised: Exception | None = None
    try:
        yield
    except Exception as error:
        raised = error
    if accelerator.num_processes > 1:
        flag = torch.tensor(int(raised is not None), device=accelerator.device)
        if total(flag, accelerator) > 0 and raised is None:
            raised = ModelError("Another process failed on its share of the work.")
    if raised is not None:
        raise raised


class Alone:
    """What an Accelerator is to work that one process does by itself: its device and precision.

    Args:
        accelerator: Of several processes.
    """

    num_processes, process_index, is_main_process = 1, 0, True

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self.device = accelerator.device
        self.mixed_precision = accelerator.mixed_precision

    def autocast(self) -> AbstractContextManager[Any]:
        """The precision of forward passes."""
        return cast("AbstractContextManager[Any]", self._accelerator.autocast())


def alone(accelerator: Accelerator) -> Accelerator:
    """An Accelerator of this process only, by which nothing is divided or reduced."""
    return cast("Accelerator", Alone(accelerator))
