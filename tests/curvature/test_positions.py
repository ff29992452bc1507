import pytest
import torch
from timm.layers import Conv2dSame
from torch import nn
from torch.nn import functional

from ngf_hub.curvature import KFAC, reduction
from ngf_hub.curvature.positions import from_matrix, input_positions, to_matrix
from tests.curvature.networks import Mean, random_like
from tests.curvature.problems import relative_error

CONVOLUTIONS = {
    "plain": {"kernel_size": 3},
    "stride and padding": {"kernel_size": 3, "stride": 2, "padding": 1},
    "one by one": {"kernel_size": 1},
    "oblong": {"kernel_size": (3, 2), "stride": (1, 2), "padding": (2, 0)},
    "dilation": {"kernel_size": 3, "dilation": 2, "padding": 2},
    "same": {"kernel_size": (3, 4), "padding": "same"},
    "reflect": {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
    "no bias": {"kernel_size": 3, "bias": False},
    "two groups": {"kernel_size": 3, "groups": 2, "padding": 1},
    "depthwise": {"kernel_size": 3, "groups": 4, "stride": 2},
}


@pytest.mark.parametrize("settings", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
@pytest.mark.parametrize("bound", [2**21, 1])
def test_a_convolution_is_a_matrix_times_its_positions(settings, bound, monkeypatch):
    monkeypatch.setattr(reduction, "MAX_TEMPORARY", bound)
    layer = nn.Conv2d(4, 8, **settings).double()
    x = torch.randn(3, 4, 7, 6, dtype=torch.float64)
    output = layer(x)
    vectors = torch.cat(list(input_positions(layer, x, output)), dim=1)
    matrix = to_matrix(layer, {p: p for p in layer.parameters()})
    product = (vectors @ matrix.mT).permute(1, 0, 2).flatten(1)  # (positions, channels)
    torch.testing.assert_close(product, output.permute(0, 2, 3, 1).flatten(0, 2))


@pytest.mark.parametrize("size", [5, 6, 7, 8])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_a_convolution_that_pads_by_itself(size, stride, kernel):
    layer = Conv2dSame(2, 3, kernel, stride=stride).double()
    x = torch.randn(2, 2, size, size, dtype=torch.float64)
    output = layer(x)
    vectors = torch.cat(list(input_positions(layer, x, output)), dim=1)
    matrix = to_matrix(layer, {p: p for p in layer.parameters()})
    product = (vectors @ matrix.mT).squeeze(0)
    torch.testing.assert_close(product, output.permute(0, 2, 3, 1).flatten(0, 2))


@pytest.mark.parametrize("shape", [(5, 4), (2, 3, 4), (2, 3, 5, 4)])
def test_a_linear_layer_over_any_leading_dimensions(shape):
    layer, x = nn.Linear(4, 3).double(), torch.randn(shape, dtype=torch.float64)
    output = layer(x)
    vectors = torch.cat(list(input_positions(layer, x, output)), dim=1)
    matrix = to_matrix(layer, {p: p for p in layer.parameters()})
    torch.testing.assert_close((vectors @ matrix.mT).view_as(output), output)


def test_matrices_come_apart_as_they_were_put_together():
    for layer in (nn.Linear(3, 2), nn.Conv2d(4, 6, 3, groups=2), nn.Conv2d(2, 2, 1, bias=False)):
        tensors = random_like(layer)
        back = from_matrix(layer, to_matrix(layer, tensors))
        assert list(back) == list(layer.parameters())
        assert all(torch.equal(back[p], tensors[p]) for p in tensors)


@pytest.mark.parametrize("groups", [2, 4])
def test_a_grouped_convolution_has_one_block_a_group(groups):
    """Against the same network with the convolution taken apart into ungrouped ones."""
    conv = nn.Conv2d(4, 8, 3, groups=groups, padding=1).double()
    last = nn.Linear(8, 5).double()
    parts = []
    for w, b in zip(conv.weight.chunk(groups), conv.bias.chunk(groups), strict=True):
        part = nn.Conv2d(w.shape[1], len(w), 3, padding=1).double()
        part.weight.data, part.bias.data = w.data.clone(), b.data.clone()
        parts.append(part)

    def head(x):
        return last(Mean()(x.relu().permute(0, 2, 3, 1)))

    def apart(x):
        pieces = x.chunk(groups, dim=1)
        return head(torch.cat([p(piece) for p, piece in zip(parts, pieces, strict=True)], dim=1))

    x = torch.randn(4, 4, 5, 5, dtype=torch.float64)
    together, separate = KFAC([conv], damping=0.01), KFAC(parts, damping=0.01)
    together.update(lambda x: head(conv(x)), x, fisher="type-2")
    separate.update(apart, x, fisher="type-2")
    gradient = random_like(conv)
    pieces = {
        p: g
        for part, w, b in zip(
            parts,
            gradient[conv.weight].chunk(groups),
            gradient[conv.bias].chunk(groups),
            strict=True,
        )
        for p, g in ((part.weight, w), (part.bias, b))
    }
    for found, expected in (
        (together.matvec(gradient), separate.matvec(pieces)),
        (together.precondition(gradient), separate.precondition(pieces)),
    ):
        joined = torch.cat([expected[part.weight] for part in parts])
        assert relative_error(found[conv.weight], joined) < 1e-10
        assert (
            relative_error(found[conv.bias], torch.cat([expected[p.bias] for p in parts])) < 1e-10
        )


def test_blocks_of_a_depthwise_convolution_by_brute_force():
    conv = nn.Conv2d(2, 2, 2, groups=2, bias=False).double()
    x = torch.randn(3, 2, 3, 3, dtype=torch.float64)

    def network(pixels):
        return conv(pixels).flatten(1)  # 8 logits

    kfac = KFAC([conv])
    kfac.update(network, x, fisher="type-2")
    a, b = kfac.factors(conv)
    probabilities = network(x).softmax(1).detach()
    for group in range(2):
        patches = functional.unfold(x[:, group : group + 1], 2).transpose(1, 2).flatten(0, 1)
        torch.testing.assert_close(a[group], patches.T @ patches / len(patches))
        p = probabilities.view(3, 2, 4)[:, group]
        torch.testing.assert_close(b[group].squeeze(), (p * (1 - p)).sum(1).mean())
