"""Purification methods: one file a method, registered by name.

What they share:

- ``base``: what a method is, the registry, and going back to weights from before.
- ``objective``: images and targets, what is minimised; ``teacher``: those of unlearning.
- ``softening``: a softmax at a higher temperature.
- ``interpolation``: a share of the way from the weights before to those tuned.
- ``loop``: the loop over mini-batches; ``augmentation``: how images in it are varied.
- ``scope``: what a method may change, and which normalisation follows which layer.
- ``batch_norm``: what batch normalisation does while a network is tuned.
- ``natural_steps``: natural-gradient (K-FAC) steps in that loop.
- ``coordinates``, ``fisher``: Fisher information of parameters or of singular values.
- ``attention``: attention maps; ``hypergradient``: gradients through an inner problem.
- ``forget``: whether a method heeds triggers to forget, and whether they fit.
- ``variations``: how triggers are put on images while a model unlearns them.

The methods:

- ``auto``: search, choose a layer, unlearn, verify: the default.
- ``ngf``: Natural Gradient Fine-tuning.
- ``unlearn``: unlearning of recovered triggers, without labels.
- ``ft``: plain fine-tuning with SGD, the baseline of the field.
- ``ft_sam``, ``nad``, ``fip``, ``fast_fip``: other ways to fine-tune.
- ``i_bau``: adversarial unlearning of one perturbation of all images.
- ``anp``, ``clp``: pruning of neurons; ``clp`` looks at no images.
"""

from ngf_hub.methods import (  # registers the methods
    anp,
    auto,
    clp,
    fast_fip,
    fip,
    ft,
    ft_sam,
    i_bau,
    nad,
    ngf,
    unlearn,
)
from ngf_hub.methods.base import METHODS, Method, Outcome, Task, make_method

__all__ = [
    "METHODS",
    "Method",
    "Outcome",
    "Task",
    "anp",
    "auto",
    "clp",
    "fast_fip",
    "fip",
    "ft",
    "ft_sam",
    "i_bau",
    "make_method",
    "nad",
    "ngf",
    "unlearn",
]
