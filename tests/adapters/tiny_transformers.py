"""A tiny random model of every architecture that transformers maps to image classification.

``CONFIGS`` holds, by model type, what makes its config small; an image of
``SIDE`` pixels is enough for all but those of ``SIDES``.
"""

from __future__ import annotations

import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

CLASSES = 5
SIDE = 32
SIDES = {"efficientnet": 64, "textnet": 64, "swiftformer": 64, "pp_lcnet": 64}

_VIT = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": SIDE,
    "patch_size": 8,
}
_TEXT = {
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "vocab_size": 20,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}
_CLIP = {"vision_config": _VIT, "text_config": _TEXT}
_SWIN = {
    "image_size": SIDE,
    "embed_dim": 8,
    "depths": [1, 1],
    "num_heads": [1, 2],
    "window_size": 4,
}
_STAGES = {"hidden_sizes": [8, 16], "depths": [1, 1]}
_PYRAMID = {
    "hidden_sizes": [8, 8, 16, 16],
    "depths": [1, 1, 1, 1],
    "num_attention_heads": [1, 1, 2, 2],
}

CONFIGS: dict[str, dict[str, object]] = {
    "beit": _VIT,
    "bit": {**_STAGES, "embedding_size": 8, "num_groups": 4},
    "clip": _CLIP,
    "convnext": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]},
    "convnextv2": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]},
    "cvt": {"embed_dim": [8, 16, 16], "num_heads": [1, 2, 2], "depth": [1, 2, 3]},
    "data2vec-vision": _VIT,
    "deit": _VIT,
    "dinat": {},
    "dinov2": _VIT,
    "dinov2_with_registers": _VIT,
    "donut-swin": _SWIN,
    "efficientnet": {
        "width_coefficient": 0.25,
        "depth_coefficient": 0.3,
        "image_size": 64,
        "hidden_dim": 320,
    },
    "focalnet": {
        "image_size": SIDE,
        "embed_dim": 8,
        "hidden_sizes": [8, 16],
        "depths": [1, 1],
        "focal_levels": [1, 1],
        "focal_windows": [3, 3],
    },
    "hgnet_v2": {
        "embedding_size": 8,
        "hidden_sizes": [8, 8, 16, 16],
        "depths": [1, 1, 1, 1],
        "stem_channels": [3, 8, 8],
        "stage_in_channels": [8, 8, 8, 16],
        "stage_mid_channels": [8, 8, 8, 8],
        "stage_out_channels": [8, 8, 16, 16],
        "stage_num_blocks": [1, 1, 1, 1],
        "stage_numb_of_layers": [2, 2, 2, 2],
    },
    "hiera": {
        "image_size": [SIDE, SIDE],
        "embed_dim": 8,
        "depths": [1, 1, 1, 1],
        "num_heads": [1, 1, 2, 2],
        "masked_unit_size": [8, 8],
    },
    "ijepa": _VIT,
    "imagegpt": {"vocab_size": 17, "n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2},
    "levit": {
        "image_size": 64,
        "hidden_sizes": [16, 24, 32],
        "num_attention_heads": [1, 2, 2],
        "depths": [1, 1, 1],
        "key_dim": [8, 8, 8],
    },
    "metaclip_2": _CLIP,
    "mobilenet_v1": {"depth_multiplier": 0.1, "image_size": SIDE},
    "mobilenet_v2": {"depth_multiplier": 0.1, "image_size": SIDE},
    "mobilevit": {
        "hidden_sizes": [8, 8, 16],
        "neck_hidden_sizes": [8, 8, 8, 8, 16, 16, 32],
        "num_attention_heads": 2,
        "image_size": 64,
    },
    "mobilevitv2": {"width_multiplier": 0.25, "n_attn_blocks": [1, 1, 1], "image_size": 64},
    "perceiver": {
        "num_latents": 4,
        "d_latents": 16,
        "num_self_attends_per_block": 1,
        "num_self_attention_heads": 2,
        "num_cross_attention_heads": 1,
        "image_size": SIDE,
    },
    "poolformer": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]},
    "pp_lcnet": {"scale": 0.25, "class_expand": 32},
    "pvt": {**_PYRAMID, "image_size": SIDE},
    "pvt_v2": {**_PYRAMID, "image_size": [SIDE, SIDE]},
    "regnet": {**_STAGES, "embedding_size": 8, "groups_width": 4},
    "resnet": {**_STAGES, "embedding_size": 8},
    "segformer": _PYRAMID,
    "siglip": _CLIP,
    "siglip2": {"vision_config": {**_VIT, "num_patches": 16}, "text_config": _TEXT},
    "swiftformer": {"depths": [1, 1, 1, 1], "embed_dims": [8, 16, 16, 24]},
    "swin": _SWIN,
    "swinv2": _SWIN,
    "textnet": {"hidden_sizes": [8, 8, 8, 16, 16], "stem_out_channels": 8},
    "timm_wrapper": {"architecture": "test_resnet"},
    "vit": _VIT,
    "vit_msn": _VIT,
}


def architectures() -> list[tuple[str, str]]:
    """Model type and class name of everything that is mapped to image classification."""
    found = []
    for kind, names in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES.items():
        names = (names,) if isinstance(names, str) else names
        found += [(kind, name) for name in names]
    return found


def tiny_model(kind: str, name: str, classes: int = CLASSES) -> torch.nn.Module:
    """A random model; a type that is not in ``CONFIGS`` is made like a ViT."""
    torch.manual_seed(0)
    config_class = type(transformers.CONFIG_MAPPING[kind]())
    config = config_class(**CONFIGS.get(kind, _VIT), num_labels=classes)
    return getattr(transformers, name)(config).eval()


def side(kind: str) -> int:
    """The side of the images that a tiny model of this type takes."""
    if kind in ("levit", "mobilevit", "mobilevitv2"):
        return 64
    return 8 if kind == "imagegpt" else SIDES.get(kind, SIDE)
