"""scikit-learn's embedded digits: 1,797 grey images of 8x8 pixels, without a network.

They are part of the test set of the UCI "Optical Recognition of Handwritten
Digits" data (Alpaydin and Kaynak 1998), in the order of the writers.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ngf_hub.data.layout import Layout
from ngf_hub.data.source import Source

if TYPE_CHECKING:
    from datasets import Dataset

TRAIN = 1347
"""How many of the first images are ``train``; the last 450 are ``test``.

Cut in the file's order, so that few writers are on both sides.
"""


class DigitsSource(Source):
    """The digits as a dataset of two splits."""

    def __init__(self) -> None:
        layout = Layout("parquet", {"train": [], "test": []}, licence="cc-by-4.0")
        super().__init__("digits", layout)

    @property
    def can_stream(self) -> bool:
        """No: nothing is fetched."""
        return False

    def size(self, split: str) -> int:
        """0: nothing is fetched."""
        return 0

    def fetch(self, splits: Sequence[str]) -> dict[str, list[str]]:
        """No files."""
        return {split: [] for split in splits}

    def addresses(self, split: str) -> list[str]:
        """No files."""
        return []

    def tables(self, splits: Sequence[str]) -> dict[str, Dataset]:
        """See :meth:`Source.tables`; the 17 grey levels are spread over 0 to 255."""
        import numpy as np
        from datasets import ClassLabel, Dataset, Features, Image
        from PIL import Image as Pillow
        from sklearn.datasets import load_digits

        digits = load_digits()
        grey = np.round(digits.images * (255 / 16)).astype(np.uint8)

        def png(values: np.ndarray) -> dict[str, bytes | None]:
            buffer = io.BytesIO()
            Pillow.fromarray(values).save(buffer, "PNG")
            return {"bytes": buffer.getvalue(), "path": None}

        parts = {"train": slice(None, TRAIN), "test": slice(TRAIN, None)}
        features = Features({"image": Image(), "label": ClassLabel(names=list("0123456789"))})
        return {
            split: Dataset.from_dict(
                {
                    "image": [png(values) for values in grey[parts[split]]],
                    "label": digits.target[parts[split]].tolist(),
                },
                features=features,
            )
            for split in splits
        }
