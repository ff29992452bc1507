"""Files of a dataset that would grow out of all proportion when they are read."""

from __future__ import annotations

import re
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ngf_hub.bounded_files import read_text
from ngf_hub.errors import DataError
from ngf_hub.licences import METADATA
from ngf_hub.text import plain

if TYPE_CHECKING:
    import yaml  # type: ignore[import-untyped]

# Pictures are compressed already: a file of them grows by a few per cent.
_MOST_TIMES = 50
_HARMLESS = 256 << 20
# 20,000 class names are about 1 MB.
_MAX_METADATA = 2 << 20
_MOST_ITEMS = 1_000_000
_ANCHOR = re.compile(r"(?:^|[\s\[{,:-])&[^\s,\[\]{}]", re.MULTILINE)
# Members of these names are expanded by `datasets` as they are read, whatever comes out.
_COMPRESSED = (".gz", ".bz2", ".xz", ".lz4", ".zst")


def refuse_bombs(paths: Iterable[str]) -> None:
    """Refuse tables and archives on this machine that are made to fill memory or disk.

    Args:
        paths: Files of a dataset; addresses of others are passed over.

    Raises:
        DataError: One is such a file.
    """
    for path in paths:
        if "://" in path:
            continue
        kind = Path(path).suffix.lower()
        try:
            if kind == ".parquet":
                _parquet(path)
            elif kind == ".zip":
                _judge(path, *_zip(path))
            elif kind == ".tar":
                _tar(path)
            elif kind == ".arrow":
                _arrow(path)
        # What cannot be read is told of where it is read.
        except (OSError, ValueError, tarfile.TarError, zipfile.BadZipFile, NotImplementedError):
            continue


def refuse_card_bomb(card: Path) -> None:
    """Refuse a dataset's card whose YAML stands for far more than it says.

    An anchor and its aliases share one list, until a reader goes through it: nine of
    nine of nine ... are a billion. ``datasets`` does go through it.

    Args:
        card: The ``README.md``; it need not be there.

    Raises:
        DataError: It is such a card, or too long to be read.
    """
    import yaml

    if not card.exists():
        return
    hint = "Delete that part of the dataset's README.md."
    try:
        block = METADATA.match(read_text(card))
        if block is None:
            return
        if len(block[1]) > _MAX_METADATA:
            raise DataError("The metadata of the dataset's README.md is too long to be read.", hint)
        if not _ANCHOR.search(block[1]):
            return
        root = yaml.compose(block[1], Loader=yaml.SafeLoader)
        if root is not None and _items(root, {}) > _MOST_ITEMS:
            raise DataError(
                "The metadata of the dataset's README.md stands for millions of items.", hint
            )
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise DataError(
            f"The dataset's README.md cannot be read: {plain(error, 100)}.", hint
        ) from error


def _items(node: yaml.Node, known: dict[int, int]) -> int:
    """How many items a node is if every alias is written out."""
    import yaml

    if id(node) not in known:
        known[id(node)] = _MOST_ITEMS + 1  # what holds itself has no end
        inside: Iterable[yaml.Node] = ()
        if isinstance(node, yaml.MappingNode):
            inside = (part for pair in node.value for part in pair)
        elif isinstance(node, yaml.SequenceNode):
            inside = node.value
        known[id(node)] = 1 + sum(_items(part, known) for part in inside)
    return known[id(node)]


def _judge(path: str, packed: int, expanded: int) -> None:
    if expanded > _HARMLESS and expanded > _MOST_TIMES * max(packed, 1):
        raise DataError(
            f"{plain(Path(path).name, 100)} would grow from {packed >> 10:,} KiB to "
            f"{expanded >> 20:,} MiB, as no file of pictures does.",
            "Leave that file out of the dataset.",
        )


def _parquet(path: str) -> None:
    """A column may shrink to nothing; an entry of its dictionary is expanded for every row."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(index) for index in range(file.metadata.num_row_groups)]
    chunks = [group.column(index) for group in groups for index in range(group.num_columns)]
    packed = sum(max(0, chunk.total_compressed_size) for chunk in chunks)
    _judge(path, packed, sum(max(0, chunk.total_uncompressed_size) for chunk in chunks))
    texts = [chunk for chunk in chunks if chunk.physical_type == "BYTE_ARRAY"]
    for column in {chunk.path_in_schema for chunk in texts if chunk.has_dictionary_page}:
        own = [chunk for chunk in texts if chunk.path_in_schema == column]
        if sum(chunk.num_values * chunk.total_uncompressed_size for chunk in own) <= _HARMLESS:
            continue
        expanded = 0
        try:
            # Indices and entries are read, and not what they stand for.
            with pq.ParquetFile(path, read_dictionary=[column]) as file:
                for batch in file.iter_batches(columns=[column]):
                    cells = _leaf(batch.column(0))
                    if pa.types.is_dictionary(cells.type):
                        lengths = pc.binary_length(cells.dictionary)
                        expanded += pc.sum(pc.take(lengths, cells.indices)).as_py() or 0
                        _judge(path, packed, expanded)
        # Structures of which a part is in no dictionary; Arrow gives at most 2 GiB of them at once.
        except NotImplementedError:
            continue


def _leaf(cells: Any) -> Any:
    """The one column inside structures and lists of Arrow."""
    import pyarrow as pa

    while pa.types.is_struct(cells.type) or pa.types.is_list(cells.type):
        cells = cells.field(0) if pa.types.is_struct(cells.type) else cells.values
    return cells


def _zip(path: str) -> tuple[int, int]:
    """Bytes of all members as they are stored, and expanded: zipfile gives no more than stated."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    return sum(m.compress_size for m in members), sum(m.file_size for m in members)


def _arrow(path: str) -> None:
    """Arrow's reader allocates what the first message says, before it finds that it lies."""
    with open(path, "rb") as file:
        head = file.read(8)
        size = file.seek(0, 2)
    if head.startswith(b"ARROW1"):
        return
    length = head[4:8] if head.startswith(b"\xff\xff\xff\xff") else head[:4]
    if not 0 <= int.from_bytes(length, "little", signed=True) <= size:
        raise DataError(
            f"{plain(Path(path).name, 100)} is no Arrow file.", "Fetch or write it again."
        )


def _tar(path: str) -> None:
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            if member.name.lower().endswith(_COMPRESSED):
                raise DataError(
                    f"{plain(Path(path).name, 100)} holds a compressed file, "
                    f"{plain(member.name, 60)}, and not the picture itself.",
                    "Write the pictures into the archive as they are.",
                )
            # It keeps all that it saw, and a long archive would fill the memory.
            archive.members = []  # type: ignore[attr-defined]
