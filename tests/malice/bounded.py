"""A process of its own with limits, and an audit hook that sees what is run and written there."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MEMORY = 1 << 30
SECONDS = 30.0
# Audit events of running something, or of talking to somebody. What torch.load reads with
# weights_only has an unpickler of its own; whatever raises pickle.find_class is not that one.
_RUNS = {
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.spawn",
    "os.startfile",
    "os.system",
    "pickle.find_class",
    "pty.spawn",
    "socket.connect",
    "socket.getaddrinfo",
    "subprocess.Popen",
    "webbrowser.open",
}
_WRITES = {"os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink"}
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass
class Outcome:
    """What became of an action.

    Attributes:
        error: The names of the classes of its exception, or none.
        message: What the exception, or a killed process, says.
        hint: What an error of this package says is to be done.
        value: What the action gave, as JSON.
        seconds: How long it took.
        grown: By how many bytes the process's largest resident size exceeds that at the start.
        ran: Audit events of running something.
        wrote: Paths outside the action's place that were opened to be written, or changed.
    """

    error: list[str] = field(default_factory=list)
    message: str = ""
    hint: str = ""
    value: object = None
    seconds: float = 0.0
    grown: int = 0
    ran: list[str] = field(default_factory=list)
    wrote: list[str] = field(default_factory=list)

    def harmless(self, *, memory: int = MEMORY, seconds: float = SECONDS) -> Outcome:
        """Assert that nothing was run, nothing written elsewhere, and little was used."""
        assert not self.ran, self.ran
        assert not self.wrote, self.wrote
        assert "killed" not in self.error, self.message
        assert "MemoryError" not in self.error, "memory went out"
        assert self.grown < memory, f"{self.grown >> 20} MiB"
        assert self.seconds < seconds
        return self

    def done(self, **limits: float) -> object:
        """What the action gave: assert that it ended well, and harmlessly."""
        self.harmless(**limits)  # type: ignore[arg-type]
        assert not self.error, (self.error, self.message)
        return self.value

    def refused(self, *words: str, error: str = "NgfHubError") -> Outcome:
        """Assert that it ended in one clear line of this package that holds some words."""
        self.harmless()
        assert error in self.error, (self.error, self.message)
        line = f"{self.message} {self.hint}"
        assert line.isprintable(), repr(line)
        assert len(line) < 1000
        for word in words:
            assert word in line, line
        return self


def attempt(
    action: Callable[[], object],
    *places: Path,
    memory: int = MEMORY,
    seconds: float = SECONDS,
) -> Outcome:
    """Do something in a forked process, and tell what became of it.

    Args:
        action: Gives a JSON value.
        places: Folders that it may write in.
        memory: How much address space it may add to what the process has.
        seconds: After which it is killed.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(action, [*places], memory, writing)
    os.close(writing)
    answer, deadline = b"", time.monotonic() + seconds
    while select.select([reading], [], [], max(0.0, deadline - time.monotonic()))[0]:
        if not (block := os.read(reading, 1 << 16)):
            break
        answer += block
    else:
        os.kill(child, signal.SIGKILL)
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if not answer:
        why = f"ended with status {status}" if time.monotonic() < deadline else "out of time"
        return Outcome(error=["killed"], message=why, seconds=seconds)
    return Outcome(**json.loads(answer))


def command(*words: object) -> dict[str, object]:
    """Run the command line in this process; its exit code and what it printed."""
    from ngf_hub.cli import main

    out, err = io.StringIO(), io.StringIO()
    code: object = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def _child(action: Callable[[], object], places: Sequence[Path], memory: int, writing: int) -> None:
    outcome = Outcome()
    try:
        os.environ["COLUMNS"] = "200"
        if places:
            os.environ["XDG_CACHE_HOME"] = str(places[0])
            tempfile.tempdir = str(places[0])
        allowed = [os.path.realpath(place) for place in (*places, "/dev/null", "/dev/shm")]
        sys.addaudithook(_hook(outcome, allowed))
        before = _resident()
        limit = _address_space() + memory
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        start = time.monotonic()
        try:
            outcome.value = action()
        except BaseException as error:
            outcome.error = [kind.__name__ for kind in type(error).__mro__]
            outcome.message = str(getattr(error, "message", error))[:5000]
            outcome.hint = str(getattr(error, "hint", ""))[:5000]
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        outcome.seconds = time.monotonic() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        outcome.grown = max(0, peak - before)
        content = json.dumps(vars(outcome)).encode()
        while content:
            content = content[os.write(writing, content) :]
    finally:
        os._exit(0)


def _hook(outcome: Outcome, allowed: list[str]) -> Callable[[str, tuple[object, ...]], None]:
    def inside(path: object) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return True  # a file descriptor: it was opened before
        real = os.path.realpath(os.fsdecode(path))
        return any(real == place or real.startswith(place + "/") for place in allowed)

    def hook(event: str, args: tuple[object, ...]) -> None:
        if event in _RUNS:
            outcome.ran.append(f"{event} {args}"[:300])
        elif event == "open":
            path, mode, flags = args
            writes = set(str(mode or "")) & set("wax+") or int(flags) & _WRITE_FLAGS  # type: ignore[call-overload]
            if writes and not inside(path):
                outcome.wrote.append(str(path))
        elif event in _WRITES and _is_relative(event, args):
            return  # relative to a folder that was opened, and looked at, before
        elif event in _WRITES and not all(map(inside, args[: 2 if event == "os.rename" else 1])):
            outcome.wrote.append(f"{event} {args}"[:300])

    return hook


def _is_relative(event: str, args: tuple[object, ...]) -> bool:
    """Whether an event is below a folder that was opened before, which it names by a number."""
    numbers = args[2:] if event in ("os.mkdir", "os.link", "os.rename", "os.symlink") else args[1:]
    return any(type(number) is int and number >= 0 for number in numbers)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
