"""What arrives on the Hub, and what is kept there."""

from __future__ import annotations

import os

import pytest
from huggingface_hub import ModelCard

from ngf_hub.card import write_card
from ngf_hub.errors import HubError
from tests.publishing.helpers import FILES, commits, refused, there
from tests.report_samples import model, output_folder, provenance, report


def test_a_new_repository_has_what_is_allowed_and_no_more(local_hub, folder, repo, send):
    for name in ("pytorch_model.bin", "training.pkl", "notes.txt", "fake.png", ".env", "x.py"):
        (folder / name).write_bytes(b"\x80\x04.")
    (folder / "secret").mkdir()
    (folder / "secret" / "config.json").write_text("{}")
    os.symlink("/etc/hostname", folder / "linked.png")
    published = send()
    assert there(local_hub, repo) == FILES == set(published.files)
    assert published.changed
    assert published.url == f"{local_hub.endpoint}/{repo}"
    assert published.commit == local_hub.commit(repo).oid
    assert set(published.left_out) == {
        ".env", "fake.png", "notes.txt", "pytorch_model.bin", "secret/config.json",
        "training.pkl", "x.py",
    }  # fmt: skip
    for name, size in published.files.items():
        assert len(local_hub.read(repo, name)) == size
    for name in FILES - {"README.md"}:
        assert local_hub.read(repo, name) == (folder / name).read_bytes()


def test_all_files_come_in_one_commit(local_hub, repo, send):
    with local_hub.log.record() as log:
        send()
    assert len(log.select("POST", f"{repo}/commit/")) == 1


def test_the_card_names_the_repository(local_hub, repo, send):
    send()
    card = ModelCard(local_hub.read(repo, "README.md").decode())
    assert f'"hf-hub:{repo}"' in card.text
    assert "YOUR-NAME" not in card.text
    values = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert values["accuracy"] == 1690 / 2000


def test_publishing_again_makes_no_commit(local_hub, folder, repo, send):
    first = send()
    count = commits(local_hub, repo)
    with local_hub.log.record() as log:
        again = send()
    assert not again.changed
    assert again.commit == first.commit
    assert again.files == first.files
    assert commits(local_hub, repo) == count
    assert not log.select("POST", "/commit/")
    write_card(folder)  # the same report gives the same card
    assert not send().changed


def test_a_change_sends_what_changed(local_hub, folder, repo, send):
    send()
    content = report(provenance=provenance(seed=8))
    content.write(folder)
    write_card(folder)
    before = local_hub.commit(repo).files
    assert send().changed
    after = local_hub.commit(repo).files
    assert {name for name in after if after[name] != before.get(name)} == {
        "README.md",
        "report.json",
    }


def test_files_of_the_version_before_go_in_the_same_commit(local_hub, repo, send, tmp_path):
    send(folder=output_folder(tmp_path / "sharded", shards=3))
    assert len([name for name in there(local_hub, repo) if name.startswith("model-")]) == 3
    local_hub.add_commit(repo, {"LICENSE": "text", "logo.png": b"x", "docs/config.json": "{}"})
    count = commits(local_hub, repo)
    published = send()
    assert set(published.deleted) == {
        "model.safetensors.index.json",
        *(f"model-0000{shard}-of-00003.safetensors" for shard in (1, 2, 3)),
    }
    assert there(local_hub, repo) == FILES | {"LICENSE", "logo.png", "docs/config.json"}
    assert commits(local_hub, repo) == count + 1


def test_repositories_of_others_are_left_alone(local_hub, repo, send):
    files = {"README.md": "# mine", "pytorch_model.bin": b"\x80\x04.", "LICENSE": "text"}
    local_hub.add_repo(repo, files=files)
    count = commits(local_hub, repo)
    refused(HubError, "was not made by ngf-hub", send)
    assert commits(local_hub, repo) == count
    # Asked for, it is done; weights that the card does not describe go.
    published = send(overwrite=True)
    assert published.deleted == ("pytorch_model.bin",)
    assert there(local_hub, repo) == FILES | {"LICENSE"}


@pytest.mark.parametrize("text", ['{"tool": "other"}', "[]", "{", '"ngf-hub"'])
def test_a_report_of_something_else_does_not_make_it_ours(local_hub, repo, send, text):
    local_hub.add_repo(repo, files={"report.json": text})
    refused(HubError, "was not made by ngf-hub", send)


def test_an_empty_repository_is_filled(local_hub, repo, send):
    local_hub.add_repo(repo)
    assert send().changed
    assert there(local_hub, repo) == FILES


def test_private(local_hub, repo, send):
    send(private=True)
    assert local_hub.repo(repo).private
    assert not send(private=True).changed
    assert not send().changed  # and it stays private
    assert local_hub.repo(repo).private


def test_a_public_repository_is_not_taken_for_a_private_one(local_hub, repo, send):
    send()
    refused(HubError, "is public", send, private=True)


def test_dry_run_asks_the_hub_nothing(local_hub, folder, repo, send):
    (folder / "notes.txt").touch()
    with local_hub.log.record() as log:
        planned = send(dry_run=True)
    assert log.entries == []
    assert planned.commit is None
    assert not planned.changed
    assert planned.left_out == ("notes.txt",)
    assert send().files == planned.files


def test_research_models_are_published_on_request_only(local_hub, repo, send, tmp_path):
    marked = report(kind="evaluate", after=None, method=None, backdoored=True)
    backdoored = output_folder(tmp_path / "backdoored", marked)
    with local_hub.log.record() as log:
        refused(HubError, "backdoor put there on purpose", send, folder=backdoored)
        refused(HubError, "on purpose", send, folder=backdoored, dry_run=True)
    assert log.entries == []
    assert send(folder=backdoored, acknowledge_backdoored=True).changed
    card = ModelCard(local_hub.read(repo, "README.md").decode())
    assert "backdoored" in card.data.tags


def test_transformers_layout(local_hub, repo, send, tmp_path):
    content = report(model=model(family="transformers"))
    send(folder=output_folder(tmp_path / "tf", content))
    assert there(local_hub, repo) == FILES | {"preprocessor_config.json"}
