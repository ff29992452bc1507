"""The trust region that bounds how far one natural-gradient step moves the model's outputs."""

from __future__ import annotations

import math

import torch

from ngf_hub.curvature.positions import ParameterTensors
from ngf_hub.errors import MethodError


def trust_scale(step: ParameterTensors, gradient: ParameterTensors, trust: float) -> float:
    """min(1, √(trust / uᵀg)), by which a natural-gradient step u = (F + λI)⁻¹ g is multiplied.

    uᵀg = uᵀ(F + λI)u is at least twice the Kullback–Leibler divergence, to second
    order, between the model's outputs before and after the step u (Ba, Grosse &
    Martens, 2017, section 5).

    Args:
        step: u, by parameter.
        gradient: g of these parameters, and perhaps of others.
        trust: The largest uᵀg that is left as it is.

    Raises:
        MethodError: uᵀg is not finite.
    """
    total = sum(torch.sum(u * gradient[p]).item() for p, u in step.items())
    if not math.isfinite(total):
        raise MethodError(
            "The natural-gradient step is not finite.", "Raise the damping or lower the rate."
        )
    return min(1.0, math.sqrt(trust / total)) if total > 0 else 1.0
