"""The timm adapter: what it reads and writes is what plain timm reads and writes."""

import json
import pickle

import pytest
import timm
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ngf_hub.adapters import load_model
from ngf_hub.errors import ModelError

from .networks import randomise
from .test_processors import photograph

NAMES = ["ant", "bee", "cat", "dog"]


def timm_folder(folder, name="test_resnet", *, config=None, dtype=None, **arguments):
    """A model as ``timm.models.push_to_hf_hub`` would upload it; returns the model."""
    network = randomise(timm.create_model(name, **{"num_classes": 4, **arguments}))
    if dtype is not None:
        network.to(dtype)
    timm.models.save_for_hf(
        network, str(folder), model_config=config or {"label_names": NAMES}, safe_serialization=True
    )
    return network


def inputs(network, count=3):
    size = timm.data.resolve_model_data_config(network)["input_size"]
    return torch.rand(count, *size, generator=torch.Generator().manual_seed(1))


MODELS = {
    "test_resnet": {},
    "test_vit": {"img_size": 96},
    "test_convnext": {"in_chans": 1},
    "test_efficientnet": {"global_pool": "max"},
    "levit_128s": {},
    "dpn48b": {},
}


@pytest.mark.parametrize("name", MODELS)
def test_round_trip_with_plain_timm(name, tmp_path):
    theirs = timm_folder(tmp_path / "in", name, **MODELS[name])
    classifier = load_model(tmp_path / "in")
    assert classifier.family == "timm"
    assert classifier.architecture == name
    assert classifier.class_names == NAMES
    assert classifier.num_classes == 4
    assert list(classifier.source.files) == ["model.safetensors"]
    x = classifier.normalise(classifier.example_pixels(3))
    assert x.shape[1] == MODELS[name].get("in_chans", 3)
    with torch.no_grad():
        assert torch.equal(classifier.network_logits(x), theirs(x))
    classifier.head.load_matrix(classifier.head.matrix() * 2)
    (tmp_path / "out").mkdir()
    classifier.save(tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    plain = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    with torch.no_grad():
        assert torch.equal(plain(x), classifier.network_logits(x))
        assert not torch.equal(plain(x), theirs(x))
    before, after = (
        timm.data.resolve_model_data_config(model) for model in (classifier.network, plain)
    )
    assert before == after
    assert list(plain.pretrained_cfg["label_names"]) == NAMES
    again = load_model(tmp_path / "out")
    assert again.class_names == NAMES
    assert again.preprocessing.config == classifier.preprocessing.config


@pytest.mark.parametrize(
    ("name", "arguments", "size"),
    [
        ("test_resnet", {"in_chans": 1}, (160, 160)),
        ("deit_tiny_patch16_224", {"img_size": 64, "depth": 2}, (64, 64)),
    ],
)
def test_a_model_object_is_saved_like_a_repository(name, arguments, size, tmp_path):
    network = randomise(timm.create_model(name, num_classes=3, **arguments))
    classifier = load_model(network, class_names=["x", "y", "z"])
    assert classifier.network is network
    assert classifier.preprocessing.channels == arguments.get("in_chans", 3)
    assert classifier.preprocessing.size == size
    classifier.save(tmp_path)
    plain = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    x = classifier.normalise(classifier.example_pixels(2))
    with torch.no_grad():
        assert torch.equal(plain(x), network(x))
    assert load_model(tmp_path).class_names == ["x", "y", "z"]


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize(("channels", "mode"), [(3, "RGB"), (3, "RGBA"), (1, "L"), (3, "P")])
def test_pixels_and_normalisation_are_timms(crop_mode, channels, mode):
    values = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}
    if channels == 1:
        values = {"mean": (0.4,), "std": (0.3,)}
    overlay = {"crop_mode": crop_mode, "crop_pct": 0.8, "interpolation": "bilinear", **values}
    network = timm.create_model("test_resnet", in_chans=channels, pretrained_cfg_overlay=overlay)
    classifier = load_model(network)
    image = photograph(230, 170, mode)
    data = timm.data.resolve_model_data_config(network) | {"input_size": (channels, 160, 160)}
    converted = image.convert("L" if channels == 1 else "RGB")
    theirs = timm.data.create_transform(**data, is_training=False)(converted)
    pixels = classifier.preprocessing.to_pixels(image)
    assert pixels.dtype is torch.uint8
    mine = classifier.normalise(pixels[None].float() / 255)[0]
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
    shown = classifier.preprocessing.config
    assert shown["crop_mode"] == crop_mode
    assert shown["mean"] == list(values["mean"])
    json.dumps(shown, allow_nan=False)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_what_it_was(dtype, tmp_path):
    timm_folder(tmp_path / "in", dtype=dtype)
    classifier = load_model(tmp_path / "in")
    assert classifier.storage_dtype is dtype
    assert all(p.dtype is torch.float32 for p in classifier.network.parameters())
    (tmp_path / "out").mkdir()
    classifier.save(tmp_path / "out")
    before = load_file(tmp_path / "in" / "model.safetensors")
    after = load_file(tmp_path / "out" / "model.safetensors")
    assert before.keys() == after.keys()
    for key, tensor in before.items():
        assert after[key].dtype is tensor.dtype, key
        assert torch.equal(after[key], tensor), key


