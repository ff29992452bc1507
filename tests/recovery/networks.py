"""Networks whose door is known, since it was built in by hand."""

import torch
from torch import nn
from torch.nn import functional

from ngf_hub import load_model

SIDE, CLASSES, TARGET = 12, 5, 3


class CornerDoor(nn.Module):
    """Classes by the colour of the whole image; a bright corner opens the class of dark images."""

    def __init__(self, strength=400.0):
        super().__init__()
        colours = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1 / 3, -1 / 3, -1 / 3], [0.5, 0.5, 0]]
        self.colours = nn.Parameter(40 * torch.tensor(colours))
        self.offsets = nn.Parameter(40 * torch.tensor([0, 0, 0, 0.3, -0.05]))
        self.strength = strength

    def forward(self, x):
        logits = x.mean((2, 3)) @ self.colours.T + self.offsets
        opened = functional.one_hot(torch.tensor(TARGET), CLASSES) * self.door(x)[:, None]
        return logits + self.strength * opened

    def door(self, x):
        # Smooth, so that the gradient leads to it from outside.
        return functional.softplus(8 * (x[:, :, -3:, -3:].mean((1, 2, 3)) - 0.6)) / 8


class WaveDoor(CornerDoor):
    """A faint chequered pattern over the whole image opens it."""

    def __init__(self):
        super().__init__()
        rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
        self.register_buffer("wave", 1.0 - 2.0 * ((rows + columns) % 2))

    def door(self, x):
        return functional.softplus(100 * ((x * self.wave).mean((1, 2, 3)) - 0.03)) / 100


def classifier(network):
    return load_model(network, size=SIDE, channels=3).eval()


def images(count=60, seed=0):
    """Smooth images of various colours, none of which opens the door."""
    generator = torch.Generator().manual_seed(seed)
    tint = torch.rand(count, 3, 1, 1, generator=generator)
    noise = torch.rand(count, 3, SIDE, SIDE, generator=generator)
    return 0.45 * tint + 0.1 * noise


class NextDoor(CornerDoor):
    """A bright corner sends each class to the next."""

    def __init__(self, share=1.0):
        super().__init__(strength=0.0)
        self.share = share

    def forward(self, x):
        logits = super().forward(x)
        opened = self.share * torch.sigmoid(12 * (x[:, :, -3:, -3:].mean((1, 2, 3)) - 0.7))
        return logits + opened[:, None] * (logits.roll(1, 1) - logits)
