"""The warp is the field of WaNet: smooth, seeded, and of the strength that is asked for."""

import pytest
import torch

from ngf_hub.errors import TriggerError
from ngf_hub.triggers import load_folder, make_trigger
from ngf_hub.triggers.warp import WarpTrigger, control_grid


@pytest.fixture
def pixels():
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_the_seed_decides_the_field(pixels):
    first, again = (make_trigger("warp:seed=3", 0).apply(pixels) for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.allclose(first, make_trigger("warp:seed=4", 0).apply(pixels))


@pytest.mark.parametrize("side", [2, 4, 8])
def test_control_offsets_have_unit_mean_size(side):
    grid = control_grid(side, 5)
    assert grid.shape == (2, side, side)
    assert grid.abs().mean() == pytest.approx(1)
    assert grid.min() < 0 < grid.max()


def test_a_flat_image_stays_and_a_stronger_warp_moves_more(pixels):
    flat = torch.full((1, 3, 32, 32), 0.3)
    weak, strong = (make_trigger(f"warp:strength={s}", 0) for s in (0.5, 2))
    torch.testing.assert_close(strong.apply(flat), flat)
    smooth = torch.linspace(0, 1, 32).expand(1, 3, 32, 32)
    moved = [(trigger.apply(smooth) - smooth).abs().mean() for trigger in (weak, strong)]
    assert moved[1] > 3 * moved[0]


@pytest.mark.parametrize(("axis", "shape"), [(0, (32, 64)), (1, (32, 64))])
def test_a_constant_field_shifts_by_whole_pixels(axis, shape):
    """Offsets that make up one pixel fetch the right (or lower) neighbour."""
    height, width = shape
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(2))
    side = (width, height)[axis]
    grid = torch.zeros(2, 4, 4)
    grid[axis] = 2 * side / (side - 1)
    triggered = WarpTrigger(grid, 1.0, 0).apply(images)
    along = 3 - axis
    expected = images.roll(-1, along)
    inner = torch.arange(side - 1)
    torch.testing.assert_close(
        triggered.index_select(along, inner), expected.index_select(along, inner),
        atol=1e-4, rtol=0,
    )  # fmt: skip
    last = torch.tensor([side - 1])
    torch.testing.assert_close(
        triggered.index_select(along, last), images.index_select(along, last), atol=1e-4, rtol=0
    )


def test_a_dense_field_does_what_its_control_grid_does(pixels):
    """So a recovered flow of the image's size is a trigger of this family too."""
    coarse = make_trigger("warp:strength=1.5,grid=4,seed=1", 0)
    dense_grid = torch.nn.functional.interpolate(
        coarse.grid[None], (32, 32), mode="bicubic", align_corners=True
    )[0]
    dense = WarpTrigger(dense_grid, 1.5, 0)
    torch.testing.assert_close(dense.apply(pixels), coarse.apply(pixels), atol=1e-5, rtol=0)


def test_places_move_by_half_the_strength_in_pixels_at_any_size():
    trigger = make_trigger("warp:strength=0.5,grid=4,seed=0", 0)
    for side in (32, 224):
        identity = WarpTrigger(torch.zeros(2, 4, 4), 1.0, 0).sampling_grid(side, side)
        inner = slice(side // 4, -side // 4)
        moved = (trigger.sampling_grid(side, side) - identity)[inner, inner] * side / 2
        assert 0.05 < moved.abs().mean() < 0.5


def test_a_dense_field_survives_saving(tmp_path, pixels):
    flow = torch.randn(2, 32, 32, generator=torch.Generator().manual_seed(3))
    trigger = WarpTrigger(flow, 0.7, None)
    trigger.save(tmp_path / "trigger")
    again = load_folder(tmp_path / "trigger")
    assert again.target is None
    assert torch.equal(again.apply(pixels), trigger.apply(pixels))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("warp:strength=0", "above 0"),
        ("warp:strength=much", "above 0"),
        ("warp:strength=inf", "above 0"),
        ("warp:grid=1", ">= 2"),
        ("warp:seed=-1", ">= 0"),
        ("warp:ratio=0.2", "Unknown option 'ratio'"),
    ],
)
def test_bad_options_are_told(spec, said):
    with pytest.raises(TriggerError) as caught:
        make_trigger(spec, 0)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("grid", "strength"),
    [
        (torch.zeros(3, 4, 4), 1.0),
        (torch.zeros(2, 4), 1.0),
        (torch.full((2, 4, 4), float("nan")), 1.0),
        (torch.zeros(2, 4, 4), 0.0),
        (torch.zeros(2, 4, 4), float("nan")),
    ],
)
def test_bad_values_are_told(grid, strength):
    with pytest.raises(TriggerError):
        WarpTrigger(grid, strength, 0)
