"""Evidence 1: the files of a model, looked at before any of them is loaded."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ngf_hub.errors import HubError
from ngf_hub.evidence.custom_code import CONFIGS, MAX_CONFIG, inspect_config
from ngf_hub.evidence.files import FileFinding, Severity, inspect_pickle, scan_pickle
from ngf_hub.evidence.keras import inspect_keras
from ngf_hub.evidence.repository_files import FolderFiles, RepositoryFiles, open_files
from ngf_hub.evidence.safetensors_header import (
    LFS_POINTER,
    Header,
    HeaderError,
    HeaderTooLong,
    read_header,
)
from ngf_hub.evidence.weights_fit import check_fit
from ngf_hub.evidence.wrappings import worth_reading
from ngf_hub.patience import is_transient
from ngf_hub.progress import Track, silent
from ngf_hub.scan_report import Finding
from ngf_hub.text import plain

MAX_FETCHED = 512 << 20
NOT_FETCHED = "could not be fetched"
"""What the note of a file says of which the Hub gave nothing."""
_MAX_GLANCES = 32
_INDEX = "model.safetensors.index.json"
_PICKLES = re.compile(
    r"(?i).+\.(?:bin|pt|pt2|pth|ckpt|pkl|pickle|joblib|npy|npz|p|pk|sav|tar|zip|7z"
    r"|(?:pkl|joblib|pth|pt)\.(?:gz|bz2|xz|lzma|z|zst|lz4))"
)
_KERAS = re.compile(r"(?i).+\.(?:keras|h5|hdf5)")
# Text, pictures, and formats of other tools that are no Python pickles.
_OTHERS = re.compile(
    r"(?:.*/)?(?:\.\w+|[A-Z_]+)"
    r"|(?i:.+\.(?:md|txt|rst|json|jsonl|csv|tsv|ya?ml|toml|xml|html?|css|js|py|pyi|ipynb|cfg|ini|sh"
    r"|png|jpe?g|gif|webp|bmp|svg|ico|mp4|wav|pdf|lock|log|bib|tex"
    r"|safetensors|onnx|onnx_data|msgpack|tflite|gguf|pb|mlmodel|model|spm|index|parquet|arrow))"
)


@dataclass
class FilesChecked:
    """What the files of a model are.

    Attributes:
        finding: For the report: ``flagged`` where a file is dangerous,
            ``not judged`` where none is and the weights are refused all the
            same, else ``clear``. ``details["files"]`` holds every file of note
            with reason and severity.
        safe_to_load: Nothing speaks against loading the weights without the
            repository's own code. That a file beside them is dangerous does not.
        commit: The commit of a Hub model.
        hub_security: The Hub's own security status, as it gives it; ``None``
            for a folder and where the Hub was not asked, which a note says.
        notes: What a reader should know.
    """

    finding: Finding
    safe_to_load: bool = True
    commit: str | None = None
    hub_security: dict[str, Any] | None = None
    notes: list[str] = field(default_factory=list)


def inspect_files(
    source: str | Path,
    *,
    revision: str | None = None,
    token: str | None = None,
    track: Track = silent,
    max_fetched: int = MAX_FETCHED,
) -> FilesChecked:
    """Look into every file that could do harm, without loading or running any.

    Of a Hub repository, headers of safetensors files are read by range; what is
    fetched are configs, pickles that would be loaded, and other pickles and Keras
    files, smallest first, as far as ``max_fetched`` goes.

    Args:
        source: A Hub id or a folder, as :func:`ngf_hub.load_model` takes it.
        revision: Branch, tag or commit of a Hub id.
        token: Instead of the one that Hub clients find by themselves.
        track: Shows progress.
        max_fetched: How many bytes of files that would not be loaded are looked
            into; what goes beyond is listed as not scanned.

    Raises:
        HubError: The repository or a file of it cannot be fetched.
        ModelError: The source is a file.
    """
    start = time.perf_counter()
    files = open_files(source, revision=revision, token=token)
    look = _Look(files, set(files.weights()), max_fetched)
    for name in track(look.order(), "Checking files", total=None):
        look.at(name)
    look.fit()
    finding = look.finding(time.perf_counter() - start)
    return FilesChecked(finding, look.safe, files.commit, files.security, files.notes)


class _Look:
    """Goes through the files of one model."""

    def __init__(self, files: RepositoryFiles, loaded: set[str], max_fetched: int) -> None:
        self.files = files
        self.loaded = loaded
        self.left = max_fetched
        self.glances = _MAX_GLANCES
        self.safe = True
        self.found: list[FileFinding] = []
        self.headers: dict[str, Header] = {}
        self.config: Any = None
        self.checked: Counter[str] = Counter()

    def order(self) -> list[str]:
        """What would be loaded first, then small files before large ones."""
        sizes = self.files.sizes
        return sorted(sizes, key=lambda name: (name not in self.loaded, sizes[name], name))

    def say(self, name: str, reason: str, severity: Severity = "dangerous") -> None:
        self.found.append(FileFinding(plain(name, 160), plain(reason), severity))

    def at(self, name: str) -> None:
        """Look at one file."""
        if name.endswith(".safetensors"):
            self.safetensors(name)
        elif CONFIGS.fullmatch(name):
            self.configs(name)
        elif name in self.loaded:
            self.weights_pickle(name)
        elif _KERAS.fullmatch(name):
            self.other(name, "keras")
        elif _PICKLES.fullmatch(name):
            self.other(name, "pickles")
        elif not _OTHERS.fullmatch(name):
            self.unknown(name)

    def safetensors(self, name: str) -> None:
        self.checked["safetensors"] += 1
        if self.is_pointer(name):
            return
        try:
            header = read_header(
                lambda start, count: self.files.read(name, start, count), self.files.sizes[name]
            )
        except HeaderError as error:
            too_long = isinstance(error, HeaderTooLong)
            self.say(name, str(error), "not scanned" if too_long else "dangerous")
            self.safe &= name not in self.loaded
            if worth_reading(self.files.read(name, 0, 512)):
                self.other(name, "pickles")
            return
        if header.missing:
            self.say(name, f"it is cut short: {header.missing:,} bytes are missing", "unusual")
        if name in self.loaded:
            self.headers[name] = header

    def configs(self, name: str) -> None:
        if self.files.sizes[name] > MAX_CONFIG:
            self.say(name, "it is too long for a config", "not scanned")
            return
        self.checked["configs"] += 1
        text = self.files.fetch(name).read_bytes()
        self.found += inspect_config(name, text, self.files.sizes)
        if name == "config.json":
            self.config = _json(text)

    def weights_pickle(self, name: str) -> None:
        """A pickle that would be loaded: it must be plain tensors and nothing else."""
        if not self.files.sizes[name] or self.is_pointer(name):
            return
        path = self.files.fetch(name)
        self.checked["pickles"] += 1
        refused = scan_pickle(path)
        self.found += inspect_pickle(path, name=name)
        if refused:
            self.safe = False
            if not any(found.file == name for found in self.found):
                self.say(name, refused[0].reason, "unusual")

    def other(self, name: str, kind: str) -> None:
        """A file that would not be loaded here, and perhaps elsewhere."""
        size = self.files.sizes[name]
        if self.is_pointer(name):
            return
        if size > self.left:
            self.say(name, f"its {_bytes(size)} are more than is looked into", "not scanned")
            return
        self.left -= size
        try:
            path = self.files.fetch(name)
        except HubError as error:
            if error.__cause__ is not None and is_transient(error.__cause__):
                raise  # a look that a moment's fault kept short is none
            self.say(name, error.message, "not scanned")
            self.files.notes.append(f"{plain(name, 160)} {NOT_FETCHED}")
            return
        self.checked[kind] += 1
        inspect = inspect_keras if kind == "keras" else inspect_pickle
        self.found += inspect(path, name=name)

    def unknown(self, name: str) -> None:
        """A file of which the name says nothing: its first bytes may."""
        if not self.files.sizes[name]:
            return
        if self.glances <= 0:
            self.say(name, "it is of an unknown kind, as are too many others", "not scanned")
            return
        self.glances -= 1
        head = self.files.read(name, 0, 512)
        if head.startswith(b"\x89HDF"):
            self.other(name, "keras")
        elif worth_reading(head):
            self.other(name, "pickles")

    def is_pointer(self, name: str) -> bool:
        """Whether only git's stand-in for a large file is there."""
        if self.files.sizes[name] > 1024 or not isinstance(self.files, FolderFiles):
            return False
        pointer = self.files.read(name, 0, len(LFS_POINTER)) == LFS_POINTER
        if pointer:
            self.say(name, "it is a Git LFS pointer and not the file", "unusual")
        return pointer

    def fit(self) -> None:
        """Whether config, index and headers tell one story."""
        if not isinstance(self.config, dict) or not self.headers or not self.safe:
            return
        index = None
        if len(self.loaded) > 1 and self.files.sizes.get(_INDEX, MAX_CONFIG) < MAX_CONFIG:
            index = _json(self.files.fetch(_INDEX).read_bytes())
        self.found += check_fit(self.config, self.headers, index)

    def finding(self, seconds: float) -> Finding:
        """All of it, the worst first."""
        ranks = ("dangerous", "not scanned", "unusual")
        self.found.sort(key=lambda found: (ranks.index(found.severity), found.file))
        counts = Counter(found.severity for found in self.found)
        details: dict[str, Any] = {
            "files": [
                {"file": found.file, "reason": found.reason, "severity": found.severity}
                for found in self.found
            ],
            "checked": dict(self.checked),
            "loaded": sorted(self.loaded),
        }
        if self.files.security is not None:
            details["hub_security"] = self.files.security
        if self.files.notes:
            details["notes"] = list(self.files.notes)
        flagged = counts["dangerous"] > 0
        return Finding(
            kind="files",
            status="flagged" if flagged else "clear" if self.safe else "not judged",
            summary=plain("; ".join(self.summary(counts)), 300),
            details=details,
            seconds=seconds,
        )

    def summary(self, counts: Counter[Severity]) -> Iterator[str]:
        """What the line for people is made of."""
        worst = self.found[0] if self.found else None
        if worst is not None and worst.severity == "dangerous":
            more = counts["dangerous"] - 1
            yield f"{worst.file}: {worst.reason}" + (f" (and {more} more)" if more else "")
        elif not self.safe:
            names = ", ".join(sorted(self.loaded)[:2])
            why = next((f.reason for f in self.found if f.file in self.loaded), "")
            yield f"{names}: not loaded, since it is not plain weights ({why})"
        else:
            yield f"nothing dangerous in {len(self.files.sizes)} files"
        if counts["not scanned"]:
            yield f"{len({f.file for f in self.found if f.severity == 'not scanned'})} not scanned"
        if counts["unusual"] and self.safe:
            yield f"{len({f.file for f in self.found if f.severity == 'unusual'})} unusual"
        issues = (self.files.security or {}).get("filesWithIssues")
        if issues:
            yield f"the Hub's own scan has issues with {len(issues)}"


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _bytes(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB" if size >= 1 << 20 else f"{size:,} bytes"
