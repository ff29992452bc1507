"""Static scan of pickled weight files: what would loading them import?

Nothing is unpickled here. `picklescan` disassembles the pickle streams; its own
blocklist is not relied on. A file passes only if every global that it names is
on the short list that a dictionary of dense tensors needs, and if it is built
as ``torch.save`` builds it, so that what is read later is what was scanned.
"""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ngf_hub.text import plain

ZIP_MAGIC = b"PK\x03\x04"

ALLOWED_GLOBALS = {
    "collections.OrderedDict",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch.Size",
    "torch.nn.parameter.Parameter",
    "torch.storage.TypedStorage",
    "torch.storage.UntypedStorage",
}
_ALLOWED_FORMS = re.compile(
    r"torch\.(?:(?:Double|Float|Half|BFloat16|Long|Int|Short|Char|Byte|Bool)Storage"
    r"|float64|float32|float16|bfloat16|int64|int32|int16|int8|uint8|bool)"
)
# The members of the zip archive that torch.save writes, below its one folder.
_MEMBERS = re.compile(
    r"data\.pkl|version|byteorder|\.format_version|\.storage_alignment"
    r"|\.data/serialization_id|data/[\w.-]+"
)


@dataclass(frozen=True)
class FileFinding:
    """One reason why a file is not to be loaded.

    Attributes:
        file: The file's name.
        reason: What was found, in one line.
    """

    file: str
    reason: str


def scan_pickle(path: Path) -> list[FileFinding]:
    """What speaks against loading a PyTorch pickle; empty if nothing does.

    Args:
        path: A file written by ``torch.save``, of the zip format or the one before it.
    """
    try:
        reasons = [*_scan_archive(path), *_scan_globals(path)]
    # The scanner meets hostile input: whatever it trips over is a finding.
    except Exception as error:
        reasons = [f"it cannot be scanned ({type(error).__name__})"]
    return [FileFinding(path.name, plain(reason)) for reason in dict.fromkeys(reasons)]


def _scan_archive(path: Path) -> Iterator[str]:
    """Deviations from the archive that ``torch.save`` writes."""
    with path.open("rb") as file:
        if file.read(len(ZIP_MAGIC)) != ZIP_MAGIC:
            return
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        pickles = []
        for member in members:
            _, _, inner = member.filename.partition("/")
            if inner == "data.pkl":
                pickles.append(member)
            if inner.startswith("code/") or inner == "constants.pkl":
                yield "it is TorchScript, which holds code"
            elif not _MEMBERS.fullmatch(inner):
                yield f"it holds {member.filename!r}, which torch.save does not write"
            if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 0x1:
                yield f"{member.filename!r} is compressed or encrypted"
        if len({member.filename for member in members}) != len(members):
            yield "two of its members have one name"
        if len(pickles) != 1:
            yield f"it holds {len(pickles)} data.pkl instead of one"
        for member in pickles:
            archive.read(member)  # checks the CRC; raises if it is wrong


def _scan_globals(path: Path) -> Iterator[str]:
    """Globals outside the allowed ones, and streams that cannot be followed."""
    from picklescan.scanner import scan_bytes

    with path.open("rb") as file, _quiet("picklescan"):
        result = scan_bytes(file, path.name, ".bin")
    if result.scan_err:
        yield "its pickle cannot be followed to the end"
    names = sorted(f"{found.module}.{found.name}" for found in result.globals)
    for name in names:
        if name not in ALLOWED_GLOBALS and not _ALLOWED_FORMS.fullmatch(name):
            yield f"it would import {name}"
    # A file of tensors names what rebuilds them; else another stream was scanned.
    if not any(name.startswith("torch._utils._rebuild_tensor") for name in names):
        yield "no tensors were found in it"


@contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """Findings are returned, so that the scanner's own log lines would be said twice."""
    log = logging.getLogger(logger)
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(level)
