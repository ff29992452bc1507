"""Purification methods: one file a method, registered by name.

- ``base``: what a method is, the registry, and going back to weights from before.
- ``objective``: images and targets, what is minimised; ``teacher``: those of unlearning.
- ``loop``: the loop over mini-batches that the methods share.
- ``natural_steps``: natural-gradient (K-FAC) steps in that loop.
- ``forget``: whether a method heeds triggers to forget, and whether they fit.
- ``variations``: how triggers are put on images while a model unlearns them.
- ``ngf``: Natural Gradient Fine-tuning, the default.
- ``ft``: plain fine-tuning with SGD, the baseline of the field.
- ``unlearn``: unlearning of recovered triggers, without labels.
"""

from ngf_hub.methods import ft, ngf, unlearn  # registers the methods
from ngf_hub.methods.base import METHODS, Method, Outcome, Task, make_method

__all__ = ["METHODS", "Method", "Outcome", "Task", "ft", "make_method", "ngf", "unlearn"]
