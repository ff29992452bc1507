"""Many models one after another: what is known of them, and what each scan gave."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ngf_hub.checksums import sha256
from ngf_hub.errors import NgfHubError
from ngf_hub.progress import Track, silent
from ngf_hub.scan_report import SCAN_SCHEMA_VERSION, ScanReport
from ngf_hub.scans.output import Result, fill
from ngf_hub.scans.state import images_digest, model_state
from ngf_hub.scans.store import Key, ScanStore
from ngf_hub.text import plain, redact

if TYPE_CHECKING:
    from ngf_hub.data import ImageSet
    from ngf_hub.report import DataInfo
    from ngf_hub.scanning import Scanned

Tell = Callable[[str], None]


# Where and in what portions it is computed does not matter to the result.
_OF_RESULT = ("seed", "trust_remote_code", "mixed_precision")


def judged_by() -> dict[str, Any]:
    """What judges here, as JSON values: with another of these a result may be another."""
    from ngf_hub import __version__
    from ngf_hub.evidence.calibration import PACKAGED

    return {
        "calibration": sha256(PACKAGED) if PACKAGED.exists() else None,
        "schema_version": SCAN_SCHEMA_VERSION,
        "tool_version": __version__,
    }


def _no_command(model: str, commit: str | None) -> Sequence[str]:
    return ()


@dataclass
class Wanted:
    """What is asked of every model of a list.

    Attributes:
        images: Clean images, encoded; each model prepares them in its own way.
        info: Where they came from.
        options: Further arguments of :func:`ngf_hub.scanning.scan_model`.
        command: Gives the command that repeats the scan of a model at a commit.
    """

    images: ImageSet | None = None
    info: DataInfo | None = None
    options: dict[str, Any] = field(default_factory=dict)
    command: Callable[[str, str | None], Sequence[str]] = _no_command

    @cached_property
    def content(self) -> dict[str, Any]:
        """What a result depends on besides the model, as JSON values."""
        kinds = self.options.get("kinds")
        return {
            **judged_by(),
            "images": None if self.images is None else images_digest(self.images),
            "kinds": None if kinds is None else sorted(set(kinds)),
            "options": {name: self.options.get(name) for name in _OF_RESULT},
        }

    def scan(self, job: Job, *, track: Track, tell: Tell) -> Scanned:
        """Scan the model of a job at the commit that was looked up."""
        from ngf_hub.scanning import scan_model

        images = self.images
        return scan_model(
            job.name,
            images,
            # A report of its own for each, which may be written to.
            info=None if self.info is None else self.info.model_copy(deep=True),
            revision=job.commit,
            arguments={
                "model": job.name,
                "revision": job.commit,
                "kinds": self.content["kinds"],
                **self.content["options"],
            },
            command=self.command(job.name, job.commit),
            track=track,
            tell=tell,
            **self.options,
        )


@dataclass
class Job:
    """One model of a list.

    Attributes:
        name: The Hub id or the folder.
        commit: The commit of a Hub model.
        key: What its result is kept under.
        result: What is known already: a result that was kept, or that it cannot be found.
    """

    name: str
    commit: str | None = None
    key: Key | None = None
    result: Result | None = None


def plan(
    models: Iterable[str],
    wanted: Wanted,
    store: ScanStore | None,
    *,
    revision: str | None = None,
    strict: bool = False,
    track: Track = silent,
) -> list[Job]:
    """Look up every model, and the results that are kept of it.

    Args:
        models: Hub ids and folders; of those that occur twice the first counts.
        wanted: What is asked of each.
        store: Where results are kept; ``None`` to scan again what was scanned.
        revision: Branch, tag or commit of a Hub id.
        strict: Raise where a model cannot be found, which is else its result.
        track: Shows progress.

    Raises:
        NgfHubError: See ``strict``.
    """
    names = list(dict.fromkeys(models))
    jobs = []
    seen: set[str] = set()
    for name in track(names, "Looking up models") if len(names) > 1 else names:
        try:
            state = model_state(name, revision=revision)
        except NgfHubError as error:
            if strict:
                raise
            jobs.append(Job(name, result=failed(name, error)))
            continue
        # A folder may have another name the next time.
        key = Key(state.repo or "folder", {"model": state.content(), **wanted.content})
        if state.repo is not None and key.name in seen:
            continue  # a Hub model may be named by its id and by its address
        seen.add(key.name)
        job = Job(state.repo or name, state.commit, key)
        job.result = _renamed(store.find(key), job.name) if store is not None else None
        jobs.append(job)
    return jobs


def scan_jobs(
    jobs: Iterable[Job],
    wanted: Wanted,
    store: ScanStore | None,
    workspace: Path,
    *,
    strict: bool = False,
    track: Track = silent,
    tell: Tell = lambda line: None,
) -> Iterator[Result]:
    """Scan what is not known yet; each result is kept before the next scan begins.

    Args:
        jobs: What :func:`plan` gave.
        wanted: What is asked of each.
        store: Where results are kept, if they are.
        workspace: A folder for those that are not kept.
        strict: Raise where a scan fails, which is else its result.
        track: Shows progress.
        tell: Is given lines for people.

    Raises:
        NgfHubError: See ``strict``.
    """
    for job in jobs:
        if job.result is not None:
            yield job.result
            continue
        try:
            announce = tell if strict else partial(_tell_of, job.name, tell)
            scanned = wanted.scan(job, track=track, tell=announce)
        except Exception as error:
            # One model that nobody thought of must not cost the others theirs.
            if strict:
                raise
            yield failed(job.name, error, job.commit)
            continue
        if store is not None and scanned.complete and job.key is not None:
            try:
                yield store.keep(job.key, scanned)
                continue
            except NgfHubError as error:
                store = None
                tell(f"Results are not kept for the next time: {error.message}")
        folder = Path(tempfile.mkdtemp(dir=workspace))
        yield Result(fill(folder, scanned), folder)


def _tell_of(name: str, tell: Tell, line: str) -> None:
    tell(f"{name}: {line}")


def failed(name: str, error: Exception, commit: str | None = None) -> Result:
    """The result of a model that could not be scanned."""
    if isinstance(error, NgfHubError):
        said = str(error)
    else:
        said = (
            f"Unexpected {type(error).__name__}: {plain(error)}. "
            "Scan it alone with --debug for the traceback, and please report it."
        )
    line = plain(redact(said), 500)
    return Result(ScanReport(name=name, commit=commit, verdict="failed", error=line))


def _renamed(result: Result | None, name: str) -> Result | None:
    """The result under the name by which it was asked for: a folder may have moved."""
    if result is None or result.report.name == name:
        return result
    report = result.report.model_copy(deep=True)
    report.name = name
    if report.model is not None:
        report.model.name = name
    return replace(result, report=report)
