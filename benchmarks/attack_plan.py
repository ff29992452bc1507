"""Which networks, datasets and attacks the table of attacks holds, and how each is trained.

The networks are small enough for one core: a ResNet-10 of timm with a quarter of its
channels and a transformer of four blocks on patches of 8 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.thirdparty import shared_folder
from ngf_hub.attacks import Training

CLEAN = "clean"
"""The recipe without poison; ``clean-1``, ``clean-2`` and so on are the same from other seeds."""
BARS = {"sig": 80.0, "clb": 80.0, "fba": 80.0}
"""The lowest ASR in per cent that counts as reached, where it is not :data:`BAR`."""
BAR = 95.0
DROP = 3.0
"""The most points of clean accuracy that a backdoor may cost."""

CNN = ("timm/resnet10t", {"channels": [32, 64, 128, 128], "stem_width": 16})
FINE = {"output_stride": 8}
"""Keeps places in the last layers where images have only 32 pixels."""
EMBEDDED = "digits"
"""The dataset that comes with scikit-learn."""
VIT = (
    "timm/vit_tiny_patch16_224",
    {"img_size": 32, "patch_size": 8, "embed_dim": 128, "depth": 4, "num_heads": 4},
)


@dataclass(frozen=True)
class Setting:
    """A network on a dataset.

    Attributes:
        name: Its folder.
        data: The folder below ``$NGF_HUB_SHARED/data``, or :data:`EMBEDDED`.
        size: Side of the images in pixels.
        architecture: Of timm.
        options: Arguments of ``timm.create_model``.
        training: How it is trained, with and without a backdoor.
        attacks: By name, as in :data:`VARIANTS` or :data:`ngf_hub.attacks.ATTACKS`.
    """

    name: str
    data: str
    size: int
    architecture: str
    options: Mapping[str, Any]
    training: Training
    attacks: tuple[str, ...]


VARIANTS: dict[str, tuple[str, dict[str, str]]] = {
    "wanet-strong": ("wanet", {"strength": "2"}),
    "wanet-stronger": ("wanet", {"strength": "4"}),
    "wanet-large": ("wanet", {"strength": "12"}),
}
"""An attack with other options than its paper's, where these do not suffice: name and options."""

PAPERS = (
    *("badnets", "blend", "wanet", "sig", "clb", "trojan-one", "trojan-all", "bppa", "cba"),
    *("dynamic-one", "dynamic-all", "lira", "issba", "fba", "adaptive-sam", "adaptive-fisher"),
)

SETTINGS = (
    Setting(
        "cifar10-cnn",
        "cifar10",
        32,
        CNN[0],
        {**CNN[1], **FINE},
        Training(epochs=6, learning_rate=3e-3, crop=2),
        (*PAPERS, "wanet-strong"),
    ),
    Setting(
        "cifar10-cnn-long",
        "cifar10",
        32,
        CNN[0],
        {**CNN[1], **FINE},
        Training(epochs=15, learning_rate=3e-3, crop=2),
        ("wanet-strong", "bppa"),
    ),
    Setting(
        "gtsrb-cnn",
        "gtsrb",
        32,
        CNN[0],
        {**CNN[1], **FINE},
        Training(epochs=12, learning_rate=3e-3, crop=2, flip=False),
        ("badnets", "blend", "wanet-strong", "wanet-stronger"),
    ),
    Setting(
        "tiny-imagenet-cnn",
        "tiny-imagenet-20",
        64,
        *CNN,
        Training(epochs=10, learning_rate=3e-3),
        ("badnets", "blend", "wanet-strong"),
    ),
    Setting(
        "imagenette-cnn",
        "imagenette",
        224,
        *CNN,
        Training(epochs=16, batch_size=32, learning_rate=3e-3, crop=16),
        ("badnets", "blend", "wanet-large"),
    ),
    Setting(
        "digits-cnn",
        EMBEDDED,
        32,
        CNN[0],
        {**CNN[1], **FINE},
        Training(epochs=20, batch_size=64, learning_rate=3e-3, crop=2, flip=False),
        ("badnets", "blend"),
    ),
    Setting(
        "cifar10-vit",
        "cifar10",
        32,
        *VIT,
        Training(epochs=10, learning_rate=1e-3, crop=2),
        ("badnets", "blend", "wanet-strong", "sig", "trojan-one", "dynamic-one"),
    ),
)


def is_clean(attack: str) -> bool:
    """Whether a name of the plan is :data:`CLEAN` from any seed."""
    return attack.partition("-")[0] == CLEAN


def clean_seed(attack: str) -> int:
    """The seed of a clean network by its name."""
    return int(attack.partition("-")[2] or 0)


def source(data: str) -> str:
    """What :func:`ngf_hub.data.load_images` takes for a setting's data."""
    return data if data == EMBEDDED else str(shared_folder() / "data" / data)
