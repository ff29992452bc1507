"""Which layers to tune, from the Fisher information and without trying.

With the loss T(θ) of triggered images against what the model says of them clean,
and the Fisher information F of clean images, the best step within a small
change ε of what clean images get (½ uᵀFu ≤ ε) is along F⁻¹∇T, and lowers T by
√(2ε · ∇TᵀF⁻¹∇T). So ∇Tᵀ(F + λI)⁻¹∇T, one number a layer, tells how much of the
trigger a layer can forget at a given cost to clean images: it is large where the
layer's weights matter to the trigger and its inputs and outputs lie where those
of clean images do not. F is Kronecker-factored (K-FAC).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Generator

from ngf_hub.adapters.layers import Layer
from ngf_hub.cure_report import RankedLayer
from ngf_hub.curvature import KFAC
from ngf_hub.devices import total
from ngf_hub.methods.base import Task
from ngf_hub.methods.loop import Gradients, cross_entropy_share, learnable, loss_and_gradients
from ngf_hub.methods.pieces import images_at_once, pieces
from ngf_hub.methods.scope import layer_parameters
from ngf_hub.methods.teacher import TeacherObjective
from ngf_hub.methods.variations import Variations
from ngf_hub.triggers import Trigger

IMAGES = 128
DAMPING = 0.1
LABELS = 4
"""Labels drawn for each image: few images say little about the gradients' directions."""


def rank_layers(task: Task, triggers: Sequence[Trigger]) -> list[tuple[Layer, RankedLayer]]:
    """The layers of a task but those of the head, the most promising first.

    The head is left out: the features of a triggered image that reach it lie on
    the target class already. It stands in the list only if there is no other.

    Args:
        task: The model, its candidates and clean images, of which at most
            :data:`IMAGES` are used.
        triggers: What shall be forgotten.

    Raises:
        DataError: There are no images.
        MethodError: A factor is not finite.
    """
    layers = [layer for layer in task.layers if not layer.is_head] or task.layers
    few = task.pixels.select(range(min(IMAGES, len(task.pixels))))
    looked = replace(task, layers=layers, pixels=few)
    kfac = KFAC(
        [layer.module for layer in layers],
        damping=DAMPING,
        reduce=lambda share: total(share, task.accelerator),
    )
    # Half of the batch is clean, and there the loss has no gradient: the model is its own teacher.
    (batch,) = TeacherObjective(looked, Variations(triggers)).batches(1, len(few))
    clean = batch.rows[: len(batch.rows) // 2]
    uniforms = torch.rand(LABELS, len(few), generator=Generator().manual_seed(task.seed))
    parameters = layer_parameters(looked)
    gradients_bytes = 2 * sum(4 * p.numel() for p in parameters)
    size = images_at_once(looked, parameters, kfac.bytes + gradients_bytes)
    with learnable(parameters):
        _, found = loss_and_gradients(
            looked, pieces(batch, size), partial(cross_entropy_share, looked), parameters
        )
        gradients = dict(zip(parameters, found, strict=True))
        kfac.update(
            task.classifier,
            batch.pixels[: len(clean)],
            uniforms=uniforms[:, list(clean)],
            batch_size=min(task.batch_size, size),
        )
    ranked = [
        (layer, RankedLayer(name=layer.name, score=_score(layer, gradients, kfac)))
        for layer in layers
    ]
    return sorted(ranked, key=lambda entry: -entry[1].score)


def promising(ranked: Sequence[tuple[Layer, RankedLayer]]) -> list[str]:
    """The best layer of the middle third of a network, and that of its last third.

    A middle layer can forget most at a given cost. A late one sees less of how a
    trigger looks and more of what it means, so that what it forgets of recovered
    triggers carries over to the true one best where these differ in their pixels.
    Both together cost less clean accuracy than either.

    Args:
        ranked: See :func:`rank_layers`.

    Returns:
        Names in the order of execution; the best layer alone of fewer than three.
    """
    ordered = sorted(ranked, key=lambda entry: entry[0].depth)
    third = len(ordered) / 3
    if third < 1:
        return [ranked[0][1].name]
    parts = ordered[round(third) : round(2 * third)], ordered[round(2 * third) :]
    return [max(part, key=lambda entry: entry[1].score)[1].name for part in parts]


def _score(layer: Layer, gradients: Gradients, kfac: KFAC) -> float:
    """∇TᵀF⁻¹∇T of one layer."""
    own = {p: gradients[p] for p in layer.module.parameters(recurse=False)}
    # All inverses together would take as much memory as the factors.
    steps = kfac.precondition(own, keep=False)
    return sum(float((gradient * steps[p]).sum()) for p, gradient in own.items())
