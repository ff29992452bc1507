"""What the trigger folders beside a report look like: on a test card, and what they change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ngf_hub.cure_report import Cure, Estimate
from ngf_hub.errors import NgfHubError
from ngf_hub.outcome import asr_limit
from ngf_hub.pages.pictures import Album
from ngf_hub.report import ModelInfo
from ngf_hub.text import plain

if TYPE_CHECKING:
    from torch import Tensor

MOST_SHOWN = 8
LARGEST_SIDE = 512


@dataclass(frozen=True)
class Shown:
    """A trigger as a page shows it.

    Attributes:
        title: What it is.
        text: What it does.
        pictures: Kind, address and caption of each picture.
        works: It still works: its ASR lies above the limit.
    """

    title: str
    text: str
    pictures: list[tuple[str, str, str]] = field(default_factory=list)
    works: bool = False


def recovered_triggers(
    cure: Cure, model: ModelInfo, folder: Path | None, album: Album, *, seen: bool
) -> list[Shown]:
    """The triggers that a method recovered, each with its ASR before and after.

    Args:
        cure: Holds an estimate for each, in the order of their folders.
        folder: The output folder; no pictures without it.
        seen: Those that the purification was told to forget, or the others.
    """
    estimates = [entry for entry in cure.estimates if entry.seen is seen]
    places = _places(folder, "seen" if seen else "unseen")
    shown = []
    for number, entry in enumerate(estimates[:MOST_SHOWN], 1):
        place = places.get(number)
        pictures = list(_pictures(place, model, album)) if place is not None else []
        works = entry.after.n > 0 and entry.after.interval[0] > asr_limit(model.num_classes)
        shown.append(Shown(_title(number, entry), _rates(entry), pictures, works))
    return shown


def trigger_pictures(place: Path, model: ModelInfo, album: Album) -> list[tuple[str, str, str]]:
    """The pictures of the trigger of a folder; none where it is broken or fits no such image."""
    return list(_pictures(place, model, album)) if place.is_dir() else []


def _title(number: int, entry: Estimate) -> str:
    target = "all classes" if entry.target is None else f"class {entry.target}"
    return f"{number}. {plain(entry.family, 40)} to {target}"


def _rates(entry: Estimate) -> str:
    before, after = entry.before.value, entry.after.value
    if before is None or after is None:
        return "not measured, n = 0"
    return f"ASR {100 * before:.1f} % before, {100 * after:.1f} % after, n = {entry.after.n}"


def _places(folder: Path | None, use: str) -> dict[int, Path]:
    """The folders ``recovered/seen/3-patch`` and the like by their numbers."""
    inside = folder / "recovered" / use if folder is not None else None
    if inside is None or not inside.is_dir() or inside.is_symlink():
        return {}
    found = {}
    for path in inside.iterdir():
        number = path.name.partition("-")[0]
        if number.isdecimal() and path.is_dir() and not path.is_symlink():
            found[int(number)] = path
    return found


def _pictures(place: Path, model: ModelInfo, album: Album) -> Iterator[tuple[str, str, str]]:
    shape = _shape(model.preprocessing)
    if shape is None:
        return
    import torch

    from ngf_hub.scans.pictures import VISIBLE, mask_and_pattern
    from ngf_hub.triggers import load_folder

    card = grid_card(shape)
    try:
        with torch.inference_mode():
            trigger = load_folder(place)
            shown = trigger.apply(card[None])[0]
            mask, pattern = mask_and_pattern(trigger, shape)
    except (NgfHubError, RuntimeError, ValueError):
        return  # it is broken, or fits images of another size only
    drawn = [("card", shown, "Applied")]
    if float(mask.max()) > VISIBLE:
        drawn += [("mask", mask / mask.max(), "Mask"), ("pattern", pattern, "Pattern")]
    for name, picture, caption in drawn:
        address = album.tensor(picture)
        if address is not None:
            yield name, address, caption


def grid_card(shape: tuple[int, int, int]) -> Tensor:
    """A picture (C, H, W) in [0, 1] on which any change shows: a soft slope with grid lines."""
    import torch

    channels, height, width = shape
    rows = torch.linspace(0.35, 0.65, height)[:, None].expand(height, width)
    columns = torch.linspace(0.3, 0.7, width)[None, :].expand(height, width)
    slope = torch.stack([columns, (rows + columns) / 2, rows])
    picture = slope.mean(0, keepdim=True).expand(channels, -1, -1) if channels != 3 else slope
    step = max(4, round(max(height, width) / 8))
    lines = (torch.arange(height)[:, None] % step == step // 2) | (
        torch.arange(width)[None, :] % step == step // 2
    )
    return torch.where(lines, picture + 0.2, picture).contiguous()


def _shape(preprocessing: dict[str, Any]) -> tuple[int, int, int] | None:
    """Channels, height and width of the model's input, from what the report says of it."""
    given, size = preprocessing.get("input_size"), preprocessing.get("size")
    channels = given[0] if isinstance(given, list) and len(given) == 3 else 3
    sides = given[1:] if isinstance(given, list) and len(given) == 3 else size
    if not isinstance(sides, list) or len(sides) != 2:
        return None
    if not all(isinstance(side, int) and 0 < side <= LARGEST_SIDE for side in sides):
        return None
    if channels not in (1, 3):
        return None
    return channels, sides[0], sides[1]
