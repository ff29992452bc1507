"""The card's two plots: rates before and after, and what the trigger does to images.

Drawn on figures of their own (no ``pyplot``, no display) on opaque white, so
that they read the same on a light and a dark page. Colours are from Okabe and
Ito's palette, which people with any colour vision can tell apart.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ngf_hub.report import Rate, Report
from ngf_hub.text import plain

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

BEFORE, AFTER = "#D55E00", "#0072B2"
INK, FAINT = "#1a1a1a", "#d0d0d0"
RATES = (
    ("accuracy", "Clean accuracy (ACC)", "higher is better"),
    ("attack_success", "Attack success rate (ASR)", "lower is better"),
    ("recovered_accuracy", "Recovered accuracy (RA)", "higher is better"),
)
MOST_IMAGES = 6
MOST_AMPLIFICATION = 20
# Below this many pixels on a side an image is shown as its pixels, not smoothed.
SMALL_SIDE = 128
DPI = 160


def plot_before_after(report: Report, path: Path) -> Path:
    """Bars of ACC, ASR and RA before and after, each with its value, n and 95 % interval.

    Args:
        report: Where every figure comes from; of an evaluation the one measurement is shown.
        path: The PNG to write.

    Returns:
        The path.
    """
    series = [("before", BEFORE, report.before)]
    if report.after is not None:
        series.append(("after", AFTER, report.after))
    else:
        series = [("measured", AFTER, report.before)]
    shown = [row for row in RATES if any(getattr(m, row[0]) is not None for _, _, m in series)]
    bar, gap = 0.36, 0.34
    top, bottom = (0.46 if len(series) > 1 else 0.16), 0.66
    height = top + bottom + len(shown) * (len(series) * bar + gap)
    figure = _figure(8.0, height)
    axes: Axes = figure.add_axes((0.27, bottom / height, 0.63, 1 - (top + bottom) / height))
    middle = 0.0
    ticks = []
    for field, _, _ in shown:
        for place, (_, colour, measurement) in enumerate(series):
            rate: Rate | None = getattr(measurement, field)
            _bar(axes, middle + (place - (len(series) - 1) / 2) * bar, bar, colour, rate)
        ticks.append(middle)
        middle += len(series) * bar + gap
    _before_after_axes(axes, ticks, [_row_label(report, row) for row in shown])
    if len(series) > 1:
        handles = [axes.barh(0, 0, color=colour, label=name) for name, colour, _ in series]
        figure.legend(
            handles=handles, loc="upper left", ncols=2, frameon=False, bbox_to_anchor=(0.26, 1.0)
        )
    _footer(figure, report)
    return _save(figure, path)


def _bar(axes: Axes, y: float, height: float, colour: str, rate: Rate | None) -> None:
    """One bar with whiskers and its value; a word where there is none."""
    if rate is None or rate.value is None:
        axes.text(1, y, "not measured", va="center", color=INK, fontsize=9, style="italic")
        return
    value, (low, high) = 100 * rate.value, (100 * bound for bound in rate.interval)
    axes.barh(y, value, height * 0.92, color=colour, zorder=2)
    cap = [y - height * 0.2, y + height * 0.2]
    whisker = (([low, high], [y, y]), ([low, low], cap), ([high, high], cap))
    # A white casing keeps the whisker visible inside the bar.
    for width, ink in ((3.6, "white"), (1.5, INK)):
        for x_values, y_values in whisker:
            axes.plot(
                x_values, y_values, color=ink, linewidth=width, zorder=3, clip_on=False,
                solid_capstyle="butt",
            )  # fmt: skip
    axes.text(high + 1.5, y, f"{value:.1f} %", va="center", color=INK, fontsize=10, clip_on=False)


def _row_label(report: Report, row: tuple[str, str, str]) -> str:
    field, name, better = row
    rate: Rate | None = getattr(report.current, field) or getattr(report.before, field)
    return f"{name}\nn = {rate.n:,}, {better}" if rate is not None else f"{name}\n{better}"


def _before_after_axes(axes: Axes, ticks: list[float], labels: list[str]) -> None:
    axes.set_yticks(ticks, labels, fontsize=10)
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 100)
    axes.set_xticks([0, 20, 40, 60, 80, 100], [f"{x} %" for x in (0, 20, 40, 60, 80, 100)])
    axes.tick_params(axis="x", colors=INK, labelsize=9, length=0)
    axes.invert_yaxis()
    axes.grid(axis="x", color=FAINT, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["left"].set_color(INK)


def _footer(figure: Figure, report: Report) -> None:
    """What was measured at the left, what the whiskers are at the right."""
    name = plain(report.model.name.rstrip("/").split("/")[-1], 50)
    if report.method is not None:
        name += f", {plain(report.method.name, 20)}"
    estimate = report.trigger is not None and report.trigger.origin == "recovered"
    note = "whiskers: 95 % interval" + ("; ASR is an estimate" if estimate else "")
    style: dict[str, Any] = {"fontsize": 8, "color": "#555555", "va": "bottom"}
    offset = 0.08 / figure.get_size_inches()[1]
    figure.text(0.01, offset, name, parse_math=False, **style)
    figure.text(0.99, offset, note, ha="right", **style)


def plot_trigger(
    clean: Any,
    triggered: Any,
    path: Path,
    *,
    labels: Sequence[int] | None = None,
    predictions: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
) -> Path:
    """Up to six images: clean, with the trigger, and the difference, amplified.

    Args:
        clean: Images: a tensor (k, channels, H, W), or an array (k, H, W,
            channels); integers in 0 to 255 or floats in [0, 1].
        triggered: The same images with the trigger.
        path: The PNG to write.
        labels: The true class of each image.
        predictions: What the model says of each triggered image.
        class_names: The classes' names, by index.

    Returns:
        The path.

    Raises:
        ValueError: There is no image, or the shapes differ.
    """
    import numpy as np

    before, after = _as_images(clean), _as_images(triggered)
    if before.shape != after.shape or len(before) == 0:
        raise ValueError(f"shapes {before.shape} and {after.shape} do not fit")
    before, after = before[:MOST_IMAGES], after[:MOST_IMAGES]
    difference = np.abs(after - before)
    largest = float(difference.max())
    factor = min(MOST_AMPLIFICATION, max(1, int(1 / largest))) if largest > 0 else 1
    count = len(before)
    cell, side, top, caption = 1.45, 1.05, 0.1, 0.42
    figure = _figure(side + count * cell + 0.1, top + 3 * cell + 2 * caption + 0.1)
    width, height = figure.get_size_inches()
    times = "" if factor == 1 else f"\n× {factor}"
    rows = (
        ("clean", before, labels, "true: "),
        ("with trigger", after, predictions, "model: "),
        (f"difference{times}", np.clip(difference * factor, 0, 1), None, ""),
    )
    y = height - top
    for title, images, classes, prefix in rows:
        y -= cell
        figure.text((side - 0.1) / width, (y + cell / 2) / height, title, ha="right", va="center")
        for column, image in enumerate(images):
            place = ((side + column * cell + 0.04) / width, (y + 0.04) / height)
            axes = figure.add_axes((*place, (cell - 0.08) / width, (cell - 0.08) / height))
            _show(axes, image)
            if classes is not None and column < len(classes):
                name = _class_name(int(classes[column]), class_names)
                axes.set_xlabel(prefix + name, fontsize=8, labelpad=3, parse_math=False)
        y -= caption
    return _save(figure, path)


def _as_images(images: Any) -> NDArray[np.float64]:
    """Float images (k, H, W, channels) in [0, 1] of a tensor or an array."""
    import numpy as np

    if hasattr(images, "detach"):
        images = images.detach().float().cpu().permute(0, 2, 3, 1).numpy()
    array = np.asarray(images)
    if array.ndim != 4 or array.shape[-1] not in (1, 3):
        raise ValueError(f"shape {array.shape} is not that of images")
    scaled = array / 255.0 if np.issubdtype(array.dtype, np.integer) else array.astype(float)
    clipped: NDArray[np.float64] = np.clip(np.nan_to_num(scaled), 0.0, 1.0)
    return clipped


def _show(axes: Axes, image: NDArray[np.float64]) -> None:
    small = max(image.shape[:2]) < SMALL_SIDE
    shown = image.repeat(3, axis=2) if image.shape[2] == 1 else image
    axes.imshow(shown, interpolation="nearest" if small else "antialiased", aspect="equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(FAINT)


def _class_name(label: int, names: Sequence[str] | None) -> str:
    if names is None or not 0 <= label < len(names):
        return str(label)
    return plain(names[label], 17) or str(label)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> Path:
    """Write the PNG beside its place and rename it; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Names in scripts that the font lacks show as boxes; that is no news to the user.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")
        figure.savefig(buffer, format="png", facecolor="white", metadata={"Software": None})
    beside = path.with_suffix(".png.part")
    beside.write_bytes(buffer.getvalue())
    os.replace(beside, path)
    return path
