"""What must hold of Hub, cache, output folder and messages, whatever happened."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tests.faults.process import CRASHED, Ended
from tests.faults.world import Command
from tests.hub.server import LocalHub

# What two undisturbed runs differ in.
_VOLATILE = {"seconds", "cost", "created", "command", "provenance", "arguments"}
_FAILED = 2


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def outcome(folder: Path) -> dict[str, Any] | None:
    """What an output folder says, so that two right runs say the same; ``None`` without one."""
    if not folder.is_dir():
        return None
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            if path.suffix == ".json":
                found[name] = _lasting(json.loads(path.read_text(encoding="utf-8")))
            else:
                found[name] = digest(path) if path.suffix == ".safetensors" else "there"
    return found


def says_what_is_missing(place: Path, command: Command, right: dict[str, Any] | None) -> bool:
    """Whether a scan came to an end without files that it should have seen, and says so."""
    if command.words[0] != "scan" or command.output is None:
        return False
    folder = place / command.output
    told = "".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.json"))
    missing = '"not scanned"' in told or "the Hub was not asked" in told
    return missing and outcome(folder) != right


def _lasting(value: Any) -> Any:
    """A JSON value without times, and without the notes that the cache was read instead."""
    if isinstance(value, dict):
        return {key: _lasting(item) for key, item in value.items() if key not in _VOLATILE}
    if isinstance(value, list):
        kept = [item for item in value if not (isinstance(item, str) and "cache" in item)]
        return [_lasting(item) for item in kept]
    return value


def files_of(hub: LocalHub, repo: str) -> dict[str, str] | None:
    """SHA-256 by path of what a repository holds; ``None`` where there is none."""
    try:
        files = hub.commit(repo).files
    except KeyError:
        return None
    return {path: entry.sha256 for path, entry in files.items() if path != ".gitattributes"}


def commits_of(hub: LocalHub, repo: str) -> int:
    """How many commits a repository has, the one that made it among them."""
    stored = hub.repo(repo)
    return len(list(stored.history(stored.resolve("main"))))


def half_published(hub: LocalHub, command: Command, expected: dict[str, str]) -> list[str]:
    """Whether a repository holds a part of what belongs into it."""
    files = files_of(hub, command.repo) if command.repo else None
    if files and set(files) != set(expected):
        return [f"{command.repo} is half-published: {sorted(files)}"]
    return []


def spoilt_cache(hub: LocalHub, home: Path, *, killed: bool) -> list[str]:
    """Files in the Hub's cache that are not those of the Hub, and parts of files."""
    wrong = []
    for snapshot in home.glob("hub/*--*--*/snapshots/*"):
        kind, *words = snapshot.parent.parent.name.split("--")
        try:
            files = hub.commit("/".join(words), snapshot.name, kind.removesuffix("s")).files
        except KeyError:
            wrong.append(f"the cache has an unknown repository {snapshot}")
            continue
        for path in snapshot.rglob("*"):
            if path.is_dir():
                continue
            name = path.relative_to(snapshot).as_posix()
            if not path.exists():
                wrong.append(f"the cache has a dead link to {name} of {'/'.join(words)}")
            elif name not in files or digest(path) != files[name].sha256:
                wrong.append(f"the cache has another {name} of {'/'.join(words)}")
    if not killed:
        wrong += [f"a part is left in the cache: {p.name}" for p in home.rglob("*.incomplete")]
    return wrong


def message(ended: Ended, command: Command) -> list[str]:
    """Whether a run that failed says in one line what failed, and one that did not is right."""
    if ended.hung:
        return ["it hung"]
    if "Traceback" in ended.err or ended.code == CRASHED:
        return [f"a traceback: {ended.err[-1500:]}"]
    if ended.code == command.code:
        return []
    if ended.code != _FAILED:
        return [f"exit code {ended.code}: {ended.err[-500:]}"]
    lines = error_lines(ended, command)
    if "Unexpected" in "".join(lines):
        return [f"not explained: {lines}"]
    if command.words[0] == "scan" and not lines:
        return [f"no line: {ended.out[-300:]!r} {ended.err[-300:]!r}"]
    if len(lines) != 1 and len(command.words) > 2 and command.words[2].startswith("-"):
        return [f"{len(lines)} lines: {ended.err[-500:]!r}"]
    return [] if lines else [f"no line: {ended.err[-500:]!r}"]


def error_lines(ended: Ended, command: Command) -> list[str]:
    """The lines that say what failed: one, or one for each model of a list."""
    return [
        line.strip()
        for line in ended.err.splitlines()
        if line.startswith("Error: ") or "Cannot " in line or "could not be scanned" in line
    ]


def left_behind(place: Path, *, killed: bool) -> list[str]:
    """Half-written things beside their places."""
    found = [path.name for path in place.glob(".*")] + [
        f"cache/{path.name}" for path in place.glob("cache/scans/.*")
    ]
    if not killed:
        found += [f"tmp/{path.name}" for path in (place / "tmp").iterdir()]
    return found


def told_token(place: Path, token: str, *endings: Ended) -> list[str]:
    """Whether the token stands anywhere."""
    found = ["the token is in the output" for end in endings if token in end.out + end.err]
    found += [
        f"the token is in {path.relative_to(place)}"
        for path in place.rglob("*")
        if path.is_file() and token.encode() in path.read_bytes()
    ]
    return found
