"""One model after another in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ngf_hub.errors import NgfHubError
from ngf_hub.progress import Track, silent
from ngf_hub.scans.engines.base import Engine, Fleet, Watch, register

if TYPE_CHECKING:
    from ngf_hub.scans.jobs import Job, Wanted
    from ngf_hub.scans.output import Result
    from ngf_hub.scans.store import ScanStore


@register
class LocalEngine(Engine):
    """:func:`ngf_hub.scans.jobs.scan_jobs`; on every process that was launched."""

    name = "local"
    alone = True

    def check(self, device: str | None) -> None:
        """Refuse what only several workers need; see :meth:`Engine.check`."""
        if self.fleet != Fleet():
            raise NgfHubError(
                "--address, --workers, --cpus-per-model, --gpus-per-model and --retries are of "
                "a fleet.",
                "Add --engine ray.",
            )

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
        """See :meth:`Engine.run`; the order is that of the list."""
        from ngf_hub.scans.jobs import scan_jobs

        watch = watch or Watch()
        found = scan_jobs(
            jobs, wanted, store, workspace, strict=strict, track=track, tell=watch.tell
        )
        for place in range(len(jobs)):
            watch.flying = {place: time.monotonic()}
            yield place, next(found)
