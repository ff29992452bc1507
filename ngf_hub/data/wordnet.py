"""WordNet ids such as ``n01440764`` as names: several ImageNet sets use them for classes."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ID = re.compile(r"^n\d{8}$")


def are_wordnet_ids(names: Sequence[str]) -> bool:
    """Whether all names are WordNet ids of nouns.

    >>> are_wordnet_ids(["n01440764", "n01443537"]), are_wordnet_ids(["tench"])
    (True, False)
    """
    return bool(names) and all(_ID.match(name.strip().lower()) for name in names)


def wordnet_names(ids: Sequence[str]) -> list[str] | None:
    """The names of WordNet ids, synonyms separated by commas, or ``None`` if one is unknown.

    timm holds the table, of the 21,841 synsets of ImageNet.
    """
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-22k")
    try:
        names = [info.label_name_to_description(i.strip().lower(), detailed=False) for i in ids]
    except (KeyError, ValueError):
        return None
    return names if all(names) else None
