"""A plan carried out: the run with faults, the same again without, and what is checked."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults import checks
from tests.faults.plans import Plan, Told
from tests.faults.process import Ended, SmallDisk, in_child, run
from tests.faults.world import COMMANDS, Command
from tests.hub.faults import Fault
from tests.hub.server import LocalHub

# Faults after which a run may look right without being so.
_SILENT = {"corrupt", "short", "etag", "truncate"}


@dataclass
class Reference:
    """What a command gives where nothing goes wrong.

    Attributes:
        requests: What it asks, as (method, path).
        output: The outcome of its output folder.
        files: SHA-256 by path of the repository that it publishes.
        cpu: The CPU time that it takes, in seconds.
    """

    requests: list[tuple[str, str]]
    output: dict[str, Any] | None
    files: dict[str, str] | None
    cpu: float


class HubProcess:
    """A Hub in a process of its own, which outlives the clients.

    Args:
        root: Its store.
        port: Where it listens.
    """

    def __init__(self, root: Path, port: int) -> None:
        commands, self._commands = os.pipe()

        def serve(writer: int) -> None:
            os.close(self._commands)
            with LocalHub(root) as hub:
                hub.stop()
                hub.start(port)
                answers, orders = os.fdopen(writer, "w"), os.fdopen(commands)
                print(json.dumps({"token": hub.token}), file=answers, flush=True)
                for line in orders:
                    order = json.loads(line)
                    if order == "clear":
                        hub.faults.clear()
                    elif isinstance(order, list):
                        hub.faults.inject(*(Fault(**fault) for fault in order))
                    told = {
                        "requests": [(entry.method, entry.path) for entry in hub.log.entries],
                        "happened": len(hub.faults.happened),
                        "crashes": hub.crashes,
                    }
                    print(json.dumps(told), file=answers, flush=True)

        self._process, reader = in_child(serve)
        os.close(commands)
        self._answers = os.fdopen(reader)
        self.token = json.loads(self._answers.readline())["token"]

    def order(self, order: Any) -> dict[str, Any]:
        """``"clear"``, ``"tell"`` or faults to inject; what the Hub saw so far."""
        os.write(self._commands, (json.dumps(order) + "\n").encode())
        return json.loads(self._answers.readline())

    def end(self) -> None:
        """Stop it."""
        os.close(self._commands)
        self._answers.close()
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)


class Session:
    """A place to run in, and a Hub.

    Args:
        world: The folder that the Hub and earlier results are copied from.
        place: The folder that the client runs in; what was there is deleted.
        port: Of the Hub.
        disk: Have a file system of its own for the folder.
    """

    def __init__(self, world: Path, place: Path, port: int, *, disk: bool = False) -> None:
        self.place = place
        shutil.rmtree(place, ignore_errors=True)
        store = place.with_name(f"{place.name}.store")
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(world / "store", store)
        place.mkdir()
        self.hub = HubProcess(store, port)
        self.disk = SmallDisk(place) if disk else None
        (place / "tmp").mkdir()
        if (world / "made").is_dir():
            shutil.copytree(world / "made", place / "made")
        self._store = store

    @property
    def stored(self) -> LocalHub:
        """What the Hub has on its disk now."""
        return LocalHub(self._store)

    def run(self, words: Sequence[str], **options: Any) -> Ended:
        """Run a command as a client of the Hub."""
        return run(tuple(words), self.place, {"HF_TOKEN": self.hub.token}, **options)

    def refer(self, command: Command) -> Reference:
        """What a command gives undisturbed.

        Raises:
            RuntimeError: It does not end right.
        """
        ended = self.run(command.words)
        if ended.code != command.code:
            raise RuntimeError(f"{command.words} ended with {ended.code}: {ended.err}")
        output = checks.outcome(self.place / command.output) if command.output else None
        files = checks.files_of(self.stored, command.repo) if command.repo else None
        requests = [tuple(pair) for pair in self.hub.order("tell")["requests"]]
        return Reference(requests, output, files, ended.cpu)


def carry_out(plan: Plan, world: Path, place: Path, port: int, reference: Reference) -> Told:
    """Carry a plan out and say what became of it."""
    command = COMMANDS[plan.command]
    session = Session(world, place, port, disk=plan.free is not None)
    try:
        return _carried_out(plan, session, world, command, reference)
    finally:
        session.hub.end()


def _carried_out(
    plan: Plan, session: Session, world: Path, command: Command, reference: Reference
) -> Told:
    place, hub = session.place, session.hub
    earlier = None
    if plan.earlier and command.output:
        shutil.copytree(world / f"earlier-{command.output}", place / command.output)
        earlier = checks.outcome(place / command.output)
    if session.disk is not None:
        session.disk.leave(plan.free or 0)
    hub.order([fault.to_dict() for fault in plan.faults])
    first = session.run(
        command.words,
        kill_after=None if plan.kill is None else plan.kill * reference.cpu,
        largest_file=plan.largest_file,
    )
    happened = hub.order("clear")["happened"]
    if session.disk is not None:
        session.disk.leave(1 << 30)
    killed = first.code < 0 and not first.hung
    told = Told(plan.to_dict(), first.code, happened=happened, seconds=first.seconds)
    told.line = next(iter(checks.error_lines(first, command)), "")
    if not killed:
        told.misses += checks.message(first, command)
        told.misses += [f"left behind: {name}" for name in checks.left_behind(place, killed=False)]

    def check(when: str, *right: dict[str, Any] | None) -> None:
        stored = session.stored
        wrong = checks.half_published(stored, command, reference.files or {})
        wrong += checks.spoilt_cache(stored, place / "home", killed=killed)
        # A list of models of which one failed says so.
        partial = command.words[0] == "scan" and when == "afterwards"
        partial = partial and (told.partial or not ended_right)
        if not command.output or (partial and (place / command.output).is_dir()):
            pass
        elif checks.outcome(place / command.output) not in right:
            state = "there and wrong" if (place / command.output).is_dir() else "gone"
            wrong.append(f"{command.output} is {state}")
        told.misses += [f"{when}: {what}" for what in wrong]

    ended_right = first.code == command.code
    told.partial = ended_right and checks.says_what_is_missing(place, command, reference.output)
    # What failed in publishing, or was killed just before its end, has written its result.
    in_between = [reference.output] if ended_right else [earlier, reference.output]
    check("afterwards", *in_between)
    ends = [first]
    if not ended_right or told.partial or _SILENT & {fault.kind for fault in plan.faults}:
        again = session.run(command.words)
        ends.append(again)
        told.again, told.seconds = again.code, told.seconds + again.seconds
        if again.code != command.code:
            said = again.err[-700:]
            told.misses.append(f"the repeat ended with {again.code}: {said}")
        else:
            check("after the repeat", reference.output)
        told.litter = checks.left_behind(place, killed=killed)
    if command.repo and ends[-1].code == command.code:
        stored = session.stored
        right = dict(reference.files or {})
        if command.output:  # its report tells of this run
            for name in ("report.json", "README.md", "before_after.png"):
                right.pop(name, None)
        files = checks.files_of(stored, command.repo) or {}
        if any(files.get(name) != sha256 for name, sha256 in right.items()):
            told.misses.append(f"{command.repo} holds other files")
        if command.output is None and checks.commits_of(stored, command.repo) != 2:
            told.misses.append(f"{command.repo} has more than one commit")
    told.misses += checks.told_token(place, hub.token, *ends)
    told.misses += [
        f"the local Hub failed: {crash[-800:]}" for crash in hub.order("tell")["crashes"]
    ]
    return told