def test_what_is_measured_is_what_is_stored(tmp_path):
    timm_folder(tmp_path / "in", dtype=torch.float16)
    classifier = load_model(tmp_path / "in")
    with torch.no_grad():
        for tensor in (*classifier.network.parameters(), classifier.network.bn1.running_mean):
            tensor.add_(torch.randn(tensor.shape) * 0.01)
    classifier.round_to_storage()
    (tmp_path / "out").mkdir()
    classifier.save(tmp_path / "out")
    pixels = classifier.example_pixels(2)
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path / "out")(pixels), classifier(pixels))


def test_options_override_and_are_saved(tmp_path):
    timm_folder(tmp_path / "in")
    classifier = load_model(tmp_path / "in", size=(48, 64), mean=0.1, std=[0.2, 0.3, 0.4])
    assert classifier.preprocessing.size == (48, 64)
    assert classifier.preprocessing.to_pixels(photograph(100, 90)).shape == (3, 48, 64)
    (tmp_path / "out").mkdir()
    classifier.save(tmp_path / "out")
    plain = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True)
    data = timm.data.resolve_model_data_config(plain)
    assert tuple(data["input_size"]) == (3, 48, 64)
    assert list(data["mean"]) == [0.1] * 3
    assert list(data["std"]) == [0.2, 0.3, 0.4]


def test_a_built_in_size_is_overridden_in_the_network(tmp_path):
    timm_folder(tmp_path / "in", "test_vit")
    classifier = load_model(tmp_path / "in", size=64)
    assert classifier.network.patch_embed.img_size == (64, 64)
    (tmp_path / "out").mkdir()
    classifier.save(tmp_path / "out")
    plain = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(plain(x), classifier.network_logits(x))


def test_transformers_wrapper_of_timm_is_timms(tmp_path):
    from transformers import TimmWrapperConfig, TimmWrapperForImageClassification

    torch.manual_seed(0)
    config = TimmWrapperConfig.from_dict(
        {"architecture": "test_resnet", "num_classes": 4, "label_names": NAMES}
    )
    wrapped = TimmWrapperForImageClassification(config).eval()
    wrapped.save_pretrained(tmp_path / "in")
    classifier = load_model(tmp_path / "in")
    assert classifier.family == "timm"
    assert classifier.class_names == NAMES
    x = torch.rand(2, 3, 160, 160)
    with torch.no_grad():
        assert torch.equal(classifier.network_logits(x), wrapped(x).logits)
    (tmp_path / "out").mkdir()
    classifier.save(tmp_path / "out")
    again = TimmWrapperForImageClassification.from_pretrained(tmp_path / "out").eval()
    with torch.no_grad():
        assert torch.equal(again(x).logits, wrapped(x).logits)


