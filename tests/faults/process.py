"""One command line in a process of its own, forked from one that has everything imported."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_REMOUNT, MS_REC, MS_PRIVATE = 0x20, 0x4000, 0x40000
CRASHED = 99
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: The exit code; negative for a signal, as in ``subprocess``.
        out: Its standard output.
        err: Its standard error.
        seconds: How long it took.
        cpu: The CPU time that it took, in seconds.
        hung: It was stopped, because it took too long.
    """

    code: int
    out: str
    err: str
    seconds: float
    cpu: float = 0.0
    hung: bool = False


def run(
    words: tuple[str, ...],
    place: Path,
    env: dict[str, str],
    *,
    limit: float = 150.0,
    kill_after: float | None = None,
    largest_file: int | None = None,
) -> Ended:
    """Run ``ngf-hub WORDS`` in a folder.

    Args:
        words: The arguments.
        place: The folder.
        env: Variables on top of those that were set when the client was imported.
        limit: After so many seconds it counts as hung.
        kill_after: SIGKILL after so many seconds of CPU time, which says how far it is
            however busy the machine is.
        largest_file: No file may become larger, as by ``ulimit -f``; in bytes.
    """
    logs = [place.with_name(f"{place.name}.{name}") for name in ("out", "err")]
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        code = CRASHED
        try:
            for descriptor, log in enumerate(logs, 1):
                target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(target, descriptor)
            if largest_file is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
            code = _command(words, place, env)
        finally:
            os._exit(code)
    hung = not _wait(child, limit, kill_after)
    if hung:
        os.kill(child, signal.SIGKILL)
    _, status, used = os.wait4(child, 0)
    code, cpu = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
    out, err = (log.read_text(errors="replace") for log in logs)
    seconds = time.monotonic() - start
    return Ended(code, out, err, seconds, cpu, hung and seconds >= limit)


def _command(words: tuple[str, ...], place: Path, env: dict[str, str]) -> int:
    from ngf_hub.cli import main

    os.chdir(place)
    os.environ.update(env)
    sys.argv = ["ngf-hub", *words]
    for name in ("stdout", "stderr"):
        setattr(sys, name, os.fdopen({"stdout": 1, "stderr": 2}[name], "w", buffering=1))
    try:
        main(words)
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
        return CRASHED
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()


def _wait(child: int, seconds: float, cpu: float | None) -> bool:
    """Whether a process ends before some seconds, or some of CPU time, are over.

    It is not reaped.
    """
    deadline = time.monotonic() + seconds
    clock = (~child << 3) | 2  # Linux's number for the CPU time of another process
    while time.monotonic() < deadline:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return True
        if cpu is not None:
            with contextlib.suppress(OSError):  # it ended just now
                if time.clock_gettime(clock) >= cpu:
                    return False
        time.sleep(0.002)
    return False


def _checked(result: int, what: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


class SmallDisk:
    """A real file system of a bounded size at a folder, which this process alone sees.

    Args:
        place: The folder; what lies in it is hidden.

    Raises:
        OSError: This system does not let its users have one.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        user, group = os.getuid(), os.getgid()
        _checked(_libc.unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        _checked(_libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None), "mount")
        self._mount(0, 1 << 30)

    def _mount(self, flags: int, size: int) -> None:
        options = f"size={size}".encode()
        done = _libc.mount(b"tmpfs", str(self.place).encode(), b"tmpfs", flags, options)
        _checked(done, "mount")

    def leave(self, free: int) -> None:
        """Leave so many bytes free, rounded up to pages."""
        status = os.statvfs(self.place)
        used = (status.f_blocks - status.f_bfree) * status.f_frsize
        self._mount(MS_REMOUNT, used + max(4096, free))


def small_disks() -> bool:
    """Whether this system lets its users have a :class:`SmallDisk`."""
    child = os.fork()
    if child == 0:
        try:
            SmallDisk(Path("/tmp"))
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def in_child(work: Callable[[int], None]) -> tuple[int, int]:
    """Run something in a forked process; its id, and the end of a pipe that it writes to."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            work(writer)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writer)
    return child, reader
