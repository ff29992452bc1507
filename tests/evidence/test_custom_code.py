"""Code that configs name."""

import json

import pytest

from ngf_hub.evidence.custom_code import CONFIGS, inspect_config

NAMES = {"config.json", "modeling_x.py", "sub/code.py", "a/b.py", "unet/my_unet.py"}


def reasons(config, name="config.json"):
    found = inspect_config(name, json.dumps(config).encode(), NAMES)
    assert all((f.file, f.severity) == (name, "unusual") for f in found)
    return [finding.reason for finding in found]


def test_configs_of_libraries_name_no_code():
    vit = {"architectures": ["ViTForImageClassification"], "model_type": "vit", "num_labels": 3}
    assert reasons(vit) == []
    assert reasons({"architecture": "resnet18", "pretrained_cfg": {"custom_load": False}}) == []
    assert (
        reasons({"unet": ["diffusers", "UNet2DModel"], "_class_name": "P"}, "model_index.json")
        == []
    )
    kinds = [{"type": "sentence_transformers.models.Pooling"}]
    assert reasons(kinds, "modules.json") == []
    assert reasons({"auto_mapping": {"parent_library": "transformers.models.vit"}}) == []
    assert reasons([1, 2]) == []


@pytest.mark.parametrize(
    ("auto_map", "told"),
    [
        ({"AutoModel": "modeling_x.XModel"}, "code of its own (modeling_x.XModel)"),
        ("modeling_x.XModel", "code of its own (modeling_x.XModel)"),
        ({"AutoTokenizer": ["modeling_x.Slow", None]}, "code of its own (modeling_x.Slow)"),
        ({"AutoModel": "a.b.C"}, "code of its own (a.b.C)"),
        ({"AutoModel": "gone.XModel"}, "code that is not there (gone.XModel)"),
        (
            {"AutoModel": "them/theirs--modeling_x.X"},
            "code of another repository (them/theirs--mod",
        ),
    ],
)
@pytest.mark.parametrize(
    "name", ["config.json", "preprocessor_config.json", "tokenizer_config.json"]
)
def test_auto_map(auto_map, told, name):
    (reason,) = reasons({"auto_map": auto_map}, name)
    assert told in reason
    (nested,) = reasons({"vision_config": {"auto_map": auto_map}}, name)
    assert nested == reason


def test_code_beside_a_config_in_a_folder():
    assert "of its own" in reasons({"auto_map": "code.X"}, "sub/config.json")[0]


def test_other_ways_to_code():
    pipelines = {"custom_pipelines": {"mine": {"impl": "modeling_x.Pipe", "pt": ["AutoModel"]}}}
    assert "custom_pipelines names code of its own" in reasons(pipelines)[0]
    assert "compiled kernels of org/kernel" in reasons({"attn_implementation": "org/kernel"})[0]
    assert (
        "import evil"
        in reasons({"auto_mapping": {"parent_library": "evil"}}, "adapter_config.json")[0]
    )
    assert "modules.json names code" in reasons([{"type": "mine.Pooling"}], "modules.json")[0]
    assert (
        "model_index.json names code"
        in reasons({"unet": ["my_unet", "U"]}, "unet/model_index.json")[0]
    )
    assert "trust_remote_code" in reasons({"trust_remote_code": True})[0]


def test_hostile_configs_are_survived():
    for text in (
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"auto_map": 3}',
        b'{"auto_map": {"a": {}}}',
    ):
        found = inspect_config("config.json", text, NAMES)
        assert all(finding.severity == "unusual" for finding in found)
    escape = reasons({"auto_map": "\x1b[31mred\n.X"})
    assert all(reason.isprintable() for reason in escape)


def test_which_files_are_configs():
    yes = (
        "config.json",
        "preprocessor_config.json",
        "vae/config.json",
        "model_index.json",
        "modules.json",
    )
    no = ("tokenizer.json", "a/b/config.json", "config.json.bak", "vocab.json", "config.yaml")
    assert all(CONFIGS.fullmatch(name) for name in yes)
    assert not any(CONFIGS.fullmatch(name) for name in no)
