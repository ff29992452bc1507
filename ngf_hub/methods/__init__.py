"""Purification methods: one file a method, registered by name.

- ``base``: what a method is, the registry, and going back to weights from before.
- ``loop``: the loop over mini-batches that the methods share.
- ``ngf``: Natural Gradient Fine-tuning, the default.
- ``ft``: plain fine-tuning with SGD, the baseline of the field.
"""

from ngf_hub.methods import ft, ngf  # registers the methods
from ngf_hub.methods.base import METHODS, Method, Outcome, Task, make_method

__all__ = ["METHODS", "Method", "Outcome", "Task", "ft", "make_method", "ngf"]
