"""``ngf-hub publish`` as it is typed: what it prints, and how it ends."""

from __future__ import annotations

import json

import pytest

from ngf_hub.cli import main
from tests.publishing.helpers import commits, there


@pytest.fixture
def ngf_hub(local_hub, monkeypatch, capsys):
    """Runs a command line with alice's token; its exit code, output and messages."""
    monkeypatch.setenv("HF_TOKEN", local_hub.token)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words):
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        return ended.value.code, *capsys.readouterr()

    return call


def test_a_dry_run_prints_files_sizes_and_the_card(local_hub, ngf_hub, folder, repo):
    (folder / "notes.txt").touch()
    with local_hub.log.record() as log:
        code, out, err = ngf_hub("publish", folder, repo, "--dry-run")
    assert (code, log.entries) == (0, [])
    for name in ("model.safetensors", "trigger/trigger.safetensors"):
        assert f"{(folder / name).stat().st_size:,} bytes  {name}\n" in out
    card = (folder / "README.md").read_text().replace("YOUR-NAME/YOUR-MODEL", repo)
    assert card in out
    assert "Left out: notes.txt." in err
    assert "Nothing was sent." in err
    code, out, _ = ngf_hub("publish", folder, repo, "--dry-run", "--json")
    assert json.loads(out)["card"] == card


def test_publishing_twice(local_hub, ngf_hub, folder, repo):
    assert "Published at" in ngf_hub("publish", folder, repo, "--private")[2]
    assert local_hub.repo(repo).private
    count = commits(local_hub, repo)
    assert "already holds exactly this" in ngf_hub("publish", folder, repo)[2]
    assert commits(local_hub, repo) == count


def test_a_repository_of_others_needs_overwrite(local_hub, ngf_hub, folder, repo):
    local_hub.add_repo(repo, files={"README.md": "# mine", "model.pt": b"\x80\x04."})
    code, _, err = ngf_hub("publish", folder, repo)
    assert code == 2
    assert "was not made by ngf-hub" in err
    assert there(local_hub, repo) == {"README.md", "model.pt"}
    code, _, err = ngf_hub("publish", folder, repo, "--overwrite")
    assert code == 0
    assert "Deleted: model.pt." in err


def test_a_pull_request_that_cannot_be_is_refused(ngf_hub, folder, repo):
    code, _, err = ngf_hub("publish", folder, "--pr")  # the report's source is not there
    assert code == 2
    assert "no repository acme/resnet-cifar" in err
    code, _, err = ngf_hub("publish", folder)
    assert code == 2
    assert "No repository was named" in err
