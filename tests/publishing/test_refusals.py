"""Broken folders, ids, tokens and secrets: refused in one line, mostly before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import constants

from ngf_hub.errors import HubError, ModelError, ReportError
from tests.publishing.helpers import refused
from tests.report_samples import output_folder


def truncate(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def pickle_as_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\x80\x04K\x01.")


def other_classes(folder: Path) -> None:
    (folder / "config.json").write_text('{"architecture": "resnet18", "num_classes": 7}')


def edited_figures(folder: Path) -> None:
    path = folder / "README.md"
    path.write_text(path.read_text().replace("value: 0.845\n", "value: 0.999\n"))


def broken_yaml(folder: Path) -> None:
    path = folder / "README.md"
    path.write_text(path.read_text().replace("tags:", "tags: [", 1))


def write(name: str, text: str):
    return lambda folder: (folder / name).write_text(text)


def remove(name: str):
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("spoil", "error", "said"),
    [
        (truncate, ModelError, "no whole safetensors"),
        (pickle_as_weights, ModelError, "no whole safetensors"),
        (write("model.safetensors", ""), ModelError, "no whole safetensors"),
        (remove("model.safetensors"), ModelError, "No model.safetensors"),
        (remove("config.json"), ModelError, "No config.json"),
        (write("config.json", "{"), ModelError, "no JSON"),
        (write("config.json", "[" * 100_000), ModelError, "no JSON"),
        (write("config.json", "{}"), ModelError, "no config of timm"),
        (other_classes, ModelError, "7 classes, the report 10"),
        (remove("report.json"), ReportError, "No readable report.json"),
        (write("report.json", "{}"), ReportError, "no report of ngf-hub"),
        (remove("README.md"), ReportError, "No README.md"),
        (edited_figures, ReportError, "state different results"),
        (write("README.md", "# no metadata"), ReportError, "state different results"),
        (broken_yaml, ReportError, "no model card"),
        (write("trigger/trigger.safetensors", "x"), ModelError, "no whole safetensors"),
    ],
)
def test_broken_folders_are_refused_before_anything_is_sent(
    local_hub, folder, send, spoil, error, said
):
    spoil(folder)
    with local_hub.log.record() as log:
        refused(error, said, send)
    assert log.entries == []


def drop_shard(folder: Path) -> None:
    (folder / "model-00002-of-00002.safetensors").unlink()


def swap_shards(folder: Path) -> None:
    path = folder / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    index["weight_map"]["w0"] = "model-00002-of-00002.safetensors"
    path.write_text(json.dumps(index))


def outside_shard(folder: Path) -> None:
    index = {"weight_map": {"w0": "../other.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def second_save(folder: Path) -> None:
    shard = folder / "model-00001-of-00002.safetensors"
    (folder / "model.safetensors").write_bytes(shard.read_bytes())


@pytest.mark.parametrize("spoil", [drop_shard, swap_shards, outside_shard, second_save])
def test_shards_must_be_those_of_the_index(tmp_path, send, spoil):
    sharded = output_folder(tmp_path / "sharded", shards=2)
    spoil(sharded)
    refused(ModelError, "sharded", send, folder=sharded)


@pytest.mark.parametrize("repo_id", ["name", "a/b/c", "a b/c", "../x", "", "a/\x1b[31m"])
def test_repository_ids(local_hub, send, repo_id):
    with local_hub.log.record() as log:
        refused(HubError, "no repository id", send, repo_id=repo_id)
    assert log.entries == []


def test_a_card_that_the_hub_refuses_creates_nothing(local_hub, folder, repo, send):
    path = folder / "README.md"
    path.write_text(path.read_text().replace("license: apache-2.0", "license: free-for-all"))
    refused(ReportError, "The Hub refuses the card.*license", send)
    with pytest.raises(KeyError):
        local_hub.repo(repo)


def test_tokens_that_may_not_write(local_hub, repo, send, monkeypatch):
    refused(HubError, "may not do this", send, token=local_hub.tokens["alice-read"])
    refused(HubError, "may not do this", send, token=local_hub.tokens["bob"])
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nonexistent")
    refused(HubError, "hf auth login", send, token=None)
    fake = "hf_" + "A1b2" * 8
    assert fake not in refused(HubError, "refused the token", send, token=fake)
    with pytest.raises(KeyError):
        local_hub.repo(repo)


def test_a_name_that_is_taken_out_of_sight(local_hub, send):
    local_hub.add_repo("bob/hidden", files={"x": "y"}, private=True)
    refused(HubError, "may not do this|cannot see it", send, repo_id="bob/hidden")


def test_the_token_comes_from_the_environment_too(local_hub, send, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", local_hub.token)
    assert send(token=None).changed


@pytest.mark.parametrize("name", ["report.json", "README.md", "config.json"])
def test_files_with_a_token_in_them_are_not_sent(local_hub, folder, send, name, monkeypatch):
    known, saved = "hf_" + "A1b2" * 8, "plain-secret-of-mine"
    monkeypatch.setenv("HF_TOKEN", saved)
    original = (folder / name).read_text()
    for secret in (known, saved, "given-as-argument"):
        if name == "README.md":
            (folder / name).write_text(original + f"\ntoken {secret}\n")
        else:
            (folder / name).write_text(json.dumps({**json.loads(original), "x": secret}))
        with local_hub.log.record() as log:
            text = refused(ReportError, "access token", send, token="given-as-argument")
        assert secret not in text
        assert log.entries == []
