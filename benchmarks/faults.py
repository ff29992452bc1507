"""The product on a Hub that fails, on disks that fill up, and killed at random moments.

    python -m benchmarks.faults [--plans 1000 --kills 100 --slots 6 --results FILE]

Each plan runs one command with faults drawn from the seed, checks what it left on the
local Hub, in the cache and in its folder, and runs the same command again without them.
A run that is stopped goes on where it was: the plans that stand in the results are done.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.faults.plans import Plan, Told, draw, draw_kill
from tests.faults.process import small_disks
from tests.faults.slots import carry_out_all, references_of, start

SHOWN = 40


def main() -> None:
    """Carry out what is not done yet, and print the figures of all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--plans", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--slots", type=int, default=6, help="plans at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="*", help="carry out these plans again")
    parser.add_argument("--mild", action="store_true", help="no fault that lasts: for a short test")
    parser.add_argument("--results", type=Path, default=Path("faults.jsonl"))
    options = parser.parse_args()
    started = time.monotonic()
    done = read(options.results, options.seed)
    disks = small_disks()
    with tempfile.TemporaryDirectory(prefix="ngf-hub-faults-") as work:
        slots = start(options.slots, Path(work))
        requests = {
            name: known.requests for name, known in references_of(Path(work, "world")).items()
        }
        plans = [
            draw(n, options.seed, requests, disks=disks, mild=options.mild)
            for n in range(options.plans)
        ]
        plans += [draw_kill(n, options.seed) for n in range(options.kills)]
        if options.only is not None:
            plans = [plan for plan in plans if plan.number in options.only]
            done = {}
        wanted = {_key(plan.to_dict()) for plan in plans}
        left = [plan for plan in plans if _key(plan.to_dict()) not in done]
        for told in carry_out_all(left, slots):
            done[_key(told.plan)] = told
            keep(options.results, options.seed, told)
        for slot in slots:
            slot.end()
    results = [told for key, told in sorted(done.items()) if key in wanted]
    print("\n".join(summary(results, disks=disks)))
    print(f"{time.monotonic() - started:.0f} s for {len(left)} plans, {options.slots} at a time")


def _key(plan: dict) -> tuple[bool, int]:
    return plan["kill"] is not None, plan["number"]


def read(path: Path, seed: int) -> dict[tuple[bool, int], Told]:
    """What an earlier run with the same seed has done."""
    if not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    told = [Told(**line["told"]) for line in lines if line["seed"] == seed]
    return {_key(one.plan): one for one in told}


def keep(path: Path, seed: int, told: Told) -> None:
    """Append a result."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"seed": seed, "told": asdict(told)}) + "\n")


def kinds(told: Told) -> list[str]:
    """What went wrong in a plan, in a word each."""
    from tests.hub.faults import Fault

    plan = {**told.plan, "faults": tuple(Fault(**fault) for fault in told.plan["faults"])}
    return Plan(**plan).kinds


def summary(results: Sequence[Told], *, disks: bool) -> Iterable[str]:
    """The lines that are printed."""
    plans = [told for told in results if told.plan["kill"] is None]
    kills = [told for told in results if told.plan["kill"] is not None]
    yield f"fault plans: {len(plans)}" + ("" if disks else " (no small disks on this system)")
    counts = Counter(_ending(told) for told in plans)
    for ending, count in sorted(counts.items()):
        yield f"  {ending}: {count}"
    yield f"  faults that came to pass: {sum(told.happened for told in plans)}"
    yield f"  {'fault':12} plans  ended right  said what failed  misses"
    for kind in sorted({kind for told in plans for kind in kinds(told)}):
        of_kind = [told for told in plans if kind in kinds(told)]
        endings = Counter(_ending(told) for told in of_kind)
        missed = sum(bool(told.misses) for told in of_kind)
        yield (
            f"  {kind:12} {len(of_kind):5}  {endings['ended right']:11}  "
            f"{endings['said in one line what failed']:16}  {missed:6}"
        )
    yield f"kills: {len(kills)}"
    for ending, count in sorted(Counter(_ending(told) for told in kills).items()):
        yield f"  {ending}: {count}"
    yield f"  left litter that the next run did not clear: {sum(bool(t.litter) for t in kills)}"
    missed = [told for told in results if told.misses]
    yield f"misses: {len(missed)} of {len(results)}"
    for told in missed[:SHOWN]:
        yield f"  {told.plan['number']} {told.plan['command']} {', '.join(kinds(told))}: "
        yield from (f"      {' '.join(miss.split())[:300]}" for miss in told.misses[:4])


def _ending(told: Told) -> str:
    if told.first == -9:
        return "killed"
    if told.first == 2:
        return "said in one line what failed"
    if told.partial:
        return "ended, and the report says which file it could not look at"
    return "ended right" if told.first == 0 else f"exit code {told.first}"


if __name__ == "__main__":
    main()
