"""Images for want of any: noise with the spectrum of natural ones."""

from __future__ import annotations

import torch
from torch import Tensor

# Of photographs: brightness and contrast as in CIFAR-10 and ImageNet, colours that go together.
MEAN, CONTRAST, MEAN_SPREAD = 0.45, 0.22, 0.15
COLOUR_CORRELATION = 0.8


def natural_noise(count: int, channels: int, height: int, width: int, *, seed: int = 0) -> Tensor:
    """Noise whose amplitude falls as 1/f, as that of natural images does (Field, 1987).

    Returns:
        (count, channels, height, width) in [0, 1], on the CPU.
    """
    generator = torch.Generator().manual_seed(seed)
    grey = torch.randn(count, 1, height, width, generator=generator)
    own = torch.randn(count, channels, height, width, generator=generator)
    white = COLOUR_CORRELATION**0.5 * grey + (1 - COLOUR_CORRELATION) ** 0.5 * own
    vertical = torch.fft.fftfreq(height)[:, None]
    horizontal = torch.fft.rfftfreq(width)[None]
    frequency = (vertical.square() + horizontal.square()).sqrt()
    frequency[0, 0] = 1 / max(height, width)
    noise = torch.fft.irfft2(torch.fft.rfft2(white) / frequency, s=(height, width))
    spread, mean = torch.std_mean(noise, (1, 2, 3), keepdim=True, correction=0)
    noise = (noise - mean) / spread.clamp_min(1e-6)
    level = MEAN + MEAN_SPREAD * torch.randn(count, 1, 1, 1, generator=generator)
    images: Tensor = (level + CONTRAST * noise).clamp(0, 1)
    return images
