"""Broken, hostile and odd files: one line that names the file or tensor, never a traceback."""

import errno
import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

from ngf_hub.adapters import load_model
from ngf_hub.errors import HubError, ModelError, NgfHubError, UnsafeFileError

from .test_timm import timm_folder
from .test_transformers import folder_of

WEIGHTS = "model.safetensors"


def refused(folder, error, match):
    with pytest.raises(error, match=match) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return caught.value


@pytest.fixture(params=["timm", "transformers"])
def folder(request, tmp_path):
    make = timm_folder if request.param == "timm" else folder_of
    make(tmp_path)
    return tmp_path


def edit(folder, change):
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def a_weight(tensors):
    return next(k for k in sorted(tensors) if k.endswith("weight") and tensors[k].ndim > 1)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_named(folder, share):
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: int(share * len(data))])
    error = refused(folder, ModelError, r"model\.safetensors is (truncated|empty)")
    assert f"Delete {folder / WEIGHTS}" in error.hint


def test_rubbish_is_named(folder):
    (folder / WEIGHTS).write_bytes(b"\xff" * 4096)
    refused(folder, ModelError, r"model\.safetensors is truncated or corrupt")


def test_a_git_lfs_pointer_is_told(folder):
    (folder / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    assert "git lfs pull" in refused(folder, ModelError, "LFS pointer").hint


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_and_infinity_are_named(folder, value):
    name = a_weight(load_file(folder / WEIGHTS))
    edit(folder, lambda t: t[name].view(-1)[:2].fill_(value))
    refused(folder, ModelError, rf"2 of \d+ values of {name}")


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.float8_e4m3fn])
def test_quantised_weights_are_named(folder, dtype):
    name = a_weight(load_file(folder / WEIGHTS))
    edit(folder, lambda t: t.update({name: t[name].to(dtype)}))
    refused(folder, ModelError, f"{name} is stored as {str(dtype)[6:]}")


def test_no_weights(folder):
    (folder / WEIGHTS).unlink()
    refused(folder, ModelError, "holds no PyTorch weights")


def test_only_weights_of_another_framework(folder):
    (folder / WEIGHTS).rename(folder / "tf_model.h5")
    refused(folder, ModelError, "holds no PyTorch weights")


def test_an_adapter_without_a_model(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "Merge" in refused(tmp_path, ModelError, "an adapter").hint


def test_several_checkpoints(folder):
    (folder / WEIGHTS).rename(folder / "a.safetensors")
    (folder / "b.safetensors").write_bytes((folder / "a.safetensors").read_bytes())
    refused(folder, ModelError, r"several checkpoints: a\.safetensors, b\.safetensors")


def test_one_checkpoint_of_another_name(folder):
    (folder / WEIGHTS).rename(folder / "best.safetensors")
    assert list(load_model(folder).source.files) == ["best.safetensors"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00", '"text"', "[" * 100_000])
def test_configs_that_are_no_json_object(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ModelError, match=r"config\.json"):
        load_model(folder)


def test_a_config_of_neither_library(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"hello": "world"}))
    refused(tmp_path, ModelError, "neither timm's nor transformers'")


def test_no_config(tmp_path):
    refused(tmp_path, ModelError, r"no config\.json")


def test_a_file_instead_of_a_folder(folder):
    refused(folder / WEIGHTS, ModelError, "is a file")


@pytest.mark.parametrize(
    "source", ["./nowhere/at/all", "a/b/c", "", "org/na me", "../up", "local-dir:/nowhere"]
)
def test_what_is_neither_folder_nor_id(source):
    refused(source, HubError, "neither a folder here nor the id")


def as_pickle(folder, name="pytorch_model.bin", zipped=True, wrap=lambda state: state):
    state = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    torch.save(wrap(state), folder / name, _use_new_zipfile_serialization=zipped)
    return state


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "checkpoint.pth"])
def test_a_pickle_that_passes_is_read_and_noted(folder, name, zipped, tmp_path):
    before = load_model(folder)
    as_pickle(folder, name, zipped)
    classifier = load_model(folder)
    pixels = before.example_pixels(2)
    with torch.no_grad():
        assert torch.equal(classifier(pixels), before(pixels))
    assert name in classifier.source.notes[0]
    assert "static scan" in classifier.source.notes[0]
    assert list(classifier.source.files) == [name]
    out = tmp_path / "out"
    out.mkdir()
    classifier.save(out)
    assert {p.suffix for p in out.iterdir()} == {".json", ".safetensors"}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": {f"module.{k}": v for k, v in s.items()}, "args": [1, "x"]},
    ],
)
def test_checkpoints_of_training_scripts(wrap, tmp_path):
    timm_folder(tmp_path)
    as_pickle(tmp_path, "model.pth", wrap=wrap)
    assert load_model(tmp_path).num_classes == 4


def test_safetensors_are_read_where_there_is_a_pickle_too(folder):
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    assert list(load_model(folder).source.files) == [WEIGHTS]


class Runs:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def test_a_pickle_that_would_run_code_is_refused(folder, tmp_path):
    as_pickle(folder, wrap=lambda state: {**state, "x": Runs(tmp_path / "mark")})
    error = refused(folder, UnsafeFileError, r"pytorch_model\.bin is a pickle that is refused")
    assert "system" in str(error)
    assert not (tmp_path / "mark").exists()


def test_a_truncated_pickle_is_refused(folder):
    as_pickle(folder)
    path = folder / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:-2000])
    refused(folder, UnsafeFileError, r"pytorch_model\.bin")


def test_a_pickle_without_weights(folder):
    (folder / WEIGHTS).unlink()
    torch.save([torch.zeros(2)], folder / "pytorch_model.bin")
    refused(folder, ModelError, "holds no weights")


def test_names_from_a_file_cannot_forge_lines(folder):
    edit(
        folder,
        lambda t: t.update({"\x1b[31mevil\nerror: all is well": torch.tensor([float("nan")])}),
    )
    error = refused(folder, ModelError, "evil error")
    assert str(error).isprintable()


def test_a_disk_that_takes_no_more_is_an_os_error(folder, tmp_path):
    """Which is what the output folder turns into one line."""
    resource = pytest.importorskip("resource")
    classifier = load_model(folder)
    out = tmp_path / "out"
    out.mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="large") as caught:
            classifier.save(out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG


def test_every_refusal_is_a_users_error():
    assert issubclass(UnsafeFileError, NgfHubError)
    assert issubclass(ModelError, NgfHubError)
