import pytest
import torch

from ngf_hub.data import PixelSet
from ngf_hub.devices import make_accelerator
from ngf_hub.recovery.pool import make_pools
from ngf_hub.recovery.search import Setting
from tests.recovery.networks import classifier, images


@pytest.fixture
def make_setting():
    def make(network, seed=0, batch_size=128):
        model = classifier(network)
        model.requires_grad_(False)
        pool, judging = make_pools(model, PixelSet(images()), batch_size=32, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        return Setting(model, pool, make_accelerator("cpu"), batch_size, generator), judging

    return make
