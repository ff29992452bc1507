"""Small classifiers whose largest margins are known, and cases to look at them."""

import torch
from torch import nn

from ngf_hub import load_model
from ngf_hub.data import PixelSet
from ngf_hub.devices import make_accelerator
from ngf_hub.evidence.base import Case

SIDE = 4


class Blocks(nn.Module):
    """Class c sums the pixels of its own block: its largest margin is ``gains[c] * block``."""

    def __init__(self, gains, block=4):
        super().__init__()
        self.head = nn.Linear(len(gains) * block, len(gains), bias=False)
        weight = torch.zeros(len(gains), len(gains) * block)
        for c, gain in enumerate(gains):
            weight[c, c * block : (c + 1) * block] = gain
        self.head.weight = nn.Parameter(weight)

    def forward(self, x):
        return self.head(x.flatten(1))


def classifier_of(network, size, channels=1):
    return load_model(network, size=size, mean=0.0, std=1.0, channels=channels)


def blocks(gains, block=4):
    return classifier_of(Blocks(gains, block), (len(gains), block))


def case_of(classifier, images=None, *, seed=0, batch_size=64):
    pixels = None if images is None else PixelSet(images)
    return Case(classifier, pixels, make_accelerator("cpu"), seed=seed, batch_size=batch_size)
