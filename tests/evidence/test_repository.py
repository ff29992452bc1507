"""All files of a model together: folders, and repositories of a real Hub server."""

import json
import os
import pickle
import shutil

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save, save_file
from timm.models._hub import save_for_hf

from ngf_hub.errors import HubError, ModelError
from ngf_hub.evidence.repository import inspect_files
from tests.hub.server import LocalHub

from . import corpus
from .keras_files import LAMBDA

CLASSES = 7


def add(folder, name, hostile, as_name=None):
    """Put a file of the corpus into a folder."""
    corpus.cases(hostile=hostile, heavy=True)
    path = folder / (as_name or name)
    corpus.CASES[hostile, name].make(path, folder.parent / "mark")
    assert not (folder.parent / "mark").exists()
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small model of timm as it lies on the Hub: config.json and model.safetensors."""
    folder = tmp_path_factory.mktemp("model") / "model"
    folder.mkdir()
    network = timm.create_model("test_resnet", num_classes=CLASSES)
    save_for_hf(network, folder, safe_serialization=True)
    (folder / "README.md").write_text("# A model\n")
    return folder


@pytest.fixture
def folder(model, tmp_path):
    """A copy of it that may be changed."""
    return shutil.copytree(model, tmp_path / "copy")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub that clients in this process ask, with a fresh cache."""
    with LocalHub(tmp_path / "hub") as server:
        url = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        yield server
    assert not server.crashes, "\n".join(server.crashes)


def told(checked):
    """File, severity and reason of every file of note."""
    return [(f["file"], f["severity"], f["reason"]) for f in checked.finding.details["files"]]


def severities(checked):
    return {(file, severity) for file, severity, _ in told(checked)}


def fetched(log, repo):
    """Bytes that were sent of each file of a repository."""
    sent = {}
    for entry in log.entries:
        if entry.method == "GET" and f"{repo}/resolve/" in entry.path:
            name = entry.path.split("/resolve/")[1].split("/", 1)[1]
            sent[name] = sent.get(name, 0) + entry.bytes_sent
    return sent


def test_a_clean_folder(folder):
    checked = inspect_files(folder)
    assert checked.finding.kind == "files"
    assert checked.finding.status == "clear"
    assert checked.finding.summary == "nothing dangerous in 3 files"
    assert told(checked) == []
    assert checked.safe_to_load
    assert (checked.commit, checked.hub_security) == (None, None)
    assert checked.finding.details["loaded"] == ["model.safetensors"]
    assert checked.finding.details["checked"] == {"safetensors": 1, "configs": 1}
    assert json.dumps(checked.finding.model_dump())


def test_what_lies_beside_the_weights(folder):
    for name in ("training_args.bin", "optimizer.pt", "rng_state.pth"):
        add(folder, name, hostile=False)
    checked = inspect_files(folder)
    assert (checked.finding.status, checked.safe_to_load) == ("clear", True)
    assert severities(checked) == {("training_args.bin", "unusual"), ("rng_state.pth", "unusual")}
    # A dangerous one flags the model, though its weights may be loaded.
    add(folder, "plain.bin", hostile=True, as_name="pytorch_model.bin")
    checked = inspect_files(folder)
    assert (checked.finding.status, checked.safe_to_load) == ("flagged", True)
    assert "pytorch_model.bin" in checked.finding.summary
    assert "system" in checked.finding.summary
    assert told(checked)[0][:2] == ("pytorch_model.bin", "dangerous")


def test_files_in_folders_and_of_odd_names(folder):
    (folder / "a" / "b").mkdir(parents=True)
    (folder / ".git").mkdir()
    add(folder / "a" / "b", "reduce_system.pkl", hostile=True)
    add(folder, "reduce_system.pkl", hostile=True, as_name="no ending")
    add(folder / ".git", "reduce_system.pkl", hostile=True)
    add(folder, "reduce_system.pkl", hostile=True, as_name="words.txt")
    assert severities(inspect_files(folder)) == {
        ("a/b/reduce_system.pkl", "dangerous"),
        ("no ending", "dangerous"),
    }


@pytest.mark.parametrize("name", ["plain.bin", "second_directory.bin", "fifth_stream.bin"])
def test_a_hostile_checkpoint_is_not_to_be_loaded(folder, name):
    (folder / "model.safetensors").unlink()
    add(folder, name, hostile=True, as_name="pytorch_model.bin")
    checked = inspect_files(folder)
    assert (checked.finding.status, checked.safe_to_load) == ("flagged", False)
    assert checked.finding.details["loaded"] == ["pytorch_model.bin"]


def test_a_checkpoint_of_tensors_may_be_loaded(folder):
    (folder / "model.safetensors").unlink()
    add(folder, "state.bin", hostile=False, as_name="pytorch_model.bin")
    checked = inspect_files(folder)
    assert (checked.finding.status, checked.safe_to_load) == ("clear", True)
    assert told(checked) == []


