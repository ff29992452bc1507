"""Pictures inside a page: PNGs of an output folder as ``data:`` addresses, within a bound."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST = 2**21
PAGE_BOUND = 12 * 2**20
"""So many bytes of pictures go into one page; those that come later are left out."""


class Album:
    """The pictures of one page.

    Args:
        bound: The most bytes of all together.

    Attributes:
        left_out: How many were left out for the bound.
    """

    def __init__(self, bound: int = PAGE_BOUND) -> None:
        self._left = bound
        self.left_out = 0

    def file(self, folder: Path, name: str) -> str | None:
        """A PNG below a folder as an address; ``None`` where there is none to show.

        Links, and names that lead out of the folder, are no pictures of it.
        """
        path = folder / name
        try:
            inside = path.resolve().is_relative_to(folder.resolve())
            if path.is_symlink() or not inside or path.stat().st_size > LARGEST:
                return None
            return self.bytes(path.read_bytes())
        except (OSError, ValueError, RuntimeError):
            return None

    def bytes(self, content: bytes) -> str | None:
        """A PNG as an address; ``None`` where it is none, or the page is full."""
        if not content.startswith(PNG_SIGNATURE):
            return None
        if len(content) > self._left:
            self.left_out += 1
            return None
        self._left -= len(content)
        return "data:image/png;base64," + base64.b64encode(content).decode()

    def tensor(self, picture: Tensor) -> str | None:
        """A picture (1 or 3, H, W) in [0, 1] as an address, pixel by pixel."""
        import torch
        from PIL import Image

        values = (picture.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
        array = values.permute(1, 2, 0).numpy()
        buffer = io.BytesIO()
        Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(buffer, format="PNG")
        return self.bytes(buffer.getvalue())
