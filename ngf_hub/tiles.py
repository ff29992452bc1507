"""Matrix tiles (Intel AMX) that a processor names and does not run.

Some virtual machines show AMX in CPUID and stop a program at the first such instruction
(SIGILL). oneDNN, by which PyTorch computes bf16 on the CPU, believes them until a release
after PyTorch 2.15's (https://github.com/uxlfoundation/oneDNN/issues/5689).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

LIMIT = "ONEDNN_MAX_CPU_ISA"
"""oneDNN's setting for the newest instructions that it uses, read at its first use."""
WITHOUT_TILES = "AVX512_CORE_FP16"
_PATIENCE = 5
"""Seconds that the trial may take."""


@cache
def avoid_broken_tiles() -> bool:
    """Have PyTorch do without tiles if they stop the program; what the user set stays.

    To be called before anything is computed: oneDNN then settles on its instructions.

    Returns:
        Whether bf16 can be computed on the CPU: not if tiles stop the program, and it is too late.
    """
    if LIMIT in os.environ or not _named():
        return True
    import torch  # noqa: F401  (the trial has few seconds)

    if not stops(_multiply):
        return True
    os.environ[LIMIT] = WITHOUT_TILES
    if stops(_multiply):
        del os.environ[LIMIT]
        return False
    return True


def stops(trial: Callable[[], object]) -> bool:
    """Whether something stops a program by an illegal instruction, tried in a child process.

    The child is forked, so that what oneDNN has settled in this process holds there too.
    """
    import faulthandler
    import resource

    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGILL
    try:
        faulthandler.disable()  # else it is shown as if this program had ended
        signal.signal(signal.SIGILL, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_PATIENCE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        trial()
    finally:
        os._exit(0)


def _named() -> bool:
    if sys.platform != "linux":
        return False
    try:
        return " amx_tile" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def _multiply() -> None:
    import torch

    torch.set_num_threads(1)  # a forked process has none of the threads that wait for work
    square = torch.ones(64, 64, dtype=torch.bfloat16)
    torch.mm(square, square)
