"""Small networks for tests, and random weights in all of their tensors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ngf_hub.adapters import load_model


def randomise(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights and buffers everywhere, so that no zero initialisation hides an error.

    Weights have the variance 1 / inputs, scales and shifts stay near 1 and 0.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            noise = torch.randn(tensor.shape, generator=generator)
            if tensor.ndim > 1:
                tensor.copy_(noise / max(1, tensor[0].numel()) ** 0.5)
            else:
                tensor.copy_(0.1 * noise + (0 if name.endswith("bias") else 1))
    return network.eval()


class Mean(nn.Module):
    """The mean over given dimensions."""

    def __init__(self, *dims: int) -> None:
        super().__init__()
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.dims)


class Function(nn.Module):
    """Named layers, and a function that runs them."""

    def __init__(self, run, **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self, x)


def trunk(width: int = 6) -> nn.Sequential:
    """3 x 8 x 8 images to (width, 4, 4) maps."""
    return nn.Sequential(nn.Conv2d(3, width, 3, stride=2, padding=1), nn.Tanh())


def classifier_of(network: nn.Module, side: int = 8):
    return load_model(network, size=side)
