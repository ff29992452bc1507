"""Natural-gradient steps on mini-batches: K-FAC, a trust region and momentum."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from ngf_hub.curvature import KFAC, trust_scale
from ngf_hub.devices import total
from ngf_hub.methods.base import Task
from ngf_hub.methods.loop import Gradients, tuned_parameters
from ngf_hub.methods.objective import Batch
from ngf_hub.methods.pieces import images_at_once


class NaturalSteps:
    """Steps u = (F + λI)⁻¹ g on the layers of a task.

    Args:
        task: The model and its layers.
        steps: How many will be taken.
        damping: λ.
        momentum: Momentum.
        learning_rate: The first step's; it falls to zero, so that the last
            mini-batches do not decide where it ends.
        trust_region: Longer steps are shortened to this uᵀg.
        refresh: Steps between new Kronecker factors.

    Raises:
        MethodError: A layer is neither a Linear nor a Conv2d.
    """

    def __init__(
        self,
        task: Task,
        *,
        steps: int,
        damping: float,
        momentum: float,
        learning_rate: float,
        trust_region: float,
        refresh: int,
    ) -> None:
        self._kfac = KFAC(
            [layer.module for layer in task.layers],
            damping=damping,
            reduce=lambda share: total(share, task.accelerator),
        )
        self._task, self._classifier = task, task.classifier
        self._images: int | None = None
        self._generator = Generator().manual_seed(task.seed)
        self._velocity = {p: torch.zeros_like(p) for p in tuned_parameters(task)}
        self._steps, self._learning_rate = steps, learning_rate
        self._momentum, self._trust_region = momentum, trust_region
        self._refresh = refresh

    def see(self, batch: Batch) -> None:
        """Take a batch into the curvature, where it is time for it; before its step."""
        if batch.step % self._refresh == 0:
            # Drawn for the whole batch, so that N processes draw what one would.
            uniforms = torch.rand(1, batch.size, generator=self._generator)
            if self._images is None:
                self._images = images_at_once(self._task, list(self._velocity), self.bytes)
            self._kfac.update(
                self._classifier,
                batch.pixels,
                uniforms=uniforms[:, list(batch.rows)],
                batch_size=self._images,
            )

    @property
    def bytes(self) -> int:
        """About what steps take in memory: factors twice (inverses, or new ones), a step thrice."""
        return 2 * self._kfac.bytes + 3 * sum(4 * p.numel() for p in self._velocity)

    def diagonal(self) -> dict[nn.Parameter, Tensor]:
        """The diagonal of the Fisher information as it was last seen."""
        return self._kfac.diagonal()

    def take(self, batch: Batch, gradients: Gradients) -> None:
        """Change the weights."""
        update = self._kfac.precondition(gradients)
        scale = trust_scale(update, gradients, self._trust_region)
        rate = self._learning_rate * (1 - batch.step / self._steps)
        with torch.no_grad():
            for parameter, step in update.items():
                self._velocity[parameter].mul_(self._momentum).add_(step, alpha=scale)
                parameter.sub_(self._velocity[parameter], alpha=rate)
