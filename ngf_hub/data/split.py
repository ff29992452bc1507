"""Which split and which images of it tune, and which judge: never the same ones."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ngf_hub.errors import DataError
from ngf_hub.text import plain

if TYPE_CHECKING:
    import numpy as np

TUNE_NAMES = ("train", "training")
JUDGE_NAMES = ("test", "testing", "validation", "valid", "val", "dev", "eval", "evaluation")


def choose_splits(
    names: Sequence[str],
    split: str | None = None,
    judge_split: str | None = None,
    *,
    dataset: str = "the dataset",
    usual_judge: str | None = None,
) -> tuple[str, str]:
    """The split that tunes and the one that judges.

    Tunes: the one asked for, else ``train``, else the only one (or the only
    one that does not judge). Judges: the one asked for, else ``test``, else
    ``validation`` under one of its names, else the one that tunes, of which a
    disjoint part is then taken.

    Args:
        names: The splits that the dataset has.
        split: The split asked for to tune.
        judge_split: The split asked for to judge.
        dataset: The dataset's name, for messages.
        usual_judge: What judges in this dataset if nothing is asked for.

    Raises:
        DataError: A split does not exist, or it is not clear which one tunes.

    >>> choose_splits(["train", "validation"])
    ('train', 'validation')
    >>> choose_splits(["train"])
    ('train', 'train')
    """
    have = f"it has {', '.join(plain(name, 60) for name in names) or 'none'}"
    for asked in (split, judge_split):
        if asked is not None and asked not in names:
            raise DataError(
                f"{plain(dataset, 100)} has no split {plain(asked, 60)!r}.",
                f"Choose among its splits: {have}.",
            )
    judges = [usual_judge, *JUDGE_NAMES] if usual_judge else list(JUDGE_NAMES)
    judge = judge_split or next((n for n in judges if n in names and n != split), None)
    if split is None:
        split = next((name for name in TUNE_NAMES if name in names), None)
    if split is None:
        rest = [name for name in names if name != judge] if len(names) > 1 else list(names)
        if len(rest) != 1:
            raise DataError(
                f"It is not clear which split of {plain(dataset, 100)} tunes.",
                f"Choose one with --split; {have}.",
            )
        split = rest[0]
    return split, judge or split


def permutation(count: int, seed: int, use: str) -> np.ndarray:
    """A random order of ``range(count)``, the same for a seed and use on every machine.

    ``RandomState`` is used because NumPy keeps its stream unchanged for good.
    """
    import numpy as np

    state = np.random.RandomState(zlib.crc32(f"{seed}/{use}".encode()))
    order: np.ndarray = state.permutation(count)
    return order


def tuning_count(
    available: int, samples: int | None, *, split: str, judges_too: bool
) -> tuple[int, list[str]]:
    """How many images of a split tune, and what a reader should know about it.

    Args:
        available: How many there are.
        samples: How many were asked for; ``None`` for all, 0 for none.
        split: The split's name, for messages.
        judges_too: Whether images of the same split must be left to judge.

    Raises:
        DataError: Nothing is left to tune or to judge.
    """
    name = plain(split, 60)
    if available == 0:
        raise DataError(f"Split {name!r} has no images to tune with.", "Choose another --split.")
    count = available if samples is None else samples
    if count == 0:
        return 0, []
    if not judges_too:
        if count <= available:
            return count, []
        return available, [f"{count} images were asked for to tune; split {name} has {available}."]
    if count >= available:
        hint = "Give a --judge-split, or a larger dataset."
        if available > 1:
            hint = f"Give --samples {max(1, available * 4 // 5)} or fewer, or a --judge-split."
        raise DataError(
            f"Split {name!r} has {available} images; with {count} to tune none are left to judge.",
            hint,
        )
    return count, [
        f"Split {name} both tunes and judges: no image does both, but images of one kind, "
        "such as frames of one film, may be on both sides."
    ]
