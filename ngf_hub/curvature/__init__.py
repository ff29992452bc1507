"""Curvature: Fisher information, and the natural-gradient steps that it gives.

- ``softmax``: the exact Fisher information of a softmax head, never formed.
- ``cg``, ``preconditioners``: linear systems with it.
- ``line_search``, ``natural_gradient``: Natural Gradient Fine-tuning of a head.
- ``positions``, ``factor_sums``, ``kfac``: Kronecker-factored curvature of inner layers.
- ``trust``: the trust region of a step.
- ``linalg``, ``reduction``: decompositions; sums over chunks and processes.
"""

from ngf_hub.curvature.cg import CGResult, conjugate_gradient
from ngf_hub.curvature.factor_sums import sample_labels
from ngf_hub.curvature.kfac import KFAC
from ngf_hub.curvature.natural_gradient import HeadFit, HeadStep, natural_gradient_head
from ngf_hub.curvature.positions import ParameterTensors
from ngf_hub.curvature.reduction import Reduce, local
from ngf_hub.curvature.softmax import SoftmaxFisher, loss_and_gradient
from ngf_hub.curvature.trust import trust_scale

__all__ = [
    "KFAC",
    "CGResult",
    "HeadFit",
    "HeadStep",
    "ParameterTensors",
    "Reduce",
    "SoftmaxFisher",
    "conjugate_gradient",
    "local",
    "loss_and_gradient",
    "natural_gradient_head",
    "sample_labels",
    "trust_scale",
]
