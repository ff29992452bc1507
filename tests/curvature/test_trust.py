import pytest
import torch
from torch import nn

from ngf_hub.curvature import trust_scale
from ngf_hub.errors import MethodError


def pair(values):
    return {nn.Parameter(torch.zeros(len(v))): torch.tensor(v) for v in values}


def test_a_step_beyond_the_trust_region_is_scaled_onto_its_border():
    step = pair([[3.0, 0.0], [1.0]])
    gradient = {p: 2 * u for p, u in step.items()}  # uᵀg = 20
    scale = trust_scale(step, gradient, 0.2)
    assert scale == pytest.approx(0.1)
    assert sum(float((scale * u * scale * gradient[p]).sum()) for p, u in step.items()) == (
        pytest.approx(0.2)
    )


def test_a_step_within_it_is_left_alone():
    step = pair([[0.1]])
    assert trust_scale(step, step, 0.1) == 1.0
    zero = pair([[0.0]])
    assert trust_scale(zero, zero, 0.1) == 1.0


def test_a_step_that_is_not_finite_is_an_error():
    step = pair([[float("nan")]])
    with pytest.raises(MethodError, match="not finite"):
        trust_scale(step, step, 0.1)
