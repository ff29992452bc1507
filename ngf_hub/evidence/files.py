"""Static scan of pickled files: what would loading them import and call?

Nothing is unpickled here. :func:`scan_pickle` is the gate in front of loading:
a file passes only if every global that it names is on the short list that a
dictionary of dense tensors needs, and if it is built as ``torch.save`` builds
it, so that what is read later is what was scanned. :func:`inspect_pickle` tells
of any pickle whether it is dangerous or merely no file of weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ngf_hub.evidence.pickle_files import Contents, Part, read_contents
from ngf_hub.evidence.pickle_names import danger, is_plain
from ngf_hub.evidence.pickle_parts import Budget, Name
from ngf_hub.evidence.pickle_use import BY_USE
from ngf_hub.text import plain

Severity = Literal["dangerous", "unusual", "not scanned"]
_NAMED = 3
_LISTED = 20
# What torch.load would be called on; it can read no 7z or RAR archive.
_CHECKPOINTS = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class FileFinding:
    """One reason why a file is not to be loaded.

    Attributes:
        file: The file's name.
        reason: What was found, in one line.
        severity: ``dangerous``: loading it could run code, or it is made to
            mislead; ``unusual``: not what weights need, and not loaded here;
            ``not scanned``: not looked into, for the reason given.
    """

    file: str
    reason: str
    severity: Severity = "dangerous"


def scan_pickle(path: Path) -> list[FileFinding]:
    """What speaks against loading a PyTorch pickle; empty if nothing does.

    Args:
        path: A file written by ``torch.save``, of the zip format or the one before it.
    """
    try:
        reasons = [*_refusals(read_contents(path))]
    # The scanner meets hostile input: whatever it trips over is a finding.
    except Exception as error:
        reasons = [f"it cannot be scanned ({type(error).__name__})"]
    return [FileFinding(path.name, plain(reason)) for reason in dict.fromkeys(reasons)]


def inspect_pickle(
    path: Path, *, name: str | None = None, budget: Budget | None = None
) -> list[FileFinding]:
    """What is to be said of a file that holds pickles, whoever wrote it.

    Args:
        path: The file.
        name: What to call it; its own name if left out.
        budget: How much work it may cost.
    """
    file = name or path.name
    try:
        contents = read_contents(path, budget)
    except Exception as error:  # as above
        return [FileFinding(file, f"it cannot be scanned ({type(error).__name__})")]
    found: dict[str, Severity] = {}
    if contents.form == "sealed" and path.suffix in _CHECKPOINTS:
        found["it is an archive by the name of a checkpoint, sealed against scanners"] = "dangerous"
    for reason in (*contents.dangers, *_dangers(contents)):
        found.setdefault(plain(reason), "dangerous")
    for reason in (*contents.oddities, *_unusual_names(contents)):
        found.setdefault(plain(reason), "unusual")
    too_long = [_placed(part, part.stream.error) for part in contents.parts if part.stream.too_long]
    for reason in (*contents.unread, *too_long):
        found.setdefault(plain(reason), "not scanned")
    return list_findings(file, found)


def list_findings(file: str, found: Mapping[str, Severity]) -> list[FileFinding]:
    """The findings of one file, the worst first, and no more than a reader bears.

    Args:
        file: Its name.
        found: Severity by reason.
    """
    order = ("dangerous", "not scanned", "unusual")
    ranked = sorted(found.items(), key=lambda item: order.index(item[1]))
    findings = [FileFinding(file, plain(reason), severity) for reason, severity in ranked]
    if len(findings) > _LISTED:
        rest = findings[_LISTED - 1 :]
        findings = findings[: _LISTED - 1]
        findings.append(FileFinding(file, f"and {len(rest)} more", rest[0].severity))
    return findings


def _refusals(contents: Contents) -> Iterator[str]:
    """Everything that a file of tensors has not."""
    yield from (*contents.dangers, *contents.oddities, *contents.unread)
    names: set[Name] = set()
    for part in contents.parts:
        names |= part.stream.names
        yield from part.stream.tricks
        if part.certain and part.stream.error is not None:
            yield "its pickle cannot be followed to the end"
    for name in sorted(names):
        if not is_plain(name):
            yield f"it would import {name}"
    if contents.form in ("numpy", "zip", "tar", "compressed", "sealed"):
        yield f"it is a {contents.form} file, which torch.save does not write"
    # A file of tensors names what rebuilds them; else another stream was scanned.
    if not any(str(name).startswith("torch._utils._rebuild_tensor") for name in names):
        yield "no tensors were found in it"


def _dangers(contents: Contents) -> Iterator[str]:
    """What would run code, or hides what it would do."""
    for part in contents.parts:
        stream = part.stream
        for name in sorted(stream.names):
            if name in BY_USE:
                if part.certain and stream.loose[name] > 0:
                    yield _placed(part, f"it uses {name} for more than values")
            elif why := danger(name):
                yield _placed(part, f"it would import {name}{why}")
        if not part.certain:
            continue
        yield from (_placed(part, trick) for trick in stream.tricks)
        if stream.error is not None and not stream.too_long:
            yield _placed(part, f"its pickle cannot be followed: {stream.error}")


def _unusual_names(contents: Contents) -> Iterator[str]:
    """One line on the globals that weights do not need and that are not dangerous."""
    names = {
        name
        for part in contents.parts
        if part.certain
        for name in part.stream.names
        if not is_plain(name) and (name in BY_USE or danger(name) is None)
    }
    if names:
        shown = ", ".join(str(name) for name in sorted(names)[:_NAMED])
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        yield f"it would import {shown}{more}, which weights do not need"


def _placed(part: Part, reason: str | None) -> str:
    return f"{part.where}: {reason}" if part.where else str(reason)
