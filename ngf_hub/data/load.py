"""Clean images of a dataset by its name: found, split, drawn and described."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ngf_hub.data.classes import match_classes
from ngf_hub.data.draw import Drawn, Request, draw_images
from ngf_hub.data.duplicates import without_duplicates
from ngf_hub.data.images import ImageSet
from ngf_hub.data.known import find_known
from ngf_hub.data.source import open_source
from ngf_hub.data.split import choose_splits
from ngf_hub.errors import DataError
from ngf_hub.progress import Track, silent
from ngf_hub.report import DataInfo, SplitInfo
from ngf_hub.text import plain

if TYPE_CHECKING:
    from ngf_hub.adapters.base import Classifier
    from ngf_hub.data.pixels import PixelSet


@dataclass
class CleanImages:
    """Images that tune and others that judge.

    Attributes:
        tune: The images that tune.
        judge: The images that judge; no picture of ``tune`` is among them.
        info: What the report says about them.
        num_classes: How many classes the data has, or ``None`` without labels.
    """

    tune: ImageSet
    judge: ImageSet
    info: DataInfo
    num_classes: int | None = None

    def pixels_for(
        self,
        classifier: Classifier,
        *,
        allow_subset: bool = False,
        by_index: bool = False,
        track: Track = silent,
    ) -> tuple[PixelSet, PixelSet]:
        """Both sets in a model's own preprocessing, labelled by the model's classes.

        Fills in ``info.class_matching``.

        Args:
            classifier: The model.
            allow_subset: See :func:`match_classes`.
            by_index: Likewise.
            track: Shows progress.

        Returns:
            The pixels that tune and those that judge.

        Raises:
            DataError: The classes do not match, or an image cannot be decoded.
        """
        from ngf_hub.data.convert import to_pixels

        label_map = None
        if self.num_classes is not None:
            label_map, self.info.class_matching = match_classes(
                self.tune.class_names,
                classifier.class_names,
                self.num_classes,
                classifier.num_classes,
                allow_subset=allow_subset,
                by_index=by_index,
            )
        tune, judge = (
            to_pixels(
                images,
                classifier.preprocessing,
                label_map=label_map,
                track=track,
                description=f"Preparing {use} images",
            )
            for images, use in ((self.tune, "tuning"), (self.judge, "judging"))
        )
        return tune, judge


def load_images(
    dataset: str,
    *,
    samples: int | None = 500,
    judge_samples: int | None = 2000,
    split: str | None = None,
    judge_split: str | None = None,
    seed: int = 0,
    config: str | None = None,
    revision: str | None = None,
    streaming: bool | None = None,
    image_column: str | None = None,
    label_column: str | None = None,
    token: str | None = None,
    track: Track = silent,
) -> CleanImages:
    """Clean images that tune and others that judge, drawn uniformly at random.

    Only the files of the needed splits are fetched, all of one commit; of a
    split of more than 2 GiB, only about as many rows as are needed.

    The same seed gives the same images. A larger ``samples`` adds to those of
    a smaller one, and where there is room the judging images stay the same.
    (A stream is random in its order of files and row groups, and in a buffer
    of up to 1,000 rows, not over the whole split.)

    Args:
        dataset: A name of :data:`KNOWN`, a Hub id, an image folder, a folder in
            the Hub's layout or a parquet file.
        samples: How many images tune; ``None`` for all, 0 for none: then only
            the split that judges is fetched.
        judge_samples: How many images judge; ``None`` for all.
        split: The split that tunes; ``None`` for ``train`` or the only one.
        judge_split: The split that judges; ``None`` for ``test``, else
            ``validation``, else a part of ``split`` that does not tune.
        seed: Decides which images are drawn.
        config: The configuration of a dataset that has several.
        revision: Branch, tag or commit of a Hub dataset.
        streaming: Whether to stream; ``None`` to decide by the size.
        image_column: The image column, where it is not clear.
        label_column: The label column, where it is not clear.
        token: For a private or gated dataset; ``None`` for the usual one.
        track: Shows progress.

    Raises:
        DataError: There is no such split or column, or not enough images.
        HubError: The dataset cannot be fetched.
    """
    if samples is not None and samples < 0:
        raise DataError("No images are left to tune.", "Give --samples 1 or more.")
    if judge_samples is not None and judge_samples < 1:
        raise DataError("No images are left to judge by.", "Give --judge-samples 1 or more.")
    source = open_source(dataset, config=config, revision=revision, token=token)
    known = find_known(source.name)
    if label_column is None and known is not None:
        label_column = known.label_column
    if samples == 0 and judge_split in source.splits:
        split = split or next((name for name in source.splits if name != judge_split), None)
    tunes, judges = choose_splits(
        source.splits,
        split,
        judge_split,
        dataset=source.name,
        usual_judge=known.judge_split if known else None,
    )
    request = Request(
        tunes,
        judges,
        samples,
        judge_samples,
        seed=seed,
        streaming=streaming,
        image_column=image_column,
        label_column=label_column,
    )
    drawn = draw_images(source, request, track)
    notes = [*source.notes, *drawn.notes]
    positions, dropped = without_duplicates(drawn.tune, drawn.candidates, judge_samples, track)
    if not positions:
        raise DataError(
            f"No image of split {plain(judges, 60)!r} is left to judge: all of them tune too.",
            "Give another --judge-split.",
        )
    if dropped:
        notes.append(f"{dropped} judging images were left out: the same pictures tune.")
    if judge_samples is not None and len(positions) < judge_samples:
        notes.append(
            f"{judge_samples} images were asked for to judge; "
            f"split {plain(judges, 60)} has {len(positions)}."
        )
    notes += _coverage_notes(drawn)
    if samples == 0 and tunes == judges:
        notes.append(
            f"Split {plain(judges, 60)} is the only one: if images of it tuned this model, "
            "some of them may judge it here, unless the seed is that of then."
        )
    judge = drawn.candidates.select(positions)
    info = DataInfo(
        name=source.name,
        revision=source.revision,
        config=source.layout.config if source.layout.config != "default" else None,
        image_column=drawn.columns.image,
        label_column=drawn.columns.label,
        licence=source.layout.licence,
        splits=[
            part
            for part in (
                SplitInfo(split=tunes, n=len(drawn.tune), use="tune"),
                SplitInfo(split=judges, n=len(judge), use="judge"),
            )
            if part.n
        ],
        notes=notes,
    )
    return CleanImages(drawn.tune, judge, info, drawn.num_classes)


def _coverage_notes(drawn: Drawn) -> list[str]:
    """A note if far fewer classes tune than a fair draw would hold.

    C balanced classes are expected to give C (1 - (1 - 1/C)^n) of them in n
    draws. A stream of a set that is stored class after class gives far fewer.
    """
    labels, classes = drawn.tune.labels, drawn.num_classes
    if labels is None or not classes:
        return []
    present = len(labels.unique())
    expected = classes * (1 - (1 - 1 / classes) ** len(labels))
    if present >= expected / 2:
        return []
    return [
        f"Only {present} of {classes} classes are among the tuning images; the dataset may be "
        "stored class after class, and --no-streaming or more --samples would mix it better."
    ]
