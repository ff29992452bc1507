"""What a person sees while an engine of several workers scans a list."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ngf_hub.cli.console import note, stderr
from ngf_hub.text import plain, redact

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ngf_hub.scan_report import ScanReport
    from ngf_hub.scans.engines.base import Watch
    from ngf_hub.scans.jobs import Job

MOST_SHOWN = 8


@dataclass
class Board:
    """How far a scan of a list is; shown anew several times a second.

    Attributes:
        jobs: The list.
        watch: What the engine tells of itself.
        total: How many are to be scanned.
        live: Whether it is shown all the time.
    """

    jobs: Sequence[Job]
    watch: Watch
    total: int
    live: bool = False
    start: float = field(default_factory=time.monotonic)
    done: int = 0
    flagged: int = 0
    failed: int = 0

    def add(self, report: ScanReport) -> None:
        """Count a model that was scanned."""
        self.done += 1
        self.flagged += report.flagged
        self.failed += report.unseen

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self.start

    @property
    def pace(self) -> str:
        """Models by time, with the time that is left where that can be told.

        Such as ``1.5 a second, about 40 s left``.
        """
        from ngf_hub.progress import duration

        if not self.done:
            return ""
        rate = self.done / max(self.seconds, 1e-9)
        units = ((1, "a second"), (60, "a minute"), (3600, "an hour"))
        length, unit = next((entry for entry in units if rate * entry[0] >= 1), units[-1])
        left = self.total - self.done
        rest = f", about {duration(left / rate)} left" if left else ""
        return f"{rate * length:.1f} {unit}{rest}"

    @property
    def summary(self) -> str:
        """What the run came to, in one line."""
        from ngf_hub.progress import duration

        workers = "1 worker" if self.watch.workers == 1 else f"{self.watch.workers} workers"
        told = f"{self.done} scanned in {duration(self.seconds)} by {workers}"
        if pace := self.pace.partition(",")[0]:
            told += f" ({pace})"
        if again := self.watch.retried:
            told += f"; {again} begun again because a worker died"
        return f"{told}."

    def __rich__(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        head = Table.grid(padding=(0, 2))
        counts = Text(f"{self.done}/{self.total} scanned")
        if self.flagged:
            counts.append(f", {self.flagged} flagged", style="bold red")
        if self.failed:
            counts.append(f", {self.failed} failed", style="yellow")
        if self.watch.retried:
            counts.append(f", {self.watch.retried} begun again", style="yellow")
        bar = ProgressBar(total=max(1, self.total), completed=self.done, width=30)
        head.add_row(bar, counts, Text(self.pace, style="dim"))
        return Group(head, *self._running())

    def _running(self) -> Iterator[RenderableType]:
        """A line for each model that runs; of a cluster that may grow more are handed out."""
        from rich.text import Text

        flying = list(self.watch.flying.items())
        running = flying[: self.watch.workers]
        now = time.monotonic()
        for place, since in running[:MOST_SHOWN]:
            name = plain(redact(self.jobs[place].name), 80)
            yield Text(f"  {name}  {now - since:.0f} s", style="dim")
        if (more := len(running) - MOST_SHOWN) > 0:
            yield Text(f"  and {more} more", style="dim")


@contextmanager
def shown_fleet(jobs: Sequence[Job], watch: Watch, *, alone: bool) -> Iterator[Board | None]:
    """What an engine of several workers does, shown on a terminal; and a summary when it ends.

    Args:
        jobs: The list.
        watch: What the engine tells of itself.
        alone: Whether it is an engine of one worker, whose scans show themselves.

    Yields:
        What counts the results; ``None`` for an engine of one worker.
    """
    total = sum(job.result is None for job in jobs)
    if alone or not total:
        yield None
        return
    console = stderr()
    board = Board(jobs, watch, total, live=console.is_terminal)
    if not board.live:
        yield board
    else:
        from rich.live import Live

        with Live(board, console=console, refresh_per_second=4, transient=True):
            yield board
    note(board.summary)
