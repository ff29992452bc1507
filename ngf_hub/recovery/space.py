"""A family of changes to images, held for many classes at a time, and how it gets smaller."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ngf_hub.recovery.search import Setting
    from ngf_hub.triggers import Trigger

MEMORY = 0.8
"""Share of the old value in the running success of a class."""


class Space(ABC):
    """One change for each of K classes, and the smallest that worked so far.

    Args:
        state: Tensors (K, ...) that describe the changes.
        shape: Channels, height and width of an image.

    Attributes:
        best: Copies of the state from when each class's change was smallest and worked.
        best_size: Its size (K,); infinite where none has worked yet.
    """

    family: ClassVar[str]

    def __init__(self, state: Sequence[Tensor], shape: tuple[int, int, int]) -> None:
        self.state = [tensor.detach().clone() for tensor in state]
        self.shape = shape
        count, device = len(self.state[0]), self.state[0].device
        self.best = [tensor.clone() for tensor in self.state]
        self.best_size = torch.full((count,), torch.inf, device=device)
        self.running: Tensor | None = None
        self.running_loss = torch.zeros(count, device=device)

    @classmethod
    @abstractmethod
    def start(
        cls, count: int, shape: tuple[int, int, int], generator: torch.Generator
    ) -> list[Tensor]:
        """A random state for so many classes, on the CPU."""

    @abstractmethod
    def apply(self, pixels: Tensor) -> Tensor:
        """Changed images of images (K, n, channels, H, W); gradients reach the state."""

    @abstractmethod
    def size(self) -> Tensor:
        """How large each change is, (K,): see :class:`ngf_hub.scan_report.RecoveredTrigger`."""

    @abstractmethod
    def step(self, losses: Tensor, hits: Tensor, works: Tensor, progress: float) -> None:
        """Change the state for smaller losses (K,), and smaller where it works.

        Args:
            losses: A mean cross-entropy for each class; not yet differentiated.
            hits: See :meth:`update`.
            works: Whether the running share of hits is high enough, (K,) bool.
            progress: The share of the search that lies behind.
        """

    @abstractmethod
    def trigger(self, row: int, target: int | None) -> Trigger:
        """The best change of one row as a trigger."""

    @abstractmethod
    def complete(self, setting: Setting, target: int) -> list[Trigger]:
        """A trigger of each row that holds more of the true one than the smallest that works.

        Args:
            setting: What the rows were searched on.
            target: What all rows were searched for; see :meth:`Pool.asked`.
        """

    def update(self, losses: Tensor, hits: Tensor, threshold: float, progress: float) -> None:
        """Record what worked, then :meth:`step`.

        Args:
            losses: See :meth:`step`.
            hits: The share of images (K,) that went to their target just now.
            threshold: The running share from which on a change works.
            progress: See :meth:`step`.
        """
        if self.running is None:
            self.running, self.running_loss = hits, losses.detach()
        self.running = MEMORY * self.running + (1 - MEMORY) * hits
        self.running_loss = MEMORY * self.running_loss + (1 - MEMORY) * losses.detach()
        works = self.running > threshold
        with torch.no_grad():
            size = self.size()
            better = works & (size < self.best_size)
            self.best_size = torch.where(better, size, self.best_size)
            for kept, now in zip(self.best, self.state, strict=True):
                kept[better] = now.detach()[better]
        self.step(losses, hits, works, progress)

    @classmethod
    @abstractmethod
    def largest(cls, shape: tuple[int, int, int]) -> float:
        """The largest size that is tried."""

    def sizes(self) -> Tensor:
        """The best sizes (K,), on the CPU.

        Where no change worked it is :meth:`largest` times a factor that grows slowly with
        the loss, so that a class that was nearly reached comes before one far from it.
        """
        failed = self.largest(self.shape) * (1 + self.running_loss).sqrt()
        return torch.where(torch.isfinite(self.best_size), self.best_size, failed).cpu()

    def expected(self) -> Tensor:
        """What the sizes (K,) seem to come to after a few steps, on the CPU.

        The present sizes times a factor that grows slowly with the running loss. Unlike
        :meth:`sizes` it does not ask what worked, which on a single image a step is chance.
        """
        return (self.size().detach() * (1 + self.running_loss).sqrt()).cpu()

    def kept(self) -> list[Tensor]:
        """The best state, and the present one where none has worked yet."""
        worked = torch.isfinite(self.best_size)
        return [
            torch.where(worked.view(-1, *[1] * (now.ndim - 1)), kept, now.detach())
            for kept, now in zip(self.best, self.state, strict=True)
        ]