def test_a_harmless_checkpoint_that_is_refused_is_not_called_dangerous(folder):
    (folder / "model.safetensors").unlink()
    add(folder, "model.pth", hostile=False, as_name="pytorch_model.bin")
    checked = inspect_files(folder)
    assert (checked.finding.status, checked.safe_to_load) == ("not judged", False)
    assert "not plain weights" in checked.finding.summary
    assert severities(checked) == {("pytorch_model.bin", "unusual")}


def test_a_header_that_lies(folder):
    data = bytearray((folder / "model.safetensors").read_bytes())
    (folder / "model.safetensors").write_bytes(data + b"more")
    checked = inspect_files(folder)
    assert (checked.finding.status, checked.safe_to_load) == ("flagged", False)
    assert "4 bytes follow its last tensor" in checked.finding.summary
    # Beside the weights it is told of too, and does not stand in the way.
    (folder / "model.safetensors").write_bytes(data)
    (folder / "other.safetensors").write_bytes(data + b"more")
    checked = inspect_files(folder)
    assert (checked.finding.status, checked.safe_to_load) == ("flagged", True)


def test_a_checkpoint_by_the_name_of_safetensors(folder):
    add(folder, "renamed.safetensors", hostile=True, as_name="model.safetensors")
    checked = inspect_files(folder)
    assert not checked.safe_to_load
    reasons = " ".join(reason for _, _, reason in told(checked))
    assert "zip archive" in reasons
    assert "posix.system" in reasons


def test_files_that_are_cut_or_stand_for_others(folder):
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-10])
    (folder / "pytorch_model.bin").write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
    checked = inspect_files(folder)
    # Nothing can be run by these: loading says what is wrong with them.
    assert (checked.finding.status, checked.safe_to_load) == ("clear", True)
    assert severities(checked) == {
        ("model.safetensors", "unusual"),
        ("pytorch_model.bin", "unusual"),
    }
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
    assert inspect_files(folder).safe_to_load


def test_keras_code_and_classes(folder):
    (folder / "model.h5").write_bytes(LAMBDA)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForImageClassification": "modeling_mine.Mine"}
    config["num_classes"] = config["model_args"]["num_classes"] = CLASSES + 1
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_mine.py").write_text("raise SystemExit('it ran')\n")
    checked = inspect_files(folder)
    reasons = " ".join(reason for _, _, reason in told(checked))
    assert "Lambda" in reasons
    assert "code of its own (modeling_mine.Mine)" in reasons
    assert "no head among the weights has 8 rows" in reasons
    assert (checked.finding.status, checked.safe_to_load) == ("flagged", True)
    assert severities(checked) == {("model.h5", "dangerous"), ("config.json", "unusual")}


def test_shards(folder):
    (folder / "model.safetensors").unlink()
    save_file({"a": torch.zeros(CLASSES, 2)}, folder / "model-1.safetensors")
    save_file({"b": torch.zeros(3)}, folder / "model-2.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert told(inspect_files(folder)) == []
    index["weight_map"]["b"] = "model-1.safetensors"
    index["weight_map"]["c"] = "model-2.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (lost, stray) = [reason for _, _, reason in told(inspect_files(folder))]
    assert "2 tensors are not in the file" in lost
    assert "1 tensors of the files are not in it" in stray


def test_what_is_too_large_is_listed(folder):
    (folder / "small.pkl").write_bytes(pickle.dumps(1))
    (folder / "large.pkl").write_bytes(pickle.dumps(bytes(5000)))
    (folder / "larger.h5").write_bytes(LAMBDA)
    checked = inspect_files(folder, max_fetched=1000)
    assert severities(checked) == {("large.pkl", "not scanned"), ("larger.h5", "not scanned")}
    assert "2 not scanned" in checked.finding.summary
    assert checked.finding.details["checked"]["pickles"] == 1


def test_nothing_to_load(tmp_path):
    (tmp_path / "empty").mkdir()
    checked = inspect_files(tmp_path / "empty")
    assert (checked.finding.status, checked.safe_to_load) == ("clear", True)
    with pytest.raises(HubError, match="neither a folder"):
        inspect_files(tmp_path / "gone")
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="is a file"):
        inspect_files(tmp_path / "file")


# -- the Hub


