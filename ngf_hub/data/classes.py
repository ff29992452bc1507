"""Classes of the data matched to those of the model: by name where both have names.

Orders differ from one repository to the next, and a wrong order is a wrong
accuracy that nothing else would show. So a match is complete or an error.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

from ngf_hub.data.wordnet import are_wordnet_ids, wordnet_names
from ngf_hub.errors import DataError
from ngf_hub.text import plain

_LONGEST_LIST = 200
_PLACEHOLDER = re.compile(r"^(?:label|class|cls)?[\s_-]*(\d+)$", re.IGNORECASE)


class ClassMatch(NamedTuple):
    """Which class of the model each class of the data is.

    Attributes:
        label_map: The model's index for each index of the data.
        how: ``by name``, ``by name, subset`` or ``by index``.
    """

    label_map: list[int]
    how: str


def match_classes(
    data_names: Sequence[str] | None,
    model_names: Sequence[str] | None,
    num_data_classes: int,
    num_model_classes: int,
    *,
    allow_subset: bool = False,
    by_index: bool = False,
) -> ClassMatch:
    """Match the classes of a dataset to those of a model.

    Where both have names, names decide: whole names first, then synonyms
    ("tench, Tinca tinca" and "tench"), whatever their case, spaces, hyphens
    and underscores; WordNet ids are looked up. Where one side has no names, or
    only numbers that repeat the index, the index decides, and the counts must
    be equal.

    Args:
        data_names: The data's class names by index, or ``None``.
        model_names: The model's, likewise.
        num_data_classes: How many classes the data has.
        num_model_classes: How many logits the model has.
        allow_subset: Allow data with only some of the model's classes, by name.
        by_index: Match by index whatever the names: the user knows that the
            order is the same.

    Raises:
        DataError: The counts differ, or some name has no or no clear
            counterpart; the details list both sides.

    >>> match_classes(["Dog", "house_cat"], ["house cat", "dog"], 2, 2)
    ClassMatch(label_map=[1, 0], how='by name')
    """
    details = _side_by_side(data_names, model_names)
    if num_data_classes > num_model_classes:
        raise DataError(
            f"The data has {num_data_classes} classes, the model only {num_model_classes}.",
            "Use the dataset that the model was trained for.",
            details,
        )
    # Names that are not one a class tell nothing.
    ours = data_names if len(data_names or ()) == num_data_classes else None
    theirs = model_names if len(model_names or ()) == num_model_classes else None
    if _are_numbers(ours) and _are_numbers(theirs):
        ours, theirs = _numbers(ours), _numbers(theirs)
    else:
        ours, theirs = _informative(ours), _informative(theirs)
    if by_index or ours is None or theirs is None:
        if num_data_classes != num_model_classes:
            raise _fewer(num_data_classes, num_model_classes, details, by_name=False)
        if not by_index:
            _refuse_sorted_numbers(ours)
        return ClassMatch(list(range(num_data_classes)), "by index")
    found = _by_name(ours, theirs)
    if None in found:
        raise _unmatched(found, ours, theirs)
    label_map = [place for place in found if place is not None]
    if len(ours) == len(theirs):
        return ClassMatch(label_map, "by name")
    if not allow_subset:
        raise _fewer(len(ours), len(theirs), details, by_name=True)
    return ClassMatch(label_map, "by name, subset")


def _by_name(ours: Sequence[str], theirs: Sequence[str]) -> list[int | None]:
    """The place in ``theirs`` of each of ``ours``, ``None`` where there is no clear one."""
    if are_wordnet_ids(ours) != are_wordnet_ids(theirs):
        ours, theirs = _looked_up(ours), _looked_up(theirs)
    found: list[int | None] = [None] * len(ours)
    _pair(found, [{_normal(name)} for name in ours], [{_normal(name)} for name in theirs])
    _pair(found, [_synonyms(name) for name in ours], [_synonyms(name) for name in theirs])
    _pair_homonyms(found, ours, theirs)
    return found


def _pair(found: list[int | None], ours: list[set[str]], theirs: list[set[str]]) -> None:
    """Fill in pairs that share a name and share none with any other that is left.

    A pair that is found leaves fewer others, so this goes on until it finds none.
    """
    while True:
        taken = {place for place in found if place is not None}
        places = defaultdict(list)
        for place, names in enumerate(theirs):
            if place not in taken:
                for name in names:
                    places[name].append(place)
        candidates = {
            index: {place for name in names for place in places.get(name, ())}
            for index, names in enumerate(ours)
            if found[index] is None
        }
        suitors = Counter(place for options in candidates.values() for place in options)
        pairs = [
            (index, place)
            for index, options in candidates.items()
            for place in options
            if len(options) == 1 and suitors[place] == 1
        ]
        if not pairs:
            return
        for index, place in pairs:
            found[index] = place


def _pair_homonyms(found: list[int | None], ours: Sequence[str], theirs: Sequence[str]) -> None:
    """Pair classes of one name by their order, where all others are in the same order.

    ImageNet has two cranes, the bird and the machine, and two maillots. A
    dataset, whose names must differ, may call the second "crane2".
    """
    left = [index for index, place in enumerate(found) if place is None]
    others_in_order = all(place in (None, index) for index, place in enumerate(found))
    if len(ours) != len(theirs) or not others_in_order or 2 * len(left) >= len(ours):
        return
    normal_ours = [_normal(name) for name in ours]
    for index in left:
        name = normal_ours[index]
        base = name.rstrip("0123456789").strip()
        numbered = base != name and base in normal_ours and base in _synonyms(theirs[index])
        if numbered or _synonyms(ours[index]) & _synonyms(theirs[index]):
            found[index] = index


def _normal(name: str) -> str:
    text = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"[\s_\-]+", " ", text).strip()


def _synonyms(name: str) -> set[str]:
    return {_normal(part) for part in name.split(",")} - {""}


def _looked_up(names: Sequence[str]) -> Sequence[str]:
    return (wordnet_names(names) if are_wordnet_ids(names) else None) or names


def _are_numbers(names: Sequence[str] | None) -> bool:
    return bool(names) and all(_PLACEHOLDER.match(name.strip()) for name in names or ())


def _numbers(names: Sequence[str] | None) -> list[str]:
    """ "7" of "7", "007", "class 7" and "LABEL_7"."""
    matches = [_PLACEHOLDER.match(name.strip()) for name in names or ()]
    return [str(int(match[1])) for match in matches if match]


def _informative(names: Sequence[str] | None) -> Sequence[str] | None:
    """The names, or ``None`` if there are none or they only repeat the index."""
    repeats = _are_numbers(names) and _numbers(names) == [str(i) for i in range(len(names or ()))]
    return None if repeats else names


def _refuse_sorted_numbers(names: Sequence[str] | None) -> None:
    """Class folders "0", "1", "10", "2" are sorted as text; are they indices or names?"""
    if not names or not _are_numbers(names):
        return
    values = [int(number) for number in _numbers(names)]
    if values != sorted(values):
        raise DataError(
            "The data's class names are numbers in another order than their indices, and the "
            "model has no class names.",
            "Rename the classes with leading zeros, or add --classes-by-index if the model's "
            "order is the one listed.",
            _side_by_side(names, None),
        )


def _fewer(data: int, model: int, details: str, *, by_name: bool) -> DataError:
    if by_name:
        hint = "Add --class-subset to tune and judge with only these classes."
    else:
        hint = "Only class names on both sides could tell which ones; use a dataset that has all."
    return DataError(f"The data has {data} classes, the model {model}.", hint, details)


def _unmatched(
    found: Sequence[int | None], ours: Sequence[str], theirs: Sequence[str]
) -> DataError:
    left = {index: ours[index] for index, place in enumerate(found) if place is None}
    shown = ", ".join(repr(plain(name, 40)) for name in list(left.values())[:3])
    more = f" and {len(left) - 3} more" if len(left) > 3 else ""
    details = _side_by_side(ours, theirs)
    if max(len(ours), len(theirs)) > _LONGEST_LIST:  # then only what has no counterpart
        rest = {index: name for index, name in enumerate(theirs) if index not in found}
        details = _columns(left, rest)
    hint = "Use the dataset that the model was trained for."
    if len(ours) == len(theirs):
        hint = "If both lists are in the same order, add --classes-by-index."
    return DataError(
        f"{len(left)} of {len(ours)} classes of the data have no clear counterpart in the "
        f"model: {shown}{more}.",
        hint,
        details,
    )


def _side_by_side(ours: Sequence[str] | None, theirs: Sequence[str] | None) -> str:
    """Both lists of names, one class a line."""
    if ours is None and theirs is None:
        return ""
    return _columns(*(dict(enumerate(names or ["(no names)"])) for names in (ours, theirs)))


def _columns(ours: Mapping[int, str], theirs: Mapping[int, str]) -> str:
    """Two lists of numbered names side by side, the longest part of them."""
    cells = [
        [f"{index:>5} {plain(name, 50)}" for index, name in list(names.items())[:_LONGEST_LIST]]
        for names in (ours, theirs)
    ]
    left, right = (["data", *cells[0]], ["model", *cells[1]])
    width = max(len(cell) for cell in left)
    lines = [f"{a:<{width}}  {b}".rstrip() for a, b in zip_longest(left, right, fillvalue="")]
    hidden = max(len(ours), len(theirs)) - _LONGEST_LIST
    return "\n".join(lines + ([f"  ... and {hidden} more"] if hidden > 0 else []))
