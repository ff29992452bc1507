"""Fuzz the readers of reports, scans, triggers, configs and cards for long.

Usage: ``python -m benchmarks.fuzz [--examples 10000] [--only report.json] [--seed 0]``

Prints a line a reader: examples, seconds, the memory that the process took at most, and
what was found.
"""

from __future__ import annotations

import argparse
import logging
import resource
import tempfile
import time
import warnings
from pathlib import Path

from hypothesis import HealthCheck, given, seed, settings

from tests.malice.fuzzing import PROPERTIES


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--examples", type=int, default=10_000, help="of each reader")
    parser.add_argument("--only", choices=sorted(PROPERTIES), action="append")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    print(f"{'reader':<28} {'examples':>9} {'seconds':>8} {'peak MiB':>9}  found")
    for name in arguments.only or PROPERTIES:
        count, seconds, found = fuzz(name, arguments.examples, arguments.seed)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(f"{name:<28} {count:>9,} {seconds:>8.1f} {peak:>9,}  {found}", flush=True)


def fuzz(name: str, examples: int, start: int) -> tuple[int, float, str]:
    """Try a reader; how many examples it saw, in how many seconds, and what was wrong."""
    strategy, check = PROPERTIES[name]
    tried = 0

    @seed(start)
    @settings(max_examples=examples, deadline=None, database=None, print_blob=False,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(strategy)
    def run(example: object) -> None:
        nonlocal tried
        tried += 1
        check(example, folder)

    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        try:
            run()
        except Exception as error:
            return tried, time.perf_counter() - begun, f"{type(error).__name__}: {error}"[:300]
    return tried, time.perf_counter() - begun, "nothing"


if __name__ == "__main__":
    main()
