"""Several processes for one command: ``--num-processes N``.

:func:`launch` starts the same command line N times through PyTorch's own launcher
(:func:`worker` is what runs there) and answers for all of them: rank 0 alone writes to the
terminal, the first error of any is the one that is told, the exit code is rank 0's, and a
signal ends all. Where a launcher has started the processes already (``torchrun``,
``accelerate launch``), the command simply runs in each.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ngf_hub.devices import cores
from ngf_hub.errors import NgfHubError
from ngf_hub.text import plain, plain_line, redact

OPTION = "--num-processes"
ERRORS = "NGF_HUB_WORKER_ERRORS"
"""The environment variable that names the folder where processes leave their errors."""
WATCHED = (signal.SIGINT, signal.SIGTERM)
ENDED = 128 + signal.SIGTERM
"""The exit code of a process that a signal ended."""
THREADS = "OMP_NUM_THREADS"


class Ended(BaseException):
    """A signal ended this process; what is half-written is cleared away on the way out."""


def launch(count: int, device: str | None) -> int:
    """Run this process's own command line in ``count`` processes, and wait for them.

    Args:
        count: How many; at least 2.
        device: What ``--device`` says.

    Returns:
        The exit code of rank 0.

    Raises:
        NgfHubError: What the first process to fail said.
        KeyboardInterrupt: Ctrl-C; all of them have ended.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    _check(count, device)
    with tempfile.TemporaryDirectory(prefix="ngf-hub-processes-") as folder, _settled():
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=count,
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",  # any free port
            local_addr="127.0.0.1",
            max_restarts=0,
            monitor_interval=0.1,
            logs_specs=DefaultLogsSpecs(
                log_dir=folder, redirects=dict.fromkeys(range(1, count), Std.ALL)
            ),
        )
        os.environ[ERRORS] = folder
        os.environ.setdefault(THREADS, str(max(1, cores() // count)))
        words = _without_option(sys.argv[1:])
        try:
            elastic_launch(config, sys.executable)("-m", "ngf_hub.cli.launching", *words)
        except SignalException as ended:
            if ended.sigval == signal.SIGINT:
                raise KeyboardInterrupt from None
            return 128 + int(ended.sigval)
        except ChildFailedError as failed:
            codes = {rank: failure.exitcode for rank, failure in failed.failures.items()}
            _raise_first(Path(folder), codes)
            return codes.get(0, 2)
    return 0


def _check(count: int, device: str | None) -> None:
    """Refuse what cannot be launched.

    Raises:
        NgfHubError: It cannot.
    """
    import torch

    from ngf_hub.devices import processes

    if processes() > 1:
        raise NgfHubError(
            f"{OPTION} was given where a launcher has started the processes already.",
            f"Leave out {OPTION}, or the launcher.",
        )
    if device is not None and ":" in device:
        raise NgfHubError(
            f"Several processes cannot share the one device {device!r}.",
            f"Leave out {OPTION}, or give --device {device.partition(':')[0]}.",
        )
    on_cuda = device == "cuda" or (device is None and torch.cuda.is_available())
    if device not in (None, "cpu", "cuda"):
        raise NgfHubError(
            f"Several processes run on CUDA devices or on the CPU, not on {device!r}.",
            f"Leave out {OPTION}.",
        )
    if on_cuda and count > (devices := torch.cuda.device_count()):
        raise NgfHubError(
            f"{count} processes need {count} CUDA devices, and there are {devices}.",
            f"Give {OPTION} {devices}, or --device cpu." if devices else "Give --device cpu.",
        )


def _without_option(words: Sequence[str]) -> list[str]:
    """A command line without ``--num-processes N``, and without what ends it here alone."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word == OPTION:
            skip = True
        elif not word.startswith(f"{OPTION}=") and word != "--debug":
            kept.append(word)
    return kept


@contextmanager
def _settled() -> Iterator[None]:
    """Afterwards environment, signal handlers and logging are what they were."""
    environment = dict(os.environ)
    main = threading.current_thread() is threading.main_thread()
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
    signals = [getattr(signal, name) for name in names if hasattr(signal, name)]
    handlers = {number: signal.getsignal(number) for number in signals}
    disabled = logging.root.manager.disable
    # The launcher tells at length which process ended how; that is told here in one line.
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(disabled)
        if main:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        os.environ.clear()
        os.environ.update(environment)


def _raise_first(folder: Path, codes: dict[int, int]) -> None:
    """Tell the first error of all processes, if there is one.

    When one of them has gone, the others fail for that reason a moment later.

    Raises:
        NgfHubError: There is one.
    """
    for rank, code in sorted(codes.items()):
        if code < 0 and code != -signal.SIGTERM:  # the launcher ends the others by SIGTERM
            name = signal.Signals(-code).name
            raise NgfHubError(
                f"Process {rank} was ended by {name}.",
                "Memory may have run out; give fewer processes or a smaller --batch-size.",
            )
    found = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("error-*.json")]
    if not found:
        return
    first = min(found, key=lambda error: error["time"])
    if "--debug" in sys.argv:
        for line in first["traceback"].splitlines():
            print(plain_line(line), file=sys.stderr)
    raise NgfHubError(first["message"], first["hint"], first["details"])


def worker() -> None:
    """One of the processes: the command line as it is, but for how it ends."""
    from ngf_hub.cli.app import INTERRUPTED, app
    from ngf_hub.patience import own_process

    own_process()
    rank = int(os.environ["RANK"])
    _end_with_parent()
    for number in WATCHED:
        signal.signal(number, _end)
    code: Any = 0
    try:
        # What main() tells of an error the launching process tells, once for all.
        code = app(sys.argv[1:], prog_name="ngf-hub", standalone_mode=False)
        if code == INTERRUPTED:
            code = ENDED
    except Ended:
        code = ENDED
    except BrokenPipeError:
        code = 141
    except Exception as error:
        _leave(Path(os.environ[ERRORS]), rank, error)
        code = 2
    code = code if isinstance(code, int) else 0
    # The launcher ends all when one fails, and a code of rank 0's own is no failure.
    sys.exit(code if rank == 0 or code in (2, ENDED) else 0)


def _end(number: int, frame: Any) -> None:
    for each in WATCHED:
        signal.signal(each, signal.SIG_IGN)  # clearing away is not interrupted
    raise Ended


def _end_with_parent() -> None:
    """End when the launcher has gone, be it killed: nobody would wait for the result."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
        os._exit(2)

    threading.Thread(target=watch, daemon=True).start()


def _leave(folder: Path, rank: int, error: Exception) -> None:
    """Write down an error for the launching process to tell."""
    from ngf_hub.hub import explain

    if not isinstance(error, NgfHubError):
        known = explain(error) if isinstance(error, OSError) else None
        error = (
            NgfHubError(f"Cannot go on: {known[0]}.", known[1])
            if known is not None
            else NgfHubError(
                f"Unexpected {type(error).__name__}: {plain(error)}",
                "Run it again with --debug for the traceback, and please report it.",
            )
        )
    texts = {
        "message": error.message,
        "hint": error.hint,
        "details": error.details,
        "traceback": traceback.format_exc(),
    }
    told = {"time": time.time(), **{key: redact(text) for key, text in texts.items()}}
    path = folder / f"error-{rank}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(told), encoding="utf-8")
    part.replace(path)


if __name__ == "__main__":
    worker()
