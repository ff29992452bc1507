"""What an engine is: it scans the models of a list, in its own order and places."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar

from ngf_hub.errors import NgfHubError
from ngf_hub.progress import Track, silent
from ngf_hub.text import plain

if TYPE_CHECKING:
    from ngf_hub.scans.jobs import Job, Wanted
    from ngf_hub.scans.output import Result
    from ngf_hub.scans.store import ScanStore


@dataclass(frozen=True)
class Fleet:
    """What an engine of several workers is given; ``None`` is chosen by the machine.

    Attributes:
        address: A cluster that runs already; one on this machine if left out.
        workers: How many models at once.
        cpus: CPUs a model, and as many threads of PyTorch.
        gpus: GPUs a model; parts of one are possible.
        retries: How often a model is scanned again whose worker died.
    """

    address: str | None = None
    workers: int | None = None
    cpus: float | None = None
    gpus: float | None = None
    retries: int = 2


@dataclass
class Watch:
    """What goes on, written by the engine and read by a display.

    Attributes:
        tell: Is given lines for people.
        workers: How many models can run at once.
        flying: The jobs that were handed out, by their place in the list, the first
            handed out first; with the time (``time.monotonic``) of that.
        retried: How many scans were begun again because a worker died.
    """

    tell: Callable[[str], None] = lambda line: None
    workers: int = 1
    flying: dict[int, float] = field(default_factory=dict)
    retried: int = 0


class Engine(ABC):
    """Scans models.

    Attributes:
        name: The name it is registered under.
        alone: It runs in this process and shows each scan's own progress.
    """

    name: ClassVar[str]
    alone: ClassVar[bool] = False

    def __init__(self, fleet: Fleet | None = None) -> None:
        self.fleet = fleet or Fleet()

    def check(self, device: str | None) -> None:  # noqa: B027
        """Refuse what cannot work, before anything else is done.

        Args:
            device: The device that the user asked for.

        Raises:
            NgfHubError: Something is missing or does not fit together.
        """

    @abstractmethod
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
        """Scan what is not known yet; each result is kept as it comes.

        Args:
            jobs: What :func:`ngf_hub.scans.jobs.plan` gave.
            wanted: What is asked of each.
            store: Where results are kept, if they are.
            workspace: A folder for those that are not kept.
            strict: Raise where a scan fails, which is else its result.
            track: Shows the progress of a scan, where that can be.
            watch: Is kept up to date.

        Yields:
            Each job's place in the list, and its result; of every job once.

        Raises:
            NgfHubError: See ``strict``; or the engine itself fails.
        """


ENGINES: dict[str, type[Engine]] = {}
EngineClass = TypeVar("EngineClass", bound=type[Engine])


def register(engine: EngineClass) -> EngineClass:
    """Class decorator: make an engine known under its ``name``."""
    ENGINES[engine.name] = engine
    return engine


def make_engine(name: str, fleet: Fleet | None = None) -> Engine:
    """The engine of a name.

    Raises:
        NgfHubError: There is none.
    """
    import ngf_hub.scans.engines.known  # noqa: F401  # registers them

    if name not in ENGINES:
        raise NgfHubError(f"Unknown engine {plain(name)!r}.", f"Known: {', '.join(ENGINES)}.")
    return ENGINES[name](fleet)