def test_a_repository_is_hardly_fetched(hub, folder, tmp_path):
    """Of weights in safetensors the header alone, and of pickles those that are not loaded."""
    header = (folder / "model.safetensors").read_bytes()
    tensors = {f"pad{i}": torch.zeros(500_000) for i in range(4)}
    (folder / "model.safetensors").write_bytes(save({**tensors, "head": torch.zeros(CLASSES, 3)}))
    add(folder, "training_args.bin", hostile=False)
    (folder / "picture.png").write_bytes(bytes(50_000))
    (folder / "tf_model.h5").write_bytes(bytes(60_000))
    first = hub.add_repo("acme/net", folder=folder)
    second = hub.add_commit("acme/net", {"model.safetensors": header + b"more"})
    with hub.log.record() as log:
        checked = inspect_files("acme/net", revision=first, max_fetched=50_000)
    assert checked.commit == first
    assert (checked.finding.status, checked.safe_to_load) == ("clear", True)
    assert severities(checked) == {("training_args.bin", "unusual"), ("tf_model.h5", "not scanned")}
    sent = fetched(log, "acme/net")
    assert set(sent) == {"config.json", "model.safetensors", "training_args.bin"}
    assert sent["model.safetensors"] <= 200_000
    assert checked.hub_security == {"scansDone": True, "filesWithIssues": []}
    # By prefix and branch; and the header that lies is of the later commit.
    checked = inspect_files("hf-hub:acme/net@main")
    assert (checked.commit, checked.safe_to_load) == (second, False)
    assert not os.path.exists(tmp_path / "mark")


def test_the_same_is_found_on_the_hub_as_in_a_folder(hub, folder):
    for name in ("plain.bin", "arrays.joblib", "objects.npz", "in_zip_in_zip.zip"):
        add(folder, name, hostile=True)
    add(folder, "reduce_system.pkl", hostile=True, as_name="no ending")
    (folder / "model.h5").write_bytes(LAMBDA)
    here = inspect_files(folder)
    hub.add_repo("acme/evil", folder=folder)
    there = inspect_files("acme/evil")
    assert told(there) == told(here)
    assert there.finding.status == here.finding.status == "flagged"
    assert len({file for file, _, _ in told(here)}) == 6


def test_only_pickles_to_load_are_fetched_whatever_their_size(hub, folder):
    (folder / "model.safetensors").unlink()
    add(folder, "second_zip64.bin", hostile=True, as_name="pytorch_model.bin")
    hub.add_repo("acme/pickled", folder=folder)
    checked = inspect_files("acme/pickled", max_fetched=0)
    assert (checked.finding.status, checked.safe_to_load) == ("flagged", False)


def test_a_long_header_is_read_by_a_second_request(hub, folder):
    tensors = {f"{'name' * 20}.{i}": torch.zeros(1) for i in range(1500)}
    (folder / "model.safetensors").write_bytes(save({**tensors, "head": torch.zeros(CLASSES, 2)}))
    hub.add_repo("acme/long", folder=folder)
    with hub.log.record() as log:
        assert told(inspect_files("acme/long")) == []
    ranges = [entry.range for entry in log.select("GET", "model.safetensors")]
    assert len(ranges) == 2
    assert ranges[0].startswith("bytes=0-")


def test_the_hubs_own_status_stands_beside_ours(hub, folder):
    hub.add_repo("acme/flagged", folder=folder)
    hub.flag_unsafe("acme/flagged", "model.safetensors")
    checked = inspect_files("acme/flagged")
    issue = {"path": "model.safetensors", "level": "unsafe"}
    assert checked.hub_security["filesWithIssues"] == [issue]
    assert checked.finding.details["hub_security"]["filesWithIssues"] == [issue]
    assert "the Hub's own scan has issues with 1" in checked.finding.summary
    assert (checked.finding.status, checked.safe_to_load) == ("clear", True)


def test_without_the_hub_the_cache_is_looked_at(hub, folder, monkeypatch):
    add(folder, "training_args.bin", hostile=False)
    commit = hub.add_repo("acme/cached", folder=folder)
    from huggingface_hub import snapshot_download

    snapshot_download("acme/cached")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    checked = inspect_files("acme/cached")
    assert (checked.finding.status, checked.safe_to_load) == ("clear", True)
    assert (checked.commit, checked.hub_security) == (commit, None)
    assert "the Hub was not asked" in checked.notes[0]
    assert severities(checked) == {("training_args.bin", "unusual")}
    with pytest.raises(HubError, match="offline"):
        inspect_files("acme/unknown")


def test_errors_are_one_line_and_hold_no_token(hub, folder):
    hub.add_repo("acme/closed", folder=folder, private=True)
    hub.add_repo("acme/gated", folder=folder, gated=True)
    token = "hf_" + "x" * 30
    for arguments in (("acme/unknown",), ("acme/closed",), ("acme/gated",), ("a b/c",)):
        with pytest.raises(HubError) as caught:
            inspect_files(*arguments, token=token)
        assert "xxxx" not in str(caught.value)
        assert "\n" not in str(caught.value)
    assert inspect_files("acme/closed", token=hub.token).safe_to_load
    assert inspect_files("acme/gated", token=hub.token).safe_to_load


def test_progress_is_shown(folder):
    seen = []

    def track(items, description, total=None):
        for item in items:
            seen.append(item)
            yield item

    inspect_files(folder, track=track)
    assert seen[0] == "model.safetensors"
    assert set(seen) == {"model.safetensors", "config.json", "README.md"}
