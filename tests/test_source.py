"""Which model a text names."""

import pytest

from ngf_hub.errors import HubError, ModelError
from ngf_hub.source import HubModel, locate


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "org" / "here").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "given", "place"),
    [
        ("org/model", None, HubModel("org/model")),
        ("org/model", "v1", HubModel("org/model", "v1")),
        ("hf-hub:org/model@v1", None, HubModel("org/model", "v1")),
        ("hf_hub:org/model@v1", "v2", HubModel("org/model", "v2")),
        ("hf-hub:org/here", None, HubModel("org/here")),
    ],
)
def test_a_repository_of_the_hub(text, given, place):
    assert locate(text, revision=given) == place


def test_a_folder_goes_before_a_repository(here, monkeypatch):
    for text in ("org/here", "local-dir:org/here", here / "org" / "here"):
        assert locate(text).samefile(here / "org" / "here")
    monkeypatch.setenv("HOME", str(here))
    assert locate("~/org").samefile(here / "org")


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("file", ModelError, "file is a file"),
        ("org/model@v1", HubError, "neither a folder here nor the id"),
        ("local-dir:org/model", HubError, "neither a folder here nor the id"),
        ("hf-hub:", HubError, "neither a folder here nor the id"),
        ("", HubError, "neither a folder here nor the id"),
        ("a\0b", HubError, "neither a folder here nor the id"),
        ("~nobody-of-this-name/x", HubError, "neither a folder here nor the id"),
    ],
)
def test_what_is_neither(text, error, said):
    with pytest.raises(error, match=said):
        locate(text)
