"""Which models a text, a list or an author names, and what tells one state of one from another."""

import shutil

import pytest

from ngf_hub.errors import HubError, ModelError, NgfHubError
from ngf_hub.scans.names import models_of, read_list
from ngf_hub.scans.state import model_state


@pytest.fixture
def hub_client(local_hub, hub_api, monkeypatch):
    """Clients that the package makes in this process ask the local Hub."""
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "HfApi", lambda token=None: hub_api(token=False))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "model"
    (path / "code").mkdir(parents=True)
    (path / "config.json").write_text("{}")
    (path / "code" / "net.py").write_text("pass")
    return path


def test_a_folder_is_told_by_its_files_and_not_by_its_place(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert model_state(str(copy)).content() == model_state(str(folder)).content()
    (copy / "config.json").write_text((copy / "config.json").read_text() + " ")
    assert model_state(str(copy)).content() != model_state(str(folder)).content()


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [
        ("empty", ModelError, "empty folder"),
        ("file", ModelError, "is a file"),
        ("no/such/thing", HubError, "neither a folder here nor the id"),
        ("local-dir:acme/model", HubError, "neither a folder here nor the id"),
        ("a\0b", HubError, "neither a folder here nor the id"),
    ],
)
def test_what_is_no_model(source, error, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(error, match=said):
        model_state(source)


def test_a_repository_is_told_by_its_commit(local_hub, hub_client):
    first = local_hub.add_repo("acme/one", files={"config.json": "{}"})
    local_hub.add_repo("acme/none", files={"weights.bin": "x"})
    assert model_state("acme/one").commit == first
    second = local_hub.add_commit("acme/one", {"config.json": '{"a": 1}'})
    assert model_state("acme/one").commit == second
    assert model_state("hf-hub:acme/one@main").content() == model_state("acme/one").content()
    assert model_state("acme/one", revision=first).commit == first
    assert len(model_state("acme/none").commit) == 40  # one without a config
    with pytest.raises(HubError, match="no such repository"):
        model_state("acme/missing")
    with pytest.raises(HubError, match="no such revision"):
        model_state("acme/one", revision="v9")


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_a_list_has_comments_and_blank_lines(tmp_path):
    text = "\ufeff# mine\n\norg/a  # the first\r\n  ./models/b#2 \n#org/c\norg/a\n"
    assert read_list(write(tmp_path / "list.txt", text)) == ["org/a", "./models/b#2", "org/a"]


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "No such file"), (b"\xff\xfe\x00", "no text"), ("# nothing\n\n", "names no model")],
)
def test_lists_that_cannot_be_read(tmp_path, content, said):
    path = tmp_path / "list.txt"
    if content is not None:
        write(path, content)
    with pytest.raises(NgfHubError, match=said):
        read_list(str(path))


def test_a_folder_is_no_list(tmp_path):
    with pytest.raises(NgfHubError, match="cannot be read"):
        read_list(str(tmp_path))


def test_the_models_of_an_author(local_hub, hub_client):
    card = "---\npipeline_tag: {}\n---\n"
    for name, task in (("a", "image-classification"), ("b", "text-generation")):
        local_hub.add_repo(f"painter/{name}", files={"README.md": card.format(task)})
    local_hub.add_repo("painter/c", files={"README.md": card.format("image-classification")})
    assert sorted(models_of("painter")) == ["painter/a", "painter/c"]
    assert len(models_of("painter", limit=1)) == 1
    with pytest.raises(HubError, match="'nobody' has no image classifiers"):
        models_of("nobody")
