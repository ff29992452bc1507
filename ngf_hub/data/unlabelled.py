"""Images of a dataset without their labels: what a scan looks at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ngf_hub.data.draw import Request, draw_images
from ngf_hub.data.known import find_known
from ngf_hub.data.source import open_source
from ngf_hub.data.split import JUDGE_NAMES, TUNE_NAMES, choose_splits
from ngf_hub.errors import DataError
from ngf_hub.progress import Track, silent
from ngf_hub.report import DataInfo, SplitInfo
from ngf_hub.text import plain

if TYPE_CHECKING:
    from ngf_hub.data.images import ImageSet

SAMPLES = 300


def load_unlabelled(
    dataset: str,
    *,
    samples: int = SAMPLES,
    split: str | None = None,
    seed: int = 0,
    config: str | None = None,
    revision: str | None = None,
    streaming: bool | None = None,
    image_column: str | None = None,
    token: str | None = None,
    track: Track = silent,
) -> tuple[ImageSet, DataInfo]:
    """Images drawn uniformly at random from one split; blind test sets will do.

    Args:
        dataset: A name of :data:`ngf_hub.data.KNOWN`, a Hub id, a folder of
            images or a parquet file.
        samples: How many; all of the split where it has fewer.
        split: Which one; ``None`` for one that models are tested on, else any.
        seed: Decides which images are drawn.
        config: The configuration of a dataset that has several.
        revision: Branch, tag or commit of a Hub dataset.
        streaming: Whether to stream; ``None`` to decide by the size.
        image_column: The image column, where it is not clear.
        token: For a private or gated dataset; ``None`` for the usual one.
        track: Shows progress.

    Raises:
        DataError: There is no such split or column, or no image.
        HubError: The dataset cannot be fetched.
    """
    if samples < 1:
        raise DataError("No images are left to scan with.", "Give --samples 1 or more.")
    source = open_source(dataset, config=config, revision=revision, token=token)
    if split is None:
        split = _usual_split(source.name, source.splits)
    else:  # says which there are, where it is none of them
        choose_splits(source.splits, split, split, dataset=source.name)
    request = Request(
        split, split, 0, samples, seed=seed, streaming=streaming, image_column=image_column,
        labelled=False,
    )  # fmt: skip
    drawn = draw_images(source, request, track)
    images = drawn.candidates.select(range(min(samples, len(drawn.candidates))))
    notes = list(source.notes)
    if len(images) < samples:
        notes.append(
            f"{samples} images were asked for; split {plain(split, 60)} has {len(images)}."
        )
    info = DataInfo(
        name=source.name,
        revision=source.revision,
        config=source.layout.config if source.layout.config != "default" else None,
        image_column=drawn.columns.image,
        licence=source.layout.licence,
        splits=[SplitInfo(split=split, n=len(images), use="scan")],
        notes=notes,
    )
    return images, info


def _usual_split(dataset: str, names: Sequence[str]) -> str:
    """One that models are tested on, else one that they are trained on, else the first."""
    known = find_known(dataset)
    usual = [known.judge_split] if known is not None and known.judge_split else []
    wanted = (*usual, *JUDGE_NAMES, *TUNE_NAMES, *names)
    found = next((name for name in wanted if name in names), None)
    if found is None:
        raise DataError(f"{plain(dataset, 100)} has no images.", "Give another --dataset.")
    return found