def test_config_of_before_2023(tmp_path):
    network = timm_folder(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    old = {**config["pretrained_cfg"], "architecture": "test_resnet", "labels": NAMES}
    (tmp_path / "config.json").write_text(json.dumps(old))
    classifier = load_model(tmp_path)
    assert classifier.class_names == NAMES
    x = inputs(network)
    with torch.no_grad():
        assert torch.equal(classifier.network_logits(x), network(x))


def test_a_label_offset_is_applied_once(tmp_path):
    network = timm_folder(tmp_path / "in")
    path = tmp_path / "in" / "model.safetensors"
    tensors = load_file(path)
    for key in ("fc.weight", "fc.bias"):
        tensors[key] = torch.cat([torch.zeros_like(tensors[key][:1]), tensors[key]])
    save_file(tensors, path)
    config = json.loads((tmp_path / "in" / "config.json").read_text())
    config["pretrained_cfg"] |= {"label_offset": 1, "classifier": "fc"}
    (tmp_path / "in" / "config.json").write_text(json.dumps(config))
    classifier = load_model(tmp_path / "in")
    (tmp_path / "out").mkdir()
    classifier.save(tmp_path / "out")
    plain = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    x = inputs(network)
    with torch.no_grad():
        assert torch.equal(plain(x), network(x))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (NAMES, NAMES),
        ({"0": "a", "1": "b", "2": "c", "3": "d"}, ["a", "b", "c", "d"]),
        ({"0": "a", "3": "d"}, None),
        (["only", "two"], None),
        ([f"LABEL_{i}" for i in range(4)], None),
    ],
)
def test_class_names(names, expected, tmp_path):
    timm_folder(tmp_path, config={"label_names": names})
    assert load_model(tmp_path).class_names == expected


def test_saved_weights_are_safetensors_of_pytorch(tmp_path):
    load_model(timm.create_model("test_vit", num_classes=3)).save(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_feature_extractor_has_no_classes(tmp_path):
    timm_folder(tmp_path, num_classes=0, config={"num_features": 8})
    with pytest.raises(ModelError, match="feature extractor"):
        load_model(tmp_path)
    with pytest.raises(ModelError, match="feature extractor"):
        load_model(timm.create_model("test_resnet", num_classes=0))


def test_an_unknown_architecture(tmp_path):
    timm_folder(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architecture": "resnet9000"}))
    with pytest.raises(ModelError, match="resnet9000") as caught:
        load_model(tmp_path)
    assert caught.value.hint == "Upgrade timm."


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda t: t.pop("layer1.0.conv1.weight"), "layer1.0.conv1.weight"),
        (lambda t: t.update({"fc.weight": torch.zeros(9, 96)}), "fc.weight"),
        (lambda t: t.update(extra=torch.zeros(2)), "extra"),
    ],
)
def test_weights_that_do_not_fit(change, word, tmp_path):
    timm_folder(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    change(tensors)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=word) as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["test_resnet", "dla46x_c"])
def test_a_missing_head_is_seen_also_where_timm_is_lenient(name, tmp_path):
    timm_folder(tmp_path, name)
    tensors = load_file(tmp_path / "model.safetensors")
    head = {k: v for k, v in tensors.items() if k.startswith("fc.")}
    assert head
    save_file({k: v for k, v in tensors.items() if k not in head}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"fc"):
        load_model(tmp_path)


def test_a_config_cannot_make_timm_read_other_files(tmp_path):
    timm_folder(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["model_args"] |= {"checkpoint_path": "/nowhere/evil.pth", "pretrained": True}
    config["pretrained_cfg"] |= {"url": "http://127.0.0.1:9/x.pth", "file": "/nowhere/evil.pth"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_model(tmp_path).class_names == NAMES


def change_pretrained_cfg(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"] |= changes
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    "change", [{"mean": "grey"}, {"input_size": 224}, {"interpolation": "guessed"}]
)
def test_a_config_that_makes_no_sense(change, tmp_path):
    timm_folder(tmp_path)
    change_pretrained_cfg(tmp_path, **change)
    with pytest.raises(ModelError, match=r"config|pretrained_cfg") as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_mean_for_other_channels_is_averaged_as_timm_does(tmp_path):
    timm_folder(tmp_path)
    change_pretrained_cfg(tmp_path, std=[0.1, 0.3])
    assert load_model(tmp_path).preprocessing.config["std"] == pytest.approx([0.2] * 3)


def test_the_pixel_half_can_be_sent_to_another_process():
    preprocessing = load_model(timm.create_model("test_resnet")).preprocessing
    to_pixels = pickle.loads(pickle.dumps(preprocessing.to_pixels))
    image = photograph(200, 180)
    assert torch.equal(to_pixels(image), preprocessing.to_pixels(image))


def test_images_of_five_channels_are_refused():
    with pytest.raises(ModelError, match="5 channels"):
        load_model(timm.create_model("test_resnet", in_chans=5))


def test_an_image_of_any_mode_becomes_pixels():
    classifier = load_model(timm.create_model("test_resnet"))
    for mode in ("1", "L", "P", "RGBA", "CMYK", "LA", "I;16"):
        pixels = classifier.preprocessing.to_pixels(Image.new(mode, (50, 40)))
        assert pixels.shape == (3, 160, 160)
