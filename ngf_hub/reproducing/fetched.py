"""What was published, fetched by an allow-list of names and within bounds of size."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ngf_hub.bounded_files import MAX_REPORT
from ngf_hub.bundle import IF_THERE, INDEX_SUFFIX
from ngf_hub.card import CARD_FILE
from ngf_hub.downloads import download
from ngf_hub.errors import ReportError
from ngf_hub.hub import hub_errors
from ngf_hub.patience import patiently
from ngf_hub.proposing import PROOF
from ngf_hub.remote import files_at
from ngf_hub.report import REPORT_FILE, Report
from ngf_hub.source import HubModel, locate
from ngf_hub.text import plain

TRIGGER = ("trigger/trigger.json", "trigger/trigger.safetensors")
_LARGEST_TRIGGER = 2**30
_LARGEST_CARD = 2**20
_WEIGHTS = re.compile(r"model(-[0-9]+-of-[0-9]+)?\.safetensors", re.ASCII)


@dataclass(frozen=True)
class Fetched:
    """A published result in a folder of its own, which holds nothing else.

    Attributes:
        name: Where it is from: a Hub id or a folder.
        commit: The commit of a Hub repository.
        folder: Report, card, trigger, config and weights, by the names of an output folder.
        report: The report.
        weights: The names of the weight files, as far as there are some.
    """

    name: str
    commit: str | None
    folder: Path
    report: Report
    weights: tuple[str, ...]

    @property
    def has_trigger(self) -> bool:
        """Whether the trigger that measured lies beside the report."""
        return all((self.folder / name).is_file() for name in TRIGGER)


def fetch(source: str, place: Path, *, revision: str | None, token: str | None) -> Fetched:
    """Gather what a result is made of, without touching anything else that lies there.

    Args:
        source: A Hub id or a folder that this tool wrote; a repository that took over a
            pull request of this tool has the report in a folder below.
        place: An empty folder; what was fetched is put there.
        revision: Of a Hub id; ``refs/pr/N`` for a pull request.
        token: Instead of the usual one.

    Raises:
        HubError: It cannot be fetched.
        ReportError: There is no report of this tool, or it is broken or too large.
    """
    from huggingface_hub import HfApi

    found = locate(source, revision=revision)
    if not isinstance(found, HubModel):
        local = found
        sizes = _sizes(local)
        name, commit = str(found), None

        def get(path: str) -> Path:
            return (local / path).resolve()
    else:
        api, repo = HfApi(token=token), found.repo
        with hub_errors(f"read {repo}", token=token):
            info = patiently(lambda: api.model_info(repo, revision=found.revision))
            commit = info.sha or "main"
            entries = patiently(lambda: files_at(api, repo, commit))
        sizes = {path: entry.size for path, entry in entries.items()}
        name = repo

        def get(path: str) -> Path:
            file = download(repo, path, revision=commit, token=token, entry=entries[path])
            return file.resolve()

    proof = "" if REPORT_FILE in sizes else PROOF
    if proof + REPORT_FILE not in sizes:
        raise ReportError(
            f"{plain(name)} holds no {REPORT_FILE} of ngf-hub.",
            "Give what `ngf-hub publish` published, or a folder that ngf-hub wrote.",
        )
    _put(place, {proof + REPORT_FILE: REPORT_FILE}, sizes, get, MAX_REPORT)
    report = Report.read(place)
    beside = {proof + path: path for path in TRIGGER if proof + path in sizes}
    _put(place, beside, sizes, get, _LARGEST_TRIGGER)
    card = {proof + CARD_FILE: CARD_FILE} if proof + CARD_FILE in sizes else {}
    _put(place, card, sizes, get, _LARGEST_CARD)
    weights = tuple(sorted(path for path in sizes if _is_weights(path)))
    if report.kind == "evaluate":  # it measured the weights of its source
        weights = ()
    else:
        top = [path for path in IF_THERE if path in sizes]
        _put(place, {path: path for path in top}, sizes, get, MAX_REPORT)
        _put(place, {path: path for path in weights}, sizes, get, None)
    return Fetched(name, commit, place, report, weights)


def _is_weights(path: str) -> bool:
    return _WEIGHTS.fullmatch(path) is not None or path == f"model{INDEX_SUFFIX}"


def _sizes(folder: Path) -> dict[str, int]:
    """The size of each file of a folder that may be asked for."""
    names = [REPORT_FILE, CARD_FILE, *TRIGGER]
    names = [*names, *(PROOF + name for name in names), *IF_THERE]
    names += [path.name for path in folder.iterdir() if _is_weights(path.name)]
    return {name: (folder / name).stat().st_size for name in names if (folder / name).is_file()}


def _put(
    place: Path,
    wanted: Mapping[str, str],
    sizes: dict[str, int],
    get: Callable[[str], Path],
    largest: int | None,
) -> None:
    """Put files at their places.

    Args:
        place: Where they go.
        wanted: Path there by path in the source.
        sizes: Of all files of the source.
        get: Fetches one.
        largest: The most bytes that one may have.

    Raises:
        ReportError: One has more.
    """
    for path, to in wanted.items():
        if largest is not None and sizes[path] > largest:
            raise ReportError(f"{plain(path)} is too large to be what ngf-hub writes.")
        target = place / to
        target.parent.mkdir(parents=True, exist_ok=True)
        source = get(path)
        try:  # no copy where none is needed, and no link that leads out of the folder
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
