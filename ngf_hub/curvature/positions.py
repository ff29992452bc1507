"""Linear and Conv2d layers as one matrix product over positions.

A layer with weight sharing multiplies the same matrix W (o, a) with many
vectors of one image: tokens of a sequence, patches under a convolution's
kernel. "Positions" are all of these, of all images. A convolution with G groups
has G such matrices, so everything here carries a leading dimension G (1 for
most layers); the bias is folded in as the last column of W.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ngf_hub.curvature.reduction import row_chunks
from ngf_hub.errors import MethodError

ParameterTensors: TypeAlias = Mapping[nn.Parameter, Tensor]
"""One tensor a parameter, of its shape: gradients, steps, a diagonal."""


def check_supported(layer: nn.Module) -> nn.Linear | nn.Conv2d:
    """``layer``, which must be a Linear or a Conv2d with a weight of its own.

    Raises:
        MethodError: It is neither, or its weight is computed from other parameters.
    """
    if not isinstance(layer, (nn.Linear, nn.Conv2d)):
        raise MethodError(
            f"K-FAC knows Linear and Conv2d layers, not {type(layer).__name__}.",
            "Choose other layers; `ngf-hub layers` lists them.",
        )
    if not isinstance(layer.weight, nn.Parameter):
        raise MethodError(
            f"The weight of a {type(layer).__name__} layer is computed from other parameters.",
            "Remove the parametrization (torch.nn.utils.parametrize) or choose other layers.",
        )
    return layer


def factor_shapes(layer: nn.Linear | nn.Conv2d) -> tuple[int, int, int]:
    """(G, a, o): groups, inputs of a group with the bias's constant, outputs of a group."""
    groups = layer.groups if isinstance(layer, nn.Conv2d) else 1
    inputs = layer.weight[0].numel() + (layer.bias is not None)
    return groups, inputs, len(layer.weight) // groups


def layer_parameters(layer: nn.Linear | nn.Conv2d) -> tuple[nn.Parameter, nn.Parameter | None]:
    """The weight of a layer, and its bias where it has one."""
    return cast(nn.Parameter, layer.weight), cast("nn.Parameter | None", layer.bias)


def to_matrix(layer: nn.Linear | nn.Conv2d, tensors: ParameterTensors) -> Tensor:
    """The tensors of a layer's weight and bias as one (G, o, a) matrix.

    Raises:
        KeyError: There is none for the weight, or for a bias that the layer has.
    """
    weight, bias = layer_parameters(layer)
    groups, _, outputs = factor_shapes(layer)
    matrix = tensors[weight].reshape(groups, outputs, -1)
    if bias is None:
        return matrix
    return torch.cat([matrix, tensors[bias].reshape(groups, outputs, 1)], dim=2)


def from_matrix(layer: nn.Linear | nn.Conv2d, matrix: Tensor) -> dict[nn.Parameter, Tensor]:
    """The inverse of :func:`to_matrix`."""
    weight, bias = layer_parameters(layer)
    if bias is None:
        return {weight: matrix.reshape(weight.shape)}
    return {
        weight: matrix[..., :-1].reshape(weight.shape),
        bias: matrix[..., -1].reshape(bias.shape),
    }


def input_positions(
    layer: nn.Linear | nn.Conv2d, inputs: Tensor, output: Tensor
) -> Iterator[Tensor]:
    """A layer's input vectors in chunks (G, positions, a), the bias's constant 1 at the end.

    Args:
        layer: The layer.
        inputs: What went in: (..., d) of a Linear, (N, channels, H, W) of a Conv2d.
        output: What came out, for the padding of a Conv2d that pads by itself.
    """
    groups, columns, _ = factor_shapes(layer)
    if isinstance(layer, nn.Conv2d):
        inputs = _padded(layer, inputs, output)
        places = groups * columns * output.shape[-2] * output.shape[-1]
        for images in row_chunks(len(inputs), places):
            patches = functional.unfold(
                inputs[images], layer.kernel_size, layer.dilation, 0, layer.stride
            )
            count, _, spots = patches.shape
            patches = patches.view(count, groups, -1, spots).permute(1, 0, 3, 2)
            yield _with_constant(layer, patches.reshape(groups, count * spots, -1))
    else:
        vectors = inputs.reshape(-1, inputs.shape[-1])
        for rows in row_chunks(len(vectors), columns):
            yield _with_constant(layer, vectors[rows].unsqueeze(0))


def output_positions(layer: nn.Linear | nn.Conv2d, gradient: Tensor) -> Tensor:
    """Gradients with respect to a layer's outputs as (G, positions, o)."""
    groups, _, outputs = factor_shapes(layer)
    if isinstance(layer, nn.Conv2d):
        gradient = gradient.permute(0, 2, 3, 1)
    return _wide(gradient.reshape(-1, groups, outputs).transpose(0, 1))


def _wide(tensor: Tensor) -> Tensor:
    """In float32 or better, whatever precision the forward pass ran in."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()


def _with_constant(layer: nn.Linear | nn.Conv2d, vectors: Tensor) -> Tensor:
    vectors = _wide(vectors)
    if layer.bias is None:
        return vectors
    return torch.cat([vectors, vectors.new_ones(*vectors.shape[:2], 1)], dim=2)


def _padded(layer: nn.Conv2d, inputs: Tensor, output: Tensor) -> Tensor:
    """``inputs`` with the padding that the layer put around them.

    Layers that pad as TensorFlow does (timm's ``Conv2dSame``) state a padding
    of 0 and pad in their own forward; the output's size tells by how much.
    """
    pads: list[int] = []  # left, right, top, bottom
    for axis in (1, 0):
        size, out = inputs.shape[2 + axis], output.shape[2 + axis]
        kernel = layer.dilation[axis] * (layer.kernel_size[axis] - 1) + 1
        stated = layer.padding[axis] if isinstance(layer.padding, tuple) else -1
        if stated >= 0 and (size + 2 * stated - kernel) // layer.stride[axis] + 1 == out:
            pads += [stated, stated]
        else:
            needed = max(0, (out - 1) * layer.stride[axis] + kernel - size)
            pads += [needed // 2, needed - needed // 2]
    if not any(pads):
        return inputs
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return functional.pad(inputs, pads, mode=mode)
