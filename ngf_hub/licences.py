"""The licence that the card of a repository states, from a card that anybody may have written."""

from __future__ import annotations

import re
from pathlib import Path

from ngf_hub.bounded_files import read_text
from ngf_hub.text import plain

METADATA = re.compile(r"\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
"""The YAML block at the start of a card."""
_MAX_CARD = 4 << 20
# PyYAML reads some 80 kB a second.
_MAX_METADATA = 1 << 17


def licence_of(folder: Path) -> str | None:
    """The licence that a folder's ``README.md`` states in its metadata, if it states one."""
    import yaml  # type: ignore[import-untyped]

    try:
        block = METADATA.match(read_text(folder / "README.md", _MAX_CARD))
        if block is None or len(block[1]) > _MAX_METADATA:
            return None
        metadata = yaml.safe_load(block[1])
    # A card that cannot be read states no licence, whatever is wrong with it.
    except Exception:
        return None
    return licence_text(metadata.get("license")) if isinstance(metadata, dict) else None


def licence_text(value: object) -> str | None:
    """A licence of a card, or the licences of a list, as one text.

    Anything else, such as aliases that stand for a billion items, is none.
    """
    if isinstance(value, list | tuple):
        value = ", ".join(part for part in value[:10] if isinstance(part, str))
    return plain(value, 100) or None if isinstance(value, str) else None
