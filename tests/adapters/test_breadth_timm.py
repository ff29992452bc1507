"""One model of every family of timm, and every form of head that its families have."""

import pytest
import timm

from ngf_hub.adapters import load_model
from ngf_hub.errors import ModelError

from . import breadth
from .tiny_timm import ARGUMENTS, CLASSES, SIDE, SIDES, smallest, tiny_model

# Module: a word of what is raised. The test shows that it is still so.
EXCEPTIONS = {
    # It adds half the maximum over tokens of a second head, so that which token
    # counts depends on the class and on the weights.
    "volo": "no linear function",
}

# Further forms of head: two that are averaged, attention pooling, hidden layers,
# 1x1 convolutions, no bias, normalised features, registers and prefix tokens.
FORMS = [
    "deit_tiny_distilled_patch16_224",
    "pit_ti_distilled_224",
    "efficientvim_m1_dist",
    "levit_conv_128s",
    "mobilenetv4_conv_small_035",
    "lcnet_050",
    "tf_mobilenetv3_small_minimal_100",
    "test_convnext2",
    "test_convnext3",
    "test_vit2",
    "test_vit3",
    "test_vit4",
    "test_maxvit",
    "ghostnetv3_050",
    "mobileone_s0",
    "resnetv2_50x1_bit",
    "vit_wee_patch16_reg1_gap_256",
    "eva02_tiny_patch14_224",
    "cs3darknet_s",
    "swinv2_cr_tiny_ns_224",
    "caformer_s18",
    "efficientnet_lite0",
]


@pytest.mark.parametrize("module", timm.list_modules())
def test_family(module):
    side = SIDES.get(module, SIDE)
    network = tiny_model(smallest(module), side, **ARGUMENTS.get(module, {}))
    classifier = load_model(network, size=side)
    if module in EXCEPTIONS:
        with pytest.raises(ModelError, match=EXCEPTIONS[module]):
            _ = classifier.head
        assert classifier.layers
        return
    breadth.check(classifier, CLASSES)


@pytest.mark.parametrize("name", FORMS)
def test_form_of_head(name):
    side = 64
    classifier = load_model(tiny_model(name, side), size=side)
    breadth.check(classifier, CLASSES)


def test_no_exception_is_out_of_date():
    assert set(EXCEPTIONS) <= set(timm.list_modules())
