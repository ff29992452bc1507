"""What goes wrong in a run, drawn from a seed."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.hub.faults import OF_BODY, Fault

Requests = Mapping[str, Sequence[tuple[str, str]]]
"""The requests (method, path) that each command makes where nothing goes wrong."""

FOR_EVER = 1000
_WEIGHTS = {"download": 1, "scan": 3, "scan-two": 2, "purify": 3, "purify-push": 3, "publish": 4}
_STATUSES = (401, 403, 404, 429, 500, 502, 503)
_OF_COMMIT = (409, 412)
_INSTEAD = ("drop", "lost", "hang", "refuse")


@dataclass(frozen=True)
class Plan:
    """One run and what is done to it.

    Attributes:
        number: Tells it from the others of its seed.
        command: A name of ``world.COMMANDS``.
        faults: What the Hub does wrong.
        free: Bytes free on the disk; ``None`` for a disk that does not fill up.
        largest_file: The limit on the size of a file in bytes, if there is one.
        earlier: The output folder holds the result of an earlier run.
        kill: SIGKILL at this share of the CPU time that the command takes undisturbed.
    """

    number: int
    command: str
    faults: tuple[Fault, ...] = ()
    free: int | None = None
    largest_file: int | None = None
    earlier: bool = False
    kill: float | None = None

    @property
    def kinds(self) -> list[str]:
        """What goes wrong, in a word each."""
        words = [f"status {f.status}" if f.kind == "status" else f.kind for f in self.faults]
        words += ["full disk"] * (self.free is not None)
        words += ["file limit"] * (self.largest_file is not None)
        return words + ["kill"] * (self.kill is not None)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def draw(
    number: int, seed: int, requests: Requests, *, disks: bool = True, mild: bool = False
) -> Plan:
    """The plan of a number: faults at some of the requests, or a disk that fills up.

    Args:
        number: The plan's.
        seed: The series'.
        requests: What each command asks where nothing goes wrong.
        disks: Whether small disks can be had here.
        mild: No fault lasts, so that none is waited out by the client to the end.
    """
    rng = random.Random(f"plan {seed} {number}")
    command = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    plan = {"number": number, "command": command, "earlier": rng.random() < 0.3}
    chance = rng.random()
    if chance < 0.1 and disks:
        return Plan(**plan, free=int(4096 * 2 ** rng.uniform(0, 8)))
    if chance < 0.15:
        return Plan(**plan, largest_file=int(2048 * 2 ** rng.uniform(0, 8)))
    count = rng.choices((1, 2, 3), (60, 25, 15))[0]
    asked = requests[command]
    return Plan(**plan, faults=tuple(_fault(rng, asked, mild) for _ in range(count)))


def draw_kill(number: int, seed: int) -> Plan:
    """The plan of a kill at a random moment."""
    rng = random.Random(f"kill {seed} {number}")
    command = rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    return Plan(number, command, earlier=rng.random() < 0.5, kill=rng.uniform(0.02, 1.0))


def _fault(rng: random.Random, asked: Sequence[tuple[str, str]], mild: bool) -> Fault:
    index = rng.randrange(len(asked))
    method, path = asked[index]
    where: dict[str, Any] = {
        "method": method,
        "path": f"^{re.escape(path)}$",
        "nth": 1 + list(asked[:index]).count((method, path)),
        "times": rng.choices((1, rng.randint(2, 3), FOR_EVER), (65, 20, 0 if mild else 15))[0],
    }
    if re.search("/lfs/(upload|verify)/", path):  # a secret follows
        where["path"] = re.match("^/lfs/[a-z]+/", path)[0]
    chance = rng.random()
    if chance < 0.4:
        commits = "/commit/" in path and rng.random() < 0.5
        status = rng.choice(_OF_COMMIT if commits else _STATUSES)
        after = rng.choice((None, 0, 1, 3600)) if status in (429, 503) else None
        return Fault("status", **where, status=status, retry_after=after)
    if chance < 0.7 or method != "GET":
        kind = rng.choice(_INSTEAD)
        seconds = {"hang": 1.5, "refuse": rng.choice((0.5, 60.0))}.get(kind, 1.0)
        return Fault(kind, **where, seconds=seconds)
    kind = rng.choice((*OF_BODY, "corrupt", "etag"))
    seconds = {"drip": 0.1, "stall": 1.5}.get(kind, 1.0)
    return Fault(kind, **where, seconds=seconds, at=rng.random())


@dataclass
class Told:
    """What became of a plan.

    Attributes:
        plan: The plan.
        first: The exit code of the run with faults; negative where it was killed.
        line: What it said where it failed.
        again: The exit code of the same command without faults; ``None`` where it was not needed.
        partial: It came to an end, and says which file it could not look at.
        happened: How many faults came to pass.
        seconds: The time of both runs.
        misses: What should not have been.
        litter: What a killed run left beside its place that the next one did not clear away.
    """

    plan: dict[str, Any]
    first: int
    line: str = ""
    again: int | None = None
    partial: bool = False
    happened: int = 0
    seconds: float = 0.0
    misses: list[str] = field(default_factory=list)
    litter: list[str] = field(default_factory=list)
