"""Where computation runs: one Accelerator for placement, precision and reduction.

Work is sharded by striding over indices, and sums are reduced over the
processes, so that N processes give what one gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ngf_hub.errors import NgfHubError

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
    from accelerate.state import AcceleratorState, PartialState

    state, partial = AcceleratorState._shared_state, PartialState._shared_state
    # A second call in one process may ask for another device or precision, which
    # Accelerate's shared state would refuse; where it asks for the same, the state stays.
    if partial and (
        partial.get("_cpu", False) != (device == "cpu")
        or state.get("_mixed_precision", mixed_precision) != mixed_precision
    ):
        AcceleratorState._reset_state(reset_partial_state=True)
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
    try:
        return Accelerator(cpu=kind == "cpu", mixed_precision=mixed_precision)
    except ValueError as error:
        raise NgfHubError(f"Precision {mixed_precision!r} cannot be used here: {error}") from error


def shard(count: int, accelerator: Accelerator) -> range:
    """The indices of 0..count-1 that are this process's share."""
    return range(accelerator.process_index, count, accelerator.num_processes)


def total(value: Tensor, accelerator: Accelerator) -> Tensor:
    """The sum of ``value`` over all processes, on each of them."""
    if accelerator.num_processes == 1:
        return value
    reduced: Tensor = accelerator.reduce(value, reduction="sum")
    return reduced
