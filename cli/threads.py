"""How long the threads of a command wait for each other at full speed."""

from __future__ import annotations

import os

SPINS = "GOMP_SPINCOUNT"
"""How often GNU's OpenMP, which PyTorch's Linux wheels bring, looks whether a thread is done."""
COUNT = 10_000
POLICY = "OMP_WAIT_POLICY"


def wait_briefly() -> None:
    """Have a thread that waits for another one sleep soon; before PyTorch is imported.

    Left to itself it looks some 300,000 times, which holds a core for milliseconds. If another
    program keeps one of the cores busy, this is the core that the thread waited for
    needs, and small networks are ten times slower. Sleeping at once costs as much as a second
    thread gains. What the user has set stays.
    """
    if POLICY not in os.environ:
        os.environ.setdefault(SPINS, str(COUNT))
