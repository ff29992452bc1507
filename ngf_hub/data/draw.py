"""From the splits of a dataset to the images that tune and candidates that judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ngf_hub.data.columns import Columns, find_columns
from ngf_hub.data.images import ImageSet
from ngf_hub.data.labels import Labels
from ngf_hub.data.reading import reading
from ngf_hub.data.rows import Rows, StreamRows, TableRows
from ngf_hub.data.source import Source
from ngf_hub.data.split import tuning_count
from ngf_hub.errors import DataError
from ngf_hub.progress import Track, silent
from ngf_hub.text import plain

STREAM_ABOVE = 2 * 2**30
"""Splits of more bytes than this are streamed unless asked otherwise."""


@dataclass(frozen=True)
class Request:
    """What is asked of a dataset.

    Attributes:
        tunes: The split that tunes.
        judges: The split that judges, perhaps the same.
        samples: How many images tune; ``None`` for all, 0 for none.
        judge_samples: How many judge; ``None`` for all.
        seed: Decides which ones.
        streaming: Whether to stream; ``None`` to decide by the size.
        image_column: The image column, where it is not clear.
        label_column: The label column, where it is not clear.
        labelled: Whether labels are read where there are some.
    """

    tunes: str
    judges: str
    samples: int | None
    judge_samples: int | None
    seed: int = 0
    streaming: bool | None = None
    image_column: str | None = None
    label_column: str | None = None
    labelled: bool = True

    @property
    def one_split(self) -> bool:
        """Whether one split does both."""
        return self.tunes == self.judges

    @property
    def counts(self) -> dict[str, int | None]:
        """How many images of each split are wanted; ``None`` for all."""
        if self.samples == 0:
            return {self.judges: self.judge_samples}
        if not self.one_split:
            return {self.tunes: self.samples, self.judges: self.judge_samples}
        if self.samples is None or self.judge_samples is None:
            return {self.tunes: None}
        return {self.tunes: self.samples + self.judge_samples}


@dataclass(frozen=True)
class Drawn:
    """What was drawn.

    Attributes:
        tune: The images that tune.
        candidates: Images of other rows that may judge, in their order.
        columns: Where they were read from.
        num_classes: How many classes the data has, or ``None`` without labels.
        notes: What a reader should know.
    """

    tune: ImageSet
    candidates: ImageSet
    columns: Columns
    num_classes: int | None
    notes: list[str]


def draw_images(source: Source, request: Request, track: Track = silent) -> Drawn:
    """Draw images that tune and candidates that judge, from disjoint rows.

    Args:
        source: The dataset.
        request: What is asked of it.
        track: Shows progress.

    Raises:
        DataError: There are no such columns, no labels, or not enough images.
        HubError: The dataset cannot be fetched.
    """
    rows = _open_rows(source, request, track)
    for split, part in rows.items():
        if len(part) == 0 and part.unlabelled:
            others = ", ".join(plain(name, 60) for name in source.splits if name != split)
            raise DataError(
                f"Split {plain(split, 60)!r} of {plain(source.name, 100)} has no labels.",
                f"Choose another split: {others}." if others else "Use a labelled dataset.",
            )
    judge_rows = rows[request.judges]
    tune_rows = rows.get(request.tunes, judge_rows)
    one_split = request.one_split
    count, notes = tuning_count(
        len(tune_rows), request.samples, split=request.tunes, judges_too=one_split
    )
    if len(judge_rows) == 0:
        raise DataError(
            f"Split {plain(request.judges, 60)!r} has no images to judge by.",
            "Choose another --judge-split.",
        )
    notes += [
        f"{part.unlabelled} images of split {plain(split, 60)} have no label and were left out."
        for split, part in rows.items()
        if part.unlabelled
    ]
    columns = judge_rows.columns
    values = {value for part in rows.values() for value in part.values or ()}
    labels = Labels(columns, values)
    order = tune_rows.order(request.seed, "tune")
    # One split: from the other end, so that another number of tuning images does not move them.
    candidates = order[count:][::-1] if one_split else judge_rows.order(request.seed, "judge")
    return Drawn(
        tune_rows.images(order[:count], labels),
        judge_rows.images(candidates, labels),
        columns,
        labels.count,
        notes,
    )


def _open_rows(source: Source, request: Request, track: Track) -> dict[str, Rows]:
    """The rows of each split in use: a table that was fetched, or a part of a stream."""

    def is_streamed(split: str, count: int | None) -> bool:
        if not source.can_stream:
            return False
        if request.streaming is None:
            return count is not None and source.size(split) > STREAM_ABOVE
        return request.streaming

    def find(features: Any) -> Columns:
        return find_columns(
            features,
            image_column=request.image_column,
            label_column=request.label_column,
            labelled=request.labelled,
            dataset=source.name,
        )

    streamed = [split for split, count in request.counts.items() if is_streamed(split, count)]
    rows: dict[str, Rows] = {}
    with reading(source.name, token=source.token):
        tabled = [split for split in request.counts if split not in streamed]
        for split, table in (source.tables(tabled) if tabled else {}).items():
            rows[split] = TableRows(table, find(table.features), split, source.trusts_paths)
        for split in streamed:
            count = request.counts[split]
            if count is None:
                raise DataError(
                    f"All images of split {plain(split, 60)!r} cannot be streamed.",
                    "Give --samples and --judge-samples, or add --no-streaming.",
                )
            rows[split] = StreamRows(source, split, count, request.seed, find, track)
    return rows
