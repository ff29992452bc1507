"""A task a model on a Ray cluster; what dies is scanned again.

This process hands out the models, and alone keeps the results, so that the
machines of a cluster need share no folder. If it is killed, the results that it
had are kept, and the next run scans the others.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ngf_hub.errors import NgfHubError
from ngf_hub.progress import Track, silent
from ngf_hub.scans.engines.base import Engine, Watch, register
from ngf_hub.scans.engines.environment import Environment
from ngf_hub.scans.engines.ray_cluster import Share, cluster, import_ray
from ngf_hub.scans.engines.ray_worker import Order, Parcel, pack, scan_model_task
from ngf_hub.text import plain, redact

if TYPE_CHECKING:
    from ngf_hub.scans.jobs import Job, Wanted
    from ngf_hub.scans.output import Result
    from ngf_hub.scans.store import ScanStore

POLL = 1.0
"""Seconds that are waited at once; in between signals arrive."""


@register
class RayEngine(Engine):
    """Scans on a Ray cluster: one of its own on this machine, or that at an address."""

    name = "ray"

    def check(self, device: str | None) -> None:
        """Refuse what Ray cannot do; see :meth:`Engine.check`."""
        if (device or "").startswith("cuda:"):
            raise NgfHubError(
                f"With --engine ray each model gets a GPU by itself; {plain(device)} names one.",
                "Give --device cuda.",
            )
        import_ray()

    def run(
        self,
        jobs: Sequence[Job],
        wanted: Wanted,
        store: ScanStore | None,
        workspace: Path,
        *,
        strict: bool = False,
        track: Track = silent,
        watch: Watch | None = None,
    ) -> Iterator[tuple[int, Result]]:
        """See :meth:`Engine.run`; what is known comes first, the others as they are done."""
        watch = watch or Watch()
        for place, job in enumerate(jobs):
            if job.result is not None:
                yield place, job.result
        new = [place for place, job in enumerate(jobs) if job.result is None]
        if not new:
            return
        with cluster(self.fleet, wanted.options.get("device")) as share:
            watch.workers = min(share.workers, len(new))
            tasks = _Tasks(jobs, wanted, share, self.fleet.retries, watch, deque(new))
            try:
                for place, parcel in tasks.run(grows=self._grows):
                    job = jobs[place]
                    result, store = _kept(job, parcel, store, workspace, watch)
                    if strict and parcel.failed:
                        raise NgfHubError(result.report.error or "The scan failed.")
                    yield place, result
            finally:
                tasks.cancel()

    @property
    def _grows(self) -> bool:
        """Whether more models are handed out than can run now, so that a cluster may grow."""
        return self.fleet.address is not None and self.fleet.workers is None


def _kept(
    job: Job, parcel: Parcel, store: ScanStore | None, workspace: Path, watch: Watch
) -> tuple[Result, ScanStore | None]:
    """The result, kept if it can be; and the store, or ``None`` once that failed."""
    from ngf_hub.scan_report import ScanReport
    from ngf_hub.scans.output import Result

    report = ScanReport.model_validate_json(parcel.report)
    if parcel.failed:
        return Result(report), store

    def write(folder: Path) -> ScanReport:
        parcel.unpack(folder)
        return report

    if store is not None and parcel.complete and job.key is not None:
        try:
            return store.put(job.key, write), store
        except NgfHubError as error:
            store = None
            watch.tell(f"Results are not kept for the next time: {error.message}")
    folder = Path(tempfile.mkdtemp(dir=workspace))
    return Result(write(folder), folder), store


@dataclass
class _Tasks:
    """The tasks of one run."""

    jobs: Sequence[Job]
    wanted: Wanted
    share: Share
    retries: int
    watch: Watch
    waiting: deque[int]
    flying: dict[Any, int] = field(default_factory=dict)
    deaths: dict[int, int] = field(default_factory=dict)

    def run(self, *, grows: bool) -> Iterator[tuple[int, Parcel]]:
        """Each place, with what its scan gave, as they come."""
        import ray

        task = ray.remote(
            num_cpus=self.share.cpus,
            num_gpus=self.share.gpus,
            # The engine itself begins again, so that it knows of it and can tell.
            max_retries=0,
        )(scan_model_task).options(name="ngf-hub scan")
        environment = Environment.current(self.wanted.options.get("token"))
        # Ray resolves what is given to a task, but not what lies in a list.
        sent = [ray.put(pack(self.wanted))]
        most = self.share.workers * (2 if grows else 1)
        while self.waiting or self.flying:
            while self.waiting and len(self.flying) < most:
                place = self.waiting.popleft()
                self.flying[task.remote(environment, sent, self._order(place))] = place
                self.watch.flying[place] = time.monotonic()
            ready, _ = ray.wait(list(self.flying), num_returns=1, timeout=POLL)
            if not ready and grows:
                slots = int(ray.cluster_resources().get("CPU", 0) / max(self.share.cpus, 1))
                most = max(most, 2 * slots)
            for reference in ready:
                place = self.flying.pop(reference)
                self.watch.flying.pop(place, None)
                parcel = self._parcel(reference, place)
                if parcel is not None:
                    yield place, parcel

    def cancel(self) -> None:
        """End what still runs; on a cluster of others it would go on."""
        import ray

        for reference in self.flying:
            ray.cancel(reference, force=True)
        self.flying.clear()
        self.watch.flying.clear()

    def _order(self, place: int) -> Order:
        job = self.jobs[place]
        return Order(
            job.name,
            job.commit,
            os.getcwd() if job.commit is None else None,
            list(self.wanted.command(job.name, job.commit)),
            max(1, int(self.share.cpus)),
        )

    def _parcel(self, reference: Any, place: int) -> Parcel | None:
        """What a task gave; ``None`` where it is to run again."""
        import ray
        from ray import exceptions

        try:
            parcel: Parcel = ray.get(reference)
            return parcel
        except exceptions.RayTaskError as error:
            # The scan's own errors are its result: this is of what surrounds it.
            raise NgfHubError(
                f"A worker of the cluster cannot scan: {_reason(error)}.",
                "Install the same ngf-hub, with the same Python, on every machine of it.",
            ) from error
        except exceptions.RayError as error:
            deaths = self.deaths[place] = self.deaths.get(place, 0) + 1
            why = _cause(error)
            name = self.jobs[place].name
            if deaths <= self.retries:
                self.watch.retried += 1
                self.watch.tell(f"{plain(redact(name))}: {why}; it is scanned again")
                self.waiting.append(place)
                return None
            return self._lost(place, f"{why} {deaths} times")

    def _lost(self, place: int, why: str) -> Parcel:
        from ngf_hub.scans.jobs import failed

        job = self.jobs[place]
        error = NgfHubError(
            f"It could not be scanned: {why}.",
            "Scan it with more memory: fewer --workers, or a smaller --batch-size.",
        )
        return Parcel(failed(job.name, error, job.commit).report.model_dump_json(), {})


def _cause(error: Exception) -> str:
    """What became of a worker, in a few words."""
    from ray import exceptions

    if isinstance(error, exceptions.OutOfMemoryError):
        return "its worker was stopped for want of memory"
    if isinstance(error, exceptions.NodeDiedError):
        return "its machine went away"
    if isinstance(error, exceptions.WorkerCrashedError):
        return "its worker died"
    if isinstance(error, exceptions.ObjectLostError):
        return "its result was lost with a machine"
    return f"its worker failed ({type(error).__name__})"


def _reason(error: Exception) -> str:
    """The cause of a task's error in one line."""
    cause = getattr(error, "cause", None) or error
    if type(cause).__name__ == "OtherVersionError":
        return f"it has ngf-hub {plain(cause)} or another calibration"
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    told = next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "")
    return plain(redact(told), 200).rstrip(".")
