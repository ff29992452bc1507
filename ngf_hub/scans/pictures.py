"""Pictures of a recovered trigger: its mask, its pattern, and images with and without it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ngf_hub.errors import TriggerError

if TYPE_CHECKING:
    from ngf_hub.scans.samples import Samples
    from ngf_hub.triggers import Trigger

MASK, PATTERN, SAMPLES = "mask.png", "pattern.png", "samples.png"
# Of so many triggers of a model, the best ones, images with and without them are drawn.
MOST_SAMPLES = 3
# Pictures are enlarged, pixel by pixel, to about this side.
SIDE = 256
# A mask that is nowhere larger than this is none: a warping moves pixels and covers none.
VISIBLE = 0.004
GREY = 0.5


def draw_trigger(
    trigger: Trigger, shape: tuple[int, int, int], samples: Samples | None, folder: Path
) -> None:
    """Write those of :data:`MASK`, :data:`PATTERN` and :data:`SAMPLES` that there are.

    Args:
        trigger: The trigger.
        shape: Channels, height and width of the images that it is for.
        samples: Images with and without it.
        folder: Where to.
    """
    from ngf_hub.plots import plot_trigger

    try:
        mask, pattern = mask_and_pattern(trigger, shape)
    except TriggerError:
        return  # it fits images of another size only
    if float(mask.max()) > VISIBLE:
        _write(mask / mask.max(), folder / MASK)
        _write(pattern, folder / PATTERN)
    if samples is not None:
        plot_trigger(
            samples.clean,
            samples.triggered,
            folder / SAMPLES,
            predictions=samples.predictions,
            class_names=samples.class_names,
        )


def mask_and_pattern(trigger: Trigger, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """The mask m (1, H, W) and pattern t (C, H, W) of any trigger, from what it does.

    A trigger ``x' = (1 - m) x + m t`` turns black into ``m t`` and white into
    ``1 - m + m t``, which gives both. One that adds d and clips has ``m = |d|``
    by this; where m differs between the channels, the pattern is d itself,
    scaled and laid around grey.

    Args:
        trigger: Of any family.
        shape: Channels, height and width.

    Returns:
        Both in [0, 1]; the pattern is grey where the mask is nothing.

    Raises:
        TriggerError: The trigger does not fit images of this size.
    """
    black = trigger.apply(torch.zeros(1, *shape))[0]
    white = trigger.apply(torch.ones(1, *shape))[0]
    opacity = (1 - (white - black)).clamp(0, 1)
    mask = opacity.mean(0, keepdim=True)
    if float((opacity - mask).abs().max()) > VISIBLE:
        change = black + white - 1
        pattern = GREY + change / (2 * change.abs().max().clamp_min(VISIBLE))
    else:
        pattern = torch.where(mask > VISIBLE, black / mask.clamp_min(VISIBLE), GREY)
    return mask, pattern.clamp(0, 1)


def _write(picture: Tensor, path: Path) -> None:
    """A picture (1 or 3, H, W) in [0, 1] as a PNG, enlarged without smoothing."""
    from PIL import Image

    values = (picture.detach().cpu() * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    times = max(1, SIDE // max(image.size))
    enlarged = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    enlarged.save(path, format="PNG")
