"""The plots: what is drawn, from the pixels of the PNG where that is what counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image

from ngf_hub.plots import AFTER, BEFORE, plot_before_after, plot_trigger

from .report_samples import measurement, model, report, trigger


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def bars(path, colour: str, legend: bool = True) -> list[int]:
    """Widths in pixels of the bars of a colour, from top to bottom, without the legend's."""
    is_bar = np.abs(pixels(path) - 255 * np.array(to_rgb(colour))).max(axis=2) < 3
    widths, inside = [], False
    for row in is_bar:
        # The whisker lies over the middle of a bar, so rows of one bar differ.
        if row.any() and not inside:
            widths.append(0)
        inside = bool(row.any())
        if inside:
            widths[-1] = max(widths[-1], int(row.sum()))
    return widths[1:] if legend else widths


def test_lengths_of_bars_are_the_rates(tmp_path):
    content = report(before=measurement(2000, 1800, 450), after=measurement(1000, 360, 1350))
    path = plot_before_after(content, tmp_path / "before_after.png")
    before, after = bars(path, BEFORE), bars(path, AFTER)
    full = before[0]
    assert np.array(before) / full == pytest.approx([1, 1, 0.25], abs=0.01)
    assert np.array(after) / full == pytest.approx([0.5, 0.2, 0.75], abs=0.01)


def test_an_evaluation_and_a_report_without_trigger_have_fewer_bars(tmp_path):
    only = report(kind="evaluate", after=None, method=None)
    path = plot_before_after(only, tmp_path / "a.png")
    assert len(bars(path, AFTER, legend=False)) == 2  # RA is 0
    assert bars(path, BEFORE, legend=False) == []
    without = report(trigger=None, before=measurement(1700), after=measurement(1600))
    path = plot_before_after(without, tmp_path / "b.png")
    assert len(bars(path, BEFORE)) == len(bars(path, AFTER)) == 1


def test_plots_are_opaque_and_the_same_every_time(tmp_path):
    content = report(trigger=trigger(origin="recovered"))
    first = plot_before_after(content, tmp_path / "a.png").read_bytes()
    assert plot_before_after(content, tmp_path / "b.png").read_bytes() == first
    with Image.open(tmp_path / "a.png") as image:
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
    assert (alpha == 255).all()
    assert (pixels(tmp_path / "a.png")[0, 0] == 255).all()
    assert not list(tmp_path.glob("*.part"))


def test_nothing_measured_on_no_images(tmp_path):
    content = report(after=None, before=measurement(1700))
    content.before.accuracy.n = content.before.accuracy.count = 0
    assert plot_before_after(content, tmp_path / "a.png").is_file()


def test_hostile_names_are_only_text(tmp_path, recwarn):
    content = report(model=model(name="a/$x_{\x1b[31m\u202e猫"))
    plot_before_after(content, tmp_path / "a.png")
    names = ["$\\frac{", "\x1b[31m<b>", "猫" * 50, "$a$ \n b"]
    image = torch.rand(2, 3, 8, 8)
    plot_trigger(
        image, image, tmp_path / "b.png", labels=[0, 1], predictions=[2, 99], class_names=names
    )
    assert not [w for w in recwarn if "lyph" in str(w.message)]


def grid(path, rows: int, columns: int) -> list[list[np.ndarray]]:
    """The images in a trigger plot, found by their frames on white."""
    shown = pixels(path)
    height, width = shown.shape[:2]
    cell, side, top, caption = 1.45, 1.05, 0.1, 0.42
    inch = width / (side + columns * cell + 0.1)
    found = []
    for row in range(rows):
        y = top + row * (cell + caption) + 0.04
        line = []
        for column in range(columns):
            x = side + column * cell + 0.04
            box = [round(v * inch) for v in (y, y + cell - 0.08, x, x + cell - 0.08)]
            line.append(shown[box[0] : box[1], box[2] : box[3]])
        found.append(line)
    assert box[1] <= height
    return found


def centre(image: np.ndarray, row: int, column: int, size: int) -> np.ndarray:
    """The colour at the middle of a pixel of an image of ``size`` that is shown enlarged."""
    step = image.shape[0] / size
    return image[round((row + 0.5) * step), round((column + 0.5) * step)] / 255


def test_rows_are_clean_triggered_and_amplified_difference(tmp_path):
    clean = torch.full((2, 3, 8, 8), 0.25)
    clean[1] = 0.5
    triggered = clean.clone()
    triggered[:, 0, 6:, 6:] += 0.1
    path = plot_trigger(clean, triggered, tmp_path / "t.png", labels=[0, 1], predictions=[0, 0])
    shown = grid(path, 3, 2)
    for column, level in enumerate((0.25, 0.5)):
        assert centre(shown[0][column], 7, 7, 8) == pytest.approx([level] * 3, abs=0.01)
        assert centre(shown[1][column], 7, 7, 8) == pytest.approx(
            [level + 0.1, level, level], abs=0.01
        )
        assert centre(shown[2][column], 0, 0, 8) == pytest.approx([0, 0, 0], abs=0.01)
        # Nine or ten times 0.1, in the red channel alone.
        red, green, blue = centre(shown[2][column], 7, 7, 8)
        assert red >= 0.88
        assert (green, blue) == (0, 0)


def test_small_images_are_enlarged_without_smoothing(tmp_path):
    board = np.indices((100, 100)).sum(0) % 2  # no whole number of screen pixels each
    images = np.repeat(board[None, ..., None], 3, axis=3).astype(np.uint8) * 255
    shown = grid(plot_trigger(images, images, tmp_path / "t.png"), 3, 1)[0][0]
    inner = shown[4:-4, 4:-4]
    assert np.isin(inner, (0, 255)).mean() > 0.99


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_arrays_and_tensors_of_any_scale_show_the_same(tmp_path, dtype):
    base = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 1))
    scaled = base.astype(dtype) if dtype is np.uint8 else (base / 255).astype(dtype)
    as_tensor = torch.tensor(base / 255).permute(0, 3, 1, 2)
    first = plot_trigger(scaled, scaled, tmp_path / "a.png").read_bytes()
    assert plot_trigger(as_tensor, as_tensor, tmp_path / "b.png").read_bytes() == first


def test_at_most_six_images_are_shown(tmp_path):
    images = torch.rand(9, 3, 8, 8)
    wide = pixels(plot_trigger(images, images, tmp_path / "a.png")).shape
    six = pixels(plot_trigger(images[:6], images[:6], tmp_path / "b.png")).shape
    assert wide == six


@pytest.mark.parametrize(
    ("clean", "triggered"),
    [
        (np.zeros((0, 8, 8, 3)), np.zeros((0, 8, 8, 3))),
        (np.zeros((1, 8, 8, 3)), np.zeros((2, 8, 8, 3))),
        (np.zeros((1, 8, 8, 5)), np.zeros((1, 8, 8, 5))),
        (np.zeros((8, 8, 3)), np.zeros((8, 8, 3))),
    ],
)
def test_what_are_no_images_is_refused(tmp_path, clean, triggered):
    with pytest.raises(ValueError, match="shape"):
        plot_trigger(clean, triggered, tmp_path / "t.png")
    assert not list(tmp_path.iterdir())
