"""What is fetched of a published result: a few names, of bounded size, from where they may lie."""

from __future__ import annotations

import os

import pytest

from ngf_hub.errors import HubError, ModelError, ReportError
from ngf_hub.publishing import publish
from ngf_hub.reproducing.fetched import fetch
from tests.publishing.helpers import refused
from tests.report_samples import model, output_folder, report

NAMES = {
    "README.md",
    "config.json",
    "model.safetensors",
    "report.json",
    "trigger/trigger.json",
    "trigger/trigger.safetensors",
}


@pytest.fixture
def get(tmp_path, local_hub):
    """Fetch a source into an empty folder."""
    place = tmp_path / "place"

    def call(source, revision=None):
        place.mkdir()
        try:
            return fetch(str(source), place, revision=revision, token=local_hub.token)
        except BaseException:
            for path in sorted(place.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            place.rmdir()
            raise

    return call


def files_in(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_nothing_but_what_a_result_is_made_of(folder, get):
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    (folder / "modeling_evil.py").write_text("raise SystemExit")
    (folder / "other.safetensors").write_bytes(b"x")
    (folder / "ngf-hub").mkdir()
    (folder / "ngf-hub" / "report.json").write_text("{}")
    fetched = get(folder)
    assert files_in(fetched.folder) == NAMES
    assert not any(path.is_symlink() for path in fetched.folder.rglob("*"))
    assert fetched.weights == ("model.safetensors",)
    assert fetched.has_trigger
    assert fetched.report == report()


def test_from_the_hub_at_one_commit(local_hub, repo, send, get):
    commit = send().commit
    local_hub.add_commit(repo, {"report.json": "{}"})
    fetched = get(repo, commit)
    assert (fetched.commit, files_in(fetched.folder)) == (commit, NAMES)
    for name in NAMES:
        assert (fetched.folder / name).read_bytes() == local_hub.read(repo, name, commit)


def test_from_a_pull_request_and_from_what_it_was_merged_into(
    local_hub, repo, client, tmp_path, get
):
    files = {"config.json": '{"architecture": "resnet18"}', "README.md": "# Mine"}
    commit = local_hub.add_repo(repo, files=files)
    content = report(model=model(name=repo, commit=commit, files={}))
    folder = output_folder(tmp_path / "out", content)
    publish(folder, pull_request=True, token=local_hub.token)
    refused(ReportError, "holds no report.json", get, source=repo)
    fetched = get(repo, "refs/pr/1")
    assert files_in(fetched.folder) == NAMES
    assert fetched.report.model.name == repo
    assert "# Mine" not in (fetched.folder / "README.md").read_text()  # the card, not theirs
    client.merge_pull_request(repo, 1)
    (tmp_path / "place").rename(tmp_path / "first")
    assert get(repo).commit == local_hub.commit(repo).oid


def test_sharded_weights(tmp_path, get):
    assert get(output_folder(tmp_path / "sharded", shards=2)).weights == (
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    )


@pytest.mark.parametrize("name", ["report.json", "README.md", "config.json"])
def test_files_too_large_to_be_ours_are_refused(folder, get, name):
    os.truncate(folder / name, 2**27)
    refused(ReportError, "too large", get, source=folder)


def test_what_is_no_result(local_hub, repo, tmp_path, get):
    (tmp_path / "empty").mkdir()
    refused(ReportError, "holds no report.json", get, source=tmp_path / "empty")
    refused(HubError, "no such repository", get, source="acme/nowhere")
    refused(ModelError, "is a file", get, source=__file__)
    local_hub.add_repo(repo, files={"report.json": '{"tool": "other"}'})
    refused(ReportError, "no report of ngf-hub", get, source=repo)
