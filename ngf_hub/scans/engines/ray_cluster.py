"""The Ray cluster: one of this machine's own that ends with the process, or one that runs already.

The cluster that is started here has no dashboard and reports no usage, and none
of its processes is given a token of the Hub. Ray listens on every network of
the machine, and from 2.60 on hears only who has the key that it keeps in the
user's home. What it writes to disk lies in a folder that goes with it.
"""

from __future__ import annotations

import io
import logging
import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ngf_hub.devices import cores
from ngf_hub.errors import NgfHubError
from ngf_hub.scans.engines.base import Fleet
from ngf_hub.scans.engines.environment import without_tokens
from ngf_hub.text import plain, redact
from ngf_hub.whole import runs

INSTALL = "Run: pip install 'ngf-hub[fleet]'"
MEMORY = 2 * 2**30
"""Bytes for each scan, PyTorch included, where the user does not say how many run at once."""
MOST_CPUS = 8
"""More for one model beside a GPU only wait for it."""
REACHED = 10
"""Seconds within which a cluster answers."""
_OBJECTS = 256 * 2**20
_FOLDER = "ngf-hub-ray-"
# A socket's path may have 107 characters, and Ray adds about 70.
_LONGEST = 30


@dataclass(frozen=True)
class Share:
    """What each model is given, and how many can run at once."""

    cpus: float
    gpus: float
    workers: int


def import_ray() -> Any:
    """The module ``ray``.

    Raises:
        NgfHubError: It is not installed, or cannot be imported.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # What Ray itself will do by default; it else warns on standard error.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise NgfHubError(f"Ray cannot be imported: {plain(error)}.", INSTALL) from error
        raise NgfHubError("The engine ray needs Ray, which is not installed.", INSTALL) from error
    except ImportError as error:
        raise NgfHubError(f"Ray cannot be imported: {plain(error)}.", INSTALL) from error
    return ray


@contextmanager
def cluster(fleet: Fleet, device: str | None) -> Iterator[Share]:
    """A cluster that this process is connected to, inside.

    Args:
        fleet: What the user asked for.
        device: Likewise, for each scan.

    Raises:
        NgfHubError: It cannot be started or reached, or no machine of it has what
            a model is to be given.
    """
    ray = import_ray()
    if ray.is_initialized():
        raise NgfHubError(
            "This process is connected to a Ray cluster already.",
            "Call ray.shutdown() first, or scan in a process of its own.",
        )
    logging.getLogger("ray").setLevel(logging.ERROR)
    folder = None
    with redirect_stdout(_WithoutRay()):
        try:
            if fleet.address is None:
                folder = _own_folder()
                _start(ray, fleet, device, folder)
            else:
                _connect(ray, fleet.address)
            yield share(fleet, device, ray.cluster_resources(), _nodes(ray))
        finally:
            with suppress(Exception):
                ray.shutdown()
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)


def share(
    fleet: Fleet,
    device: str | None,
    resources: Mapping[str, float],
    nodes: list[Mapping[str, float]],
) -> Share:
    """What each model is given: as asked for, else by what the cluster has.

    With GPUs each model has one, and its part of the CPUs. Without, as many models
    run at once as there are CPUs and memory for.

    Args:
        fleet: What the user asked for.
        device: Likewise.
        resources: Of the whole cluster, as Ray names them.
        nodes: Of each of its machines.

    Raises:
        NgfHubError: No machine has so much.
    """
    all_cpus, all_gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    gpus = fleet.gpus
    if gpus is None:
        gpus = 1.0 if all_gpus >= 1 and device in (None, "cuda") else 0.0
    slots = fleet.workers
    if slots is None and gpus:
        slots = int(all_gpus / gpus)
    elif slots is None:
        slots = min(int(all_cpus / (fleet.cpus or 1)), int(resources.get("memory", 0) / MEMORY))
    slots = max(1, slots)
    cpus = fleet.cpus
    if cpus is None:
        largest = max((node.get("CPU", 0.0) for node in nodes), default=1.0)
        cpus = float(max(1, min(int(all_cpus / slots), int(largest))))
        cpus = min(cpus, MOST_CPUS) if gpus else cpus
    if not any(node.get("CPU", 0) >= cpus and node.get("GPU", 0) >= gpus for node in nodes):
        raise NgfHubError(
            f"No machine of the cluster has {cpus:g} CPUs and {gpus:g} GPUs for a model.",
            "Give fewer: --cpus-per-model, --gpus-per-model.",
        )
    return Share(cpus, gpus, slots)


def _nodes(ray: Any) -> list[Mapping[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node.get("Alive")]


def _start(ray: Any, fleet: Fleet, device: str | None, folder: Path) -> None:
    """Start a cluster on this machine; it ends when this process does, however that ends."""
    sizes: dict[str, Any] = {}
    if fleet.workers is not None or fleet.cpus is not None:
        machine = cores()
        cpus = fleet.cpus or max(1, machine // (fleet.workers or 1))
        # So many models at once as the user asked for, be there fewer CPUs.
        sizes["num_cpus"] = max(machine, int(-(-cpus * (fleet.workers or 1) // 1)))
    if device not in (None, "cuda") or fleet.gpus == 0:
        sizes["num_gpus"] = 0
    # The scans are the work itself: Ray would give them what nothing else wants (nice 15).
    os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        with without_tokens():
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
                logging_level=logging.ERROR,
                object_store_memory=_OBJECTS,
                _temp_dir=str(folder),
                **sizes,
            )
    except Exception as error:
        raise NgfHubError(
            f"Ray could not be started: {_told(error)}.", "Scan with --engine local instead."
        ) from error


def _connect(ray: Any, address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if port.isdigit():  # Ray itself would try for minutes
            socket.create_connection((host.strip("[]"), int(port)), timeout=REACHED).close()
        with without_tokens():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        raise NgfHubError(
            f"The Ray cluster at {plain(redact(address))} cannot be reached: {_told(error)}.",
            "Give --address as HOST:PORT from a machine of the cluster, auto on it, or "
            "ray://HOST:10001 (which needs ray[client]) from elsewhere; set RAY_AUTH_MODE=token "
            "where it asks for a token.",
        ) from error


def _told(error: Exception) -> str:
    return plain(redact(str(error) or type(error).__name__), 200).rstrip(".")


def _own_folder() -> Path:
    """A folder for what Ray writes; those of processes that were killed are removed."""
    base = tempfile.gettempdir()
    if len(base) > _LONGEST and os.path.isdir("/tmp"):  # noqa: S108  # mkdtemp makes it private
        base = "/tmp"  # noqa: S108
    for left in Path(base).glob(f"{_FOLDER}*"):
        if not runs(left.name.removeprefix(_FOLDER).partition("-")[0]):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-", dir=base))


class _WithoutRay(io.TextIOBase):
    """Standard output without what Ray's own thread prints there: results belong there.

    Of a worker that died, the engine tells itself.
    """

    def __init__(self) -> None:
        self._stream = sys.stdout

    def write(self, text: str) -> int:
        if threading.current_thread().name.startswith("ray_"):
            return len(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return not self._stream.closed and self._stream.isatty()
