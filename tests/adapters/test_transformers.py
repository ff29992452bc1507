"""The transformers adapter: what it reads and writes is what ``from_pretrained`` does."""

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoImageProcessor, AutoModelForImageClassification

from ngf_hub.adapters import load_model
from ngf_hub.errors import ModelError

from .networks import randomise
from .test_breadth_transformers import processor_of
from .test_processors import photograph
from .tiny_transformers import architectures, side, tiny_model

NAMES = ["ant", "bee", "cat", "dog", "eel"]


def folder_of(folder, kind="vit", name="ViTForImageClassification", *, dtype=None, names=NAMES):
    """A model and its processor as ``save_pretrained`` writes them; returns the model."""
    network = randomise(tiny_model(kind, name))
    if names:
        network.config.id2label = dict(enumerate(names))
        network.config.label2id = {name: i for i, name in enumerate(names)}
    if dtype is not None:
        network.to(dtype)
    network.save_pretrained(folder)
    processor_of(kind, side(kind)).save_pretrained(folder)
    return network


def edit_config(folder, **changes):
    config = json.loads((folder / "config.json").read_text())
    config.update(changes)
    (folder / "config.json").write_text(
        json.dumps({k: v for k, v in config.items() if v is not None})
    )


def edit_weights(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


ROUND_TRIPS = [
    (kind, name)
    for kind, name in architectures()
    if kind
    in (
        "vit",
        "resnet",
        "deit",
        "swin",
        "levit",
        "clip",
        "efficientnet",
        "imagegpt",
        "siglip2",
        "perceiver",
        "convnextv2",
        "mobilevit",
    )
]


@pytest.mark.parametrize(("kind", "name"), ROUND_TRIPS)
def test_round_trip_with_plain_transformers(kind, name, tmp_path):
    theirs = folder_of(tmp_path / "in", kind, name)
    classifier = load_model(tmp_path / "in")
    assert classifier.family == "transformers"
    assert classifier.architecture == name
    assert classifier.class_names == NAMES
    assert classifier.num_classes == len(NAMES)
    image = photograph(70, 70)
    inputs = AutoImageProcessor.from_pretrained(tmp_path / "in")(image, return_tensors="pt")
    pixels = classifier.preprocessing.to_pixels(image)[None].float() / 255
    with torch.no_grad():
        expected = theirs(**inputs).logits
        torch.testing.assert_close(classifier(pixels), expected, atol=1e-4, rtol=1e-4)
    assert expected.std() > 1e-3
    classifier.head.load_matrix(classifier.head.matrix() * 2)
    (tmp_path / "out").mkdir()
    classifier.save(tmp_path / "out")
    assert not [
        p for p in (tmp_path / "out").iterdir() if p.suffix not in (".json", ".safetensors")
    ]
    model_class = getattr(transformers, name)
    plain = model_class.from_pretrained(tmp_path / "out").eval()
    processor = AutoImageProcessor.from_pretrained(tmp_path / "out")
    again = processor(image, return_tensors="pt")
    for key, value in inputs.items():
        assert torch.equal(again[key], value), key
    with torch.no_grad():
        mine = classifier(pixels)
        torch.testing.assert_close(plain(**again).logits, mine, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(load_model(tmp_path / "out")(pixels), mine, atol=0, rtol=0)
    assert not torch.allclose(mine, expected)
    assert list(plain.config.id2label.values()) == NAMES


def test_the_class_that_the_config_names_is_loaded(tmp_path):
    folder_of(tmp_path, "deit", "DeiTForImageClassificationWithTeacher")
    classifier = load_model(tmp_path)
    assert type(classifier.network).__name__ == "DeiTForImageClassificationWithTeacher"
    assert classifier.head.names == ["cls_classifier", "distillation_classifier"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_what_it_was(dtype, tmp_path):
    folder_of(tmp_path / "in", dtype=dtype)
    classifier = load_model(tmp_path / "in")
    assert classifier.storage_dtype is dtype
    assert all(p.dtype is torch.float32 for p in classifier.network.parameters())
    (tmp_path / "out").mkdir()
    classifier.save(tmp_path / "out")
    before, after = (load_file(tmp_path / side / "model.safetensors") for side in ("in", "out"))
    assert before.keys() == after.keys()
    for key, tensor in before.items():
        assert after[key].dtype is dtype
        assert torch.equal(after[key], tensor), key
    plain = AutoModelForImageClassification.from_pretrained(tmp_path / "out")
    assert plain.dtype is dtype
    assert all(p.dtype is torch.float32 for p in classifier.network.parameters())


def test_mixed_precision_is_written_in_the_wider_type(tmp_path):
    folder_of(tmp_path / "in")
    edit_weights(
        tmp_path / "in", lambda t: t.update({"classifier.weight": t["classifier.weight"].half()})
    )
    classifier = load_model(tmp_path / "in")
    assert classifier.storage_dtype is torch.float32
    assert any("float16, float32" in note for note in classifier.source.notes)


def test_shards_are_read(tmp_path):
    theirs = folder_of(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    theirs.save_pretrained(tmp_path, max_shard_size="20KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    classifier = load_model(tmp_path)
    assert len(classifier.source.files) > 1
    x = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(classifier.network_logits(x), theirs(x).logits)
    next(tmp_path.glob("model-00002*")).unlink()
    with pytest.raises(ModelError, match="model-00002"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    "names", [None, [f"LABEL_{i}" for i in range(5)], [str(i) for i in range(5)]]
)
def test_generic_names_are_none(names, tmp_path):
    folder_of(tmp_path, names=names)
    assert load_model(tmp_path).class_names is None


def test_given_names_are_saved(tmp_path):
    folder_of(tmp_path / "in", names=None)
    classifier = load_model(tmp_path / "in", class_names=NAMES)
    (tmp_path / "out").mkdir()
    classifier.save(tmp_path / "out")
    plain = AutoModelForImageClassification.from_pretrained(tmp_path / "out")
    assert plain.config.id2label == dict(enumerate(NAMES))
    assert plain.config.label2id["eel"] == 4


def test_a_model_object_with_its_processor(tmp_path):
    network = randomise(tiny_model("vit", "ViTForImageClassification"))
    classifier = load_model(network, processor=processor_of("vit", 32))
    assert classifier.network is network
    classifier.save(tmp_path)
    again = load_model(tmp_path)
    pixels = classifier.example_pixels(2)
    with torch.no_grad():
        assert torch.equal(again(pixels), classifier(pixels))


def test_a_model_object_finds_the_processor_of_where_it_came_from(tmp_path):
    folder_of(tmp_path)
    network = AutoModelForImageClassification.from_pretrained(tmp_path)
    classifier = load_model(network)
    assert classifier.preprocessing.config["mean"] == [0.4] * 3
    assert classifier.source.name == str(tmp_path)


def test_a_model_object_that_says_nothing_needs_options():
    network = tiny_model("vit", "ViTForImageClassification")
    with pytest.raises(ModelError, match="prepare images") as caught:
        load_model(network)
    assert "processor" in caught.value.hint
    classifier = load_model(network, size=32, mean=[0.1, 0.2, 0.3], std=0.5)
    assert classifier.preprocessing.config["mean"] == [0.1, 0.2, 0.3]


def test_options_override_and_are_saved(tmp_path):
    folder_of(tmp_path / "in")
    classifier = load_model(tmp_path / "in", mean=0.2)
    assert classifier.preprocessing.config["mean"] == [0.2] * 3
    assert classifier.preprocessing.config["std"] == [0.25] * 3
    assert classifier.preprocessing.size == (32, 32)
    (tmp_path / "out").mkdir()
    classifier.save(tmp_path / "out")
    assert load_model(tmp_path / "out").preprocessing.config["mean"] == [0.2] * 3


def test_without_a_processor_the_options_say_how(tmp_path):
    folder_of(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match=r"preprocessor_config\.json") as caught:
        load_model(tmp_path)
    assert "size, mean and std" in caught.value.hint
    assert load_model(tmp_path, size=32, mean=0.5, std=0.5).preprocessing.size == (32, 32)


def test_tensors_that_are_not_used_are_noted(tmp_path):
    folder_of(tmp_path)
    edit_weights(tmp_path, lambda t: t.update({"vit.pooler.dense.weight": torch.zeros(2)}))
    assert "1 tensors" in load_model(tmp_path).source.notes[0]


REFUSED = {
    "a masked language model": (
        {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
        "no image classifier: its config names BertForMaskedLM",
    ),
    "a backbone": ({"architectures": ["ViTModel"]}, "names ViTModel"),
    "another task of the same family": (
        {"architectures": ["ViTForMaskedImageModeling"]},
        "names ViTForMaskedImageModeling",
    ),
    "a detector": ({"model_type": "detr", "architectures": None}, "names detr"),
    "an unknown type": ({"model_type": "vit9000"}, "vit9000"),
    "several labels at once": ({"problem_type": "multi_label_classification"}, "several labels"),
    "quantised": ({"quantization_config": {"quant_method": "bitsandbytes"}}, "quantised"),
    "kernels of others": ({"_attn_implementation": "org/kernel"}, "kernels"),
    "own code": (
        {
            "model_type": "own",
            "architectures": ["OwnForImageClassification"],
            "auto_map": {"AutoModelForImageClassification": "modeling_own.Own"},
        },
        "own code",
    ),
    "own code for something else": (
        {
            "model_type": "own",
            "architectures": ["OwnForChess"],
            "auto_map": {"AutoModel": "modeling_own.Own"},
        },
        "OwnForChess",
    ),
    "a language model that answers": (
        {"model_type": "shieldgemma2", "architectures": ["ShieldGemma2ForImageClassification"]},
        "written policy",
    ),
    "nonsense": ({"hidden_size": "many"}, "not make sense"),
    "a size that is not the model's": ({"image_size": 48}, "embeddings"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_configs_that_are_refused(case, tmp_path):
    changes, words = REFUSED[case]
    folder_of(tmp_path)
    edit_config(tmp_path, **changes)
    with pytest.raises(ModelError, match=words) as caught:
        load_model(tmp_path)
    assert "\n" not in str(caught.value)


def test_one_class_is_refused(tmp_path):
    network = tiny_model("vit", "ViTForImageClassification", classes=1)
    with pytest.raises(ModelError, match="one class"):
        load_model(network, size=32)


def test_a_backbone_without_a_head_is_refused(tmp_path):
    folder_of(tmp_path)

    def drop(tensors):
        del tensors["classifier.weight"], tensors["classifier.bias"]

    edit_weights(tmp_path, drop)
    with pytest.raises(ModelError, match=r"classifier\.bias and 1 more") as caught:
        load_model(tmp_path)
    assert "backbone" in caught.value.hint


def test_a_missing_inner_layer_is_no_backbone(tmp_path):
    folder_of(tmp_path)
    key = next(
        k for k in load_file(tmp_path / "model.safetensors") if "layernorm_after.weight" in k
    )
    edit_weights(tmp_path, lambda t: t.pop(key))
    with pytest.raises(ModelError, match="holds no weights") as caught:
        load_model(tmp_path)
    assert "backbone" not in caught.value.hint


def test_a_head_of_other_classes_is_refused(tmp_path):
    folder_of(tmp_path)
    edit_weights(tmp_path, lambda t: t.update({"classifier.weight": torch.zeros(9, 24)}))
    with pytest.raises(ModelError, match=r"\(9, 24\).*\(5, 24\)"):
        load_model(tmp_path)


CODE = """
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput

class OwnConfig(PreTrainedConfig):
    model_type = "own"

class Own(PreTrainedModel):
    config_class = OwnConfig
    def __init__(self, config):
        super().__init__(config)
        self.fc = nn.Linear(3, config.num_labels)
        self.post_init()
    def forward(self, pixel_values):
        return ImageClassifierOutput(logits=self.fc(pixel_values.mean((2, 3))))
"""


def test_own_code_runs_only_if_trusted(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = tmp_path / "own_model"
    folder.mkdir()
    (folder / "modeling_own.py").write_text(CODE)
    auto = {"AutoConfig": "modeling_own.OwnConfig"}
    auto["AutoModelForImageClassification"] = "modeling_own.Own"
    labels = {str(i): name for i, name in enumerate(NAMES)}
    config = {"model_type": "own", "architectures": ["Own"], "auto_map": auto, "id2label": labels}
    (folder / "config.json").write_text(json.dumps(config))
    weight = torch.randn(5, 3)
    save_file(
        {"fc.weight": weight, "fc.bias": torch.zeros(5)},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    processor_of("vit", 16).save_pretrained(folder)
    with pytest.raises(ModelError, match="own code") as caught:
        load_model(folder)
    assert "--trust-remote-code" in caught.value.hint
    classifier = load_model(folder, trust_remote_code=True)
    assert classifier.class_names == NAMES
    assert torch.equal(classifier.head.matrix()[:, :3], weight)
