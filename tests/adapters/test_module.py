"""Any module: the preprocessing that its user states, and its saved form."""

import json
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from ngf_hub.adapters import ModuleClassifier, load_model
from ngf_hub.errors import ModelError

from .networks import Function, Mean, randomise, trunk
from .test_processors import photograph


@pytest.fixture
def network():
    return randomise(nn.Sequential(trunk(), nn.BatchNorm2d(6), Mean(2, 3), nn.Linear(6, 4)))


def test_pixels_go_in_and_normalisation_is_inside(network):
    classifier = load_model(network, size=(8, 12), mean=[0.1, 0.2, 0.3], std=0.5)
    assert isinstance(classifier, ModuleClassifier)
    assert classifier.network is network
    assert not network.training
    pixels = torch.rand(2, 3, 8, 12)
    mean = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(classifier(pixels), network((pixels - mean) / 0.5))
    assert classifier.num_classes == 4
    assert classifier.architecture == "Sequential"
    assert classifier.example_pixels(3).shape == (3, 3, 8, 12)
    assert torch.equal(classifier.example_pixels(3), classifier.example_pixels(3))


def test_without_mean_and_std_pixels_are_taken_as_they_are(network):
    pixels = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(load_model(network, size=8)(pixels), network(pixels))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "1", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_mode_and_size(mode, channels):
    network = nn.Sequential(nn.Conv2d(channels, 4, 3), Mean(2, 3))
    preprocessing = load_model(network, size=(16, 20)).preprocessing
    assert preprocessing.channels == channels
    image = photograph(50, 40).convert(mode)
    pixels = preprocessing.to_pixels(image)
    assert pixels.dtype is torch.uint8
    assert pixels.shape == (channels, 16, 20)
    assert pixels.float().std() > 5


def test_an_image_of_the_right_size_is_not_resampled(network):
    preprocessing = load_model(network, size=(30, 40)).preprocessing
    image = photograph(40, 30)
    expected = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(30, 40, 3)
    assert torch.equal(preprocessing.to_pixels(image), expected.permute(2, 0, 1))


def test_saved_form(network, tmp_path):
    classifier = load_model(network, size=8, mean=0.5, std=0.25, class_names=["a", "b", "c", "é"])
    classifier.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    twin = nn.Sequential(trunk(), nn.BatchNorm2d(6), Mean(2, 3), nn.Linear(6, 4)).eval()
    twin.load_state_dict(load_file(tmp_path / "model.safetensors"))
    x = torch.rand(2, 3, 8, 8)
    with torch.no_grad():
        assert torch.equal(twin(x), network(x))
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert config["class_names"] == ["a", "b", "c", "é"]
    assert config["preprocessing"]["mean"] == [0.5] * 3
    with pytest.raises(ModelError, match="weights of a Sequential") as caught:
        load_model(tmp_path)
    assert "pass the object" in caught.value.hint


def test_shared_weights_are_saved_under_both_names(tmp_path):
    network = Function(lambda s, x: s.b(s.a(x.mean((2, 3)))), a=nn.Linear(3, 3), b=nn.Linear(3, 3))
    network.b.weight = network.a.weight
    load_model(network, size=4).save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    assert set(tensors) == {"a.weight", "a.bias", "b.weight", "b.bias"}
    assert torch.equal(tensors["a.weight"], tensors["b.weight"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_storage_type(network, dtype, tmp_path):
    classifier = load_model(network.to(dtype), size=8)
    assert classifier(torch.rand(1, 3, 8, 8)).dtype is torch.float32
    classifier.save(tmp_path)
    expected = torch.float32 if dtype is torch.float64 else dtype
    tensors = load_file(tmp_path / "model.safetensors")
    assert {t.dtype for t in tensors.values() if t.is_floating_point()} == {expected}
    assert tensors["1.num_batches_tracked"].dtype is torch.int64


@pytest.mark.parametrize(
    "run",
    [
        lambda s, x: {"logits": s.fc(x.mean((2, 3))), "other": 1},
        lambda s, x: [s.fc(x.mean((2, 3))), None],
        lambda s, x: SimpleNamespace(other=1, logits=s.fc(x.mean((2, 3)))),
    ],
)
def test_forms_of_output(run):
    classifier = load_model(Function(run, fc=nn.Linear(3, 2)), size=4)
    assert classifier(torch.rand(2, 3, 4, 4)).shape == (2, 2)


def test_a_classifier_passes_through(network):
    classifier = load_model(network, size=8)
    assert load_model(classifier) is classifier


REFUSED = {
    "no size": ({}, "size of its input"),
    "an odd size": ({"size": (8, 8, 8)}, "no image size"),
    "no size at all": ({"size": 0}, "no image size"),
    "means for other channels": ({"size": 8, "mean": [0.5, 0.5]}, "2 values for 3 channels"),
    "names for other classes": ({"size": 8, "class_names": ["a"]}, "1 class names for the 4"),
    "a size that it cannot take": ({"size": 8, "channels": 1}, "cannot take images of 8 x 8"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_options_that_do_not_fit(case, network):
    options, words = REFUSED[case]
    with pytest.raises(ModelError, match=words) as caught:
        load_model(network, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (lambda s, x: x, r"outputs of shape \(1, 3, 4, 4\)"),
        (lambda s, x: s.fc(x.mean((2, 3)))[:, :1], "one class"),
        (lambda s, x: "logits", "returns a str"),
        (lambda s, x: s.fc(x.mean((2, 3))) / 0, "NaN or infinite logits"),
    ],
)
def test_what_is_no_classifier(run, words):
    with pytest.raises(ModelError, match=words):
        load_model(Function(run, fc=nn.Linear(3, 2)), size=4)


def test_nan_in_a_module_is_named(network):
    with torch.no_grad():
        network[3].weight[1, 2] = float("nan")
    with pytest.raises(ModelError, match=r"1 of 24 values of 3\.weight"):
        load_model(network, size=8)


def test_transparent_images_have_three_channels(network):
    pixels = load_model(network, size=4).preprocessing.to_pixels(Image.new("RGBA", (4, 4), "red"))
    assert pixels[:, 0, 0].tolist() == [255, 0, 0]
