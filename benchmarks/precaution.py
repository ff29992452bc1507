"""What does a precaution cost a clean network, and is it kept there at all?

    NGF_HUB_SHARED=... python -m benchmarks.precaution --table DIR

On the clean networks of :mod:`benchmarks.attack_table` (``--clean-seeds``) ``auto`` is
told to forget as a precaution whatever comes nearest a backdoor, however far that is
(``caution=1``). By its default only few clean networks come so near that it tries.
Test images without labels tune, and others with labels judge.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.known_models import known_folders, read
from ngf_hub import purify
from ngf_hub.cure_report import Attempt

SAMPLES, JUDGES = 500, 2000


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--caution", type=float, default=1.0, help="the option of auto")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| clean network | p-value | left by the attempt | state | n | ACC lost |")
    print("| --- | --- | --- | --- | --- | --- |")
    for folder in known_folders(arguments.table, [arguments.table], backdoored=False):
        known = read(folder)
        images = known.images(SAMPLES + JUDGES, seed=0, labelled=True)
        cut = min(SAMPLES, len(images) // 2)
        tuning, judge = images.select(range(cut)), images.select(range(cut, len(images)))
        tuning.labels = None
        report = purify(
            known.classifier,
            tuning,
            judge=judge.pixels,
            judge_labels=judge.labels,
            options={"caution": arguments.caution},
            device="cpu",
        ).report
        assert report.cure is not None
        assert report.after is not None
        before, after = report.before.accuracy, report.after.accuracy
        lost = 100 * ((before.value or 0.0) - (after.value or 0.0))
        p_value = report.cure.suspected.p_value
        print(
            f"| {folder.name} | {p_value or 1:.2f} | {_left(report.cure.attempts)} | "
            f"{report.cure.state} | {before.n:,} | {lost:.1f} |",
            flush=True,
        )


def _left(attempts: list[Attempt]) -> str:
    """ASR of recovered triggers that the first attempt was not told of."""
    return attempts[0].success.percent() if attempts else "none was made"


if __name__ == "__main__":
    main()
