"""Configs that ask for files elsewhere, for code, or for more than there is memory."""

from __future__ import annotations

import json
import pickle

import pytest

from ngf_hub.adapters import load_model

from .bounded import attempt, command
from .test_pickles import Runs

pytestmark = pytest.mark.filterwarnings("ignore")
CODE = "from pathlib import Path\nPath({mark!r}).touch()\n"


def edited(folder, name="config.json", **changes):
    """The folder with some entries of a config set; those of pretrained_cfg are merged."""
    config = json.loads((folder / name).read_text())
    config.setdefault("pretrained_cfg", {}).update(changes.pop("pretrained_cfg", {}))
    (folder / name).write_text(json.dumps({**config, **changes}))
    return folder


def sharded(folder, names):
    """The folder with an index that names these files."""
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    index = {"metadata": {}, "weight_map": {f"w{n}": name for n, name in enumerate(names)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


OUTSIDE = [
    "../secret.safetensors",
    "../../etc/passwd",
    "/etc/passwd",
    "a/../../x.safetensors",
    "..\\secret.safetensors",
    "~/x",
    "file:///etc/passwd",
    "https://127.0.0.1:9/x",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_an_index_names_files_elsewhere(name, copy, tmp_path):
    folder = sharded(copy("timm"), [name])
    (tmp_path / "secret.safetensors").write_bytes((folder / "other.safetensors").read_bytes())
    attempt(lambda: load_model(folder), tmp_path).refused("missing")


@pytest.mark.parametrize("names", [[["x"]], [1, "x"], [{}], [None], [True]])
def test_an_index_of_other_things_than_names(names, copy, tmp_path):
    attempt(lambda: load_model(sharded(copy("timm"), names)), tmp_path).refused("index.json")


@pytest.mark.parametrize("kind", ["timm", "vit"])
def test_paths_in_configs_are_not_followed(kind, copy, tmp_path):
    """Everything that the libraries know of as a path or an address; the model loads without."""
    evil = tmp_path / "evil.pth"
    evil.write_bytes(pickle.dumps(Runs(tmp_path / "mark")))
    folder = edited(
        copy(kind),
        _name_or_path="../../evil",
        name_or_path=str(evil),
        base_model_name_or_path=str(evil),
        pretrained_cfg={
            "url": "http://127.0.0.1:9/x",
            "file": str(evil),
            "hf_hub_id": "evil/evil",
            "hf_hub_filename": "../evil.pth",
            "source": "hf-hub",
            "custom_load": True,
            "state_dict": {"a": 1},
        },
        model_args={
            "checkpoint_path": str(evil),
            "cache_dir": str(tmp_path / "there"),
            "pretrained_cfg": {"file": str(evil)},
        },
    )
    outcome = attempt(lambda: load_model(folder).num_classes, tmp_path).harmless()
    assert outcome.value == {"timm": 3, "vit": 5}[kind], outcome.message
    assert not (tmp_path / "mark").exists()
    assert not (tmp_path / "there").exists()


def test_the_wrapper_of_timm_does_not_hand_on_a_checkpoint(copy, tmp_path, monkeypatch):
    """transformers' wrapper hands all ``model_args`` to timm, which then reads that pickle."""
    import timm.models._helpers as helpers

    (folder := copy("vit")).joinpath("evil.pth").write_bytes(pickle.dumps(Runs(tmp_path / "mark")))
    config = {
        "model_type": "timm_wrapper",
        "num_classes": 4,
        "label_names": ["a", "b", "c", "d"],
        "architectures": ["TimmWrapperForImageClassification"],
        "model_args": {"checkpoint_path": str(folder / "evil.pth")},
    }
    (folder / "config.json").write_text(json.dumps(config))

    def read(*args, **kwargs):
        raise SystemExit("the checkpoint was read")

    monkeypatch.setattr(helpers, "load_state_dict", read)
    attempt(lambda: load_model(folder), tmp_path).refused("architecture")
    architecture = {"architecture": "test_resnet", **config}
    (folder / "config.json").write_text(json.dumps(architecture))
    attempt(lambda: load_model(folder), tmp_path).refused("weights")


def test_code_is_not_run_without_leave(copy, tmp_path):
    mark = tmp_path / "mark"
    entries = {
        "AutoConfig": "evil.Config",
        "AutoModelForImageClassification": "evil.Model",
        "AutoImageProcessor": "evil.Processor",
    }
    unknown = edited(copy("vit"), model_type="evil", architectures=["Model"], auto_map=entries)
    elsewhere = edited(
        copy("vit"),
        model_type="evil",
        architectures=["Model"],
        auto_map={"AutoModelForImageClassification": "evil/code--evil.Model"},
    )
    known = edited(copy("vit"), auto_map=entries)
    processor = edited(
        copy("vit"),
        "preprocessor_config.json",
        auto_map=entries,
        image_processor_type="EvilProcessor",
    )
    for folder in (unknown, elsewhere, known, processor):
        (folder / "evil.py").write_text(CODE.format(mark=str(mark)))
    for folder in (unknown, elsewhere):
        attempt(lambda f=folder: load_model(f), tmp_path).refused("own code", "--trust-remote-code")
    assert attempt(lambda: load_model(known).num_classes, tmp_path).done() == 5
    attempt(lambda: load_model(processor), tmp_path).refused("image processor")
    result = attempt(
        lambda: command("purify", unknown, "-d", "digits", "--output", tmp_path / "o"), tmp_path
    ).done()
    assert result["code"] == 2
    assert "--trust-remote-code" in result["err"]
    result = attempt(lambda: command("scan", unknown, "-e", "patch"), tmp_path).done()
    assert result["code"] == 2
    assert not mark.exists()


KERNELS = {
    "attn_implementation": "evil/kernel",
    "_attn_implementation": "evil/kernel",
    "_attn_implementation_internal": "evil/kernel",
    "experts_implementation": "evil/kernel",
    "vision_config": {"_attn_implementation": "evil/kernel"},
    "more": [{"attn_implementation": {"": "evil/kernel"}}],
}


@pytest.mark.parametrize("key", KERNELS)
def test_kernels_of_strangers_are_not_fetched(key, copy, tmp_path):
    folder = edited(copy("vit"), **{key: KERNELS[key]})
    attempt(lambda: load_model(folder), tmp_path).refused("kernels", "--trust-remote-code")


TOO_MUCH = {
    "timm": [
        {"model_args": {"layers": [10**9] * 4}},
        {"model_args": {"channels": [20_000] * 4}},
        {"model_args": {"num_classes": 10**9}},
        {"model_args": {"num_classes": 10**30}},
        {"model_args": {"num_classes": -5}},
        {"pretrained_cfg": {"input_size": [3, 30_000, 30_000]}},
        {"pretrained_cfg": {"input_size": [3, 10**9, 10**9]}},
        {"pretrained_cfg": {"input_size": [3, 10**40, 1]}},
        {"pretrained_cfg": {"input_size": ["3", None]}},
        {"pretrained_cfg": {"mean": [float("inf")] * 3}},
        {"architecture": "x" * 100_000},
        {"architecture": ["test_resnet"]},
        {"architecture": "hf-hub:evil/model"},
        {"architecture": "../../evil"},
    ],
    "vit": [
        {"num_labels": 10**9, "id2label": None},
        {"num_labels": 1e300, "id2label": None},
        {"num_labels": -1, "id2label": None},
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 999},
        {"hidden_size": 40_000},
        {"image_size": 10**7},
        {"image_size": [10**7, 10**7]},
        {"intermediate_size": 10**12},
        {"hidden_act": "os.system"},
        {"architectures": ["os.system"]},
        {"architectures": {"a": 1}},
        {"architectures": True},
        {"model_type": ["vit"]},
        {"model_type": "../../evil"},
    ],
}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [(kind, changes) for kind in TOO_MUCH for changes in TOO_MUCH[kind]],
    ids=lambda value: str(value)[:50],
)
def test_configs_that_ask_for_the_impossible(kind, changes, copy, tmp_path):
    folder = edited(copy(kind), **changes)
    outcome = attempt(lambda: load_model(folder), tmp_path, memory=2 << 30, seconds=20)
    outcome.refused()
    assert outcome.grown < 512 << 20, f"{outcome.grown >> 20} MiB"
    assert outcome.seconds < 15


@pytest.mark.parametrize(
    "changes",
    [
        {"size": {"height": 100_000, "width": 100_000}},
        {"size": {"height": 10**12, "width": 10**12}},
        {"size": {"shortest_edge": 10**6}},
        {"crop_size": {"height": 60_000, "width": 60_000}, "do_center_crop": True},
        {"size": "large"},
        {"image_mean": ["x"]},
        {"image_processor_type": "os.system"},
        {"image_processor_type": "../../evil"},
    ],
    ids=str,
)
def test_processors_that_ask_for_the_impossible(changes, copy, tmp_path):
    folder = edited(copy("vit"), "preprocessor_config.json", **changes)
    outcome = attempt(lambda: load_model(folder), tmp_path, memory=2 << 30)
    outcome.refused()
    assert outcome.grown < 512 << 20, f"{outcome.grown >> 20} MiB"
