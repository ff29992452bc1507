"""The small networks of the zoo, for 32x32 images: 2 to 10 million multiplications an image.

The first layers halve the resolution, so that one trains in about a minute on
one core. Each is built from blocks of torchvision or timm.
"""

from __future__ import annotations

from collections.abc import Callable

from timm.models.convnext import ConvNeXt
from timm.models.resnet import BasicBlock, ResNet
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torchvision.ops import Conv2dNormActivation

from benchmarks.thirdparty import PreActivationBlock


def vgg(num_classes: int) -> nn.Module:
    """Four convolutions with batch norm, three poolings and one linear layer."""
    return nn.Sequential(
        Conv2dNormActivation(3, 32, stride=2),
        Conv2dNormActivation(32, 64),
        nn.MaxPool2d(2),
        Conv2dNormActivation(64, 128),
        nn.MaxPool2d(2),
        Conv2dNormActivation(128, 128),
        nn.Flatten(),
        nn.Linear(128 * 16, num_classes),
    )


def resnet(num_classes: int) -> nn.Module:
    """A ResNet-D of 10 layers: three convolutions as stem, three basic blocks."""
    network: nn.Module = ResNet(
        BasicBlock,
        (1, 1, 1, 1),
        num_classes=num_classes,
        channels=(32, 64, 128, 128),
        stem_type="deep",
        stem_width=12,
        avg_down=True,
        # Blocks that start as the identity take longer than this training lasts.
        zero_init_last=False,
    )
    # Made for 224 pixels: at 32, its pooling and last stage would leave a single place.
    network.maxpool = nn.Identity()
    network.layer4 = nn.Identity()
    return network


def wrn(num_classes: int) -> nn.Module:
    """A wide residual network of depth 10 and width 2, with a stem of stride 2."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, 2, 1, bias=False),
        PreActivationBlock(32, 32, 1),
        PreActivationBlock(32, 64, 2),
        PreActivationBlock(64, 128, 2),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(128, num_classes),
    )


def allconv(num_classes: int) -> nn.Module:
    """Strided convolutions with batch norm and SiLU, no pooling before the average at the end."""
    return nn.Sequential(
        Conv2dNormActivation(3, 32, stride=2, activation_layer=nn.SiLU),
        Conv2dNormActivation(32, 64, activation_layer=nn.SiLU),
        Conv2dNormActivation(64, 96, stride=2, activation_layer=nn.SiLU),
        Conv2dNormActivation(96, 128, activation_layer=nn.SiLU),
        Conv2dNormActivation(128, 128, stride=2, activation_layer=nn.SiLU),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(128, num_classes),
    )


def convnext(num_classes: int) -> nn.Module:
    """A ConvNeXt of five blocks: depthwise convolutions and layer norm."""
    network: nn.Module = ConvNeXt(
        num_classes=num_classes,
        depths=(1, 1, 2, 1),
        dims=(24, 48, 96, 128),
        patch_size=2,
        # Layer scale starts the blocks near zero: too slow for a short training.
        ls_init_value=None,
    )
    return network


def vit(num_classes: int) -> nn.Module:
    """A vision transformer of four blocks on 64 patches of 4x4 pixels."""
    network: nn.Module = VisionTransformer(
        img_size=32,
        patch_size=4,
        embed_dim=64,
        depth=4,
        num_heads=2,
        mlp_ratio=2,
        num_classes=num_classes,
        class_token=False,
        global_pool="avg",
    )
    return network


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "vgg": vgg,
    "resnet": resnet,
    "wrn": wrn,
    "allconv": allconv,
    "convnext": convnext,
    "vit": vit,
}
