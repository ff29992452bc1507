"""Small float64 networks for K-FAC, and gradients of theirs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Tokens(nn.Module):
    """(N, channels, H, W) to (N, H·W, channels)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)


class Mean(nn.Module):
    """(N, ..., d) to (N, d)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1, -2).mean(1)


def conv_and_tokens(classes: int = 4, bias: bool = True) -> nn.Sequential:
    """Weight sharing over patches and over tokens, with activations that overwrite in place."""
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1, stride=2, bias=bias),
        nn.ReLU(inplace=True),
        Tokens(),
        nn.Linear(3, 5, bias=bias),
        nn.ReLU(inplace=True),
        Mean(),
        nn.Linear(5, classes, bias=bias),
    ).double()


def tunable(network: nn.Module) -> list[nn.Module]:
    return [m for m in network.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]


def gradients(network: nn.Module, x: Tensor, labels: Tensor) -> dict[nn.Parameter, Tensor]:
    """Gradients of the mean cross-entropy, by parameter."""
    parameters = list(network.parameters())
    loss = functional.cross_entropy(network(x), labels)
    return dict(zip(parameters, torch.autograd.grad(loss, parameters), strict=True))


def random_like(network: nn.Module) -> dict[nn.Parameter, Tensor]:
    return {p: torch.randn_like(p) for p in network.parameters()}
