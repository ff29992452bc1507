"""The Hub's check of a card's metadata, asked for by the unmodified clients."""

import pytest
from huggingface_hub.errors import BadRequestError

from .cards import read_metadata, validate_card
from .plain_http import fetch
from .upload_modes import is_ignored, lfs_tracked, upload_mode

MODEL_INDEX = """\
license: mit
library_name: timm
pipeline_tag: image-classification
base_model: acme/base
base_model_relation: finetune
tags: [backdoor]
model-index:
- name: acme/purified
  results:
  - task: {type: image-classification, name: Image Classification}
    dataset: {type: acme/digits, name: Digits, split: test, revision: abc}
    metrics:
    - {type: accuracy, value: 0.95, name: Clean accuracy}
"""


def card(metadata):
    return f"---\n{metadata}\n---\n# Title\n"


def test_valid_card():
    assert validate_card(card(MODEL_INDEX), "model") == ([], [])


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("license: mit", "license: Apache 2.0", '"license[0]" must be one of'),
        ("license: mit", "license: {a: 1}", '"license" must be an array'),
        ("license: mit", "license_name: My Own", '"license_name" is not valid'),
        ("tags: [backdoor]", "tags: backdoor", '"tags" must be an array'),
        ("tags: [backdoor]", "tags: [1]", '"tags[0]" must be a string'),
        ("tags: [backdoor]", "language: English", '"language[0]" is not valid'),
        ("base_model: acme/base", "base_model: ./local/path", '"base_model[0]" is not valid'),
        ("finetune", "purified", '"base_model_relation"'),
        ("library_name: timm", "license: mit", "duplicated mapping key 'license'"),
        ("library_name: timm", "library_name: [timm", "bad YAML"),
        ("model-index:\n- name", "model-index:\n  name", '"model-index" must be an array'),
        ("- name: acme/purified\n  r", "- r", '"model-index[0].name" is required'),
        ("  results:", "  outcomes:", '"model-index[0].results" is required'),
        ("  - task: {type:", "  - task: {kind:", '"model-index[0].results[0].task.type" is'),
        (", name: Digits", "", '"model-index[0].results[0].dataset.name" is required'),
        ("revision: abc", "revision: 123", 'dataset.revision" must be a string'),
        ("revision: abc", "revision:", 'dataset.revision" must be a string'),
        ("    - {type: accuracy", "      {type: accuracy", 'metrics" must be an array'),
        ("    metrics:\n    - {type", "    metric:\n    - {type", 'metrics" is required'),
        (", value: 0.95", "", 'metrics[0].value" is required'),
        ("value: 0.95", "value: .nan", 'metrics[0].value" must be a finite number'),
        ("value: 0.95", "value:", 'metrics[0].value" must be a number'),
    ],
)
def test_invalid_card(old, new, error):
    assert old in MODEL_INDEX
    errors, _ = validate_card(card(MODEL_INDEX.replace(old, new)), "model")
    assert any(error in message for message in errors), errors


def test_metadata_must_be_a_mapping():
    assert validate_card(card("- a\n- b"), "model") == (["the metadata must be a mapping"], [])
    for content in ("# No metadata", "---\n---\n", ""):
        errors, warnings = validate_card(content, "model")
        assert not errors
        assert warnings == ["empty or missing yaml metadata in repo card"]


def test_dataset_card():
    good = "license: mit\ntask_categories: [image-classification]\nconfigs:\n- config_name: default"
    assert validate_card(card(good), "dataset") == ([], [])
    (error,) = validate_card(card("configs:\n- data_files: x"), "dataset")[0]
    assert error == '"configs[0].config_name" is required'


def test_broken_metadata_reads_as_empty():
    assert read_metadata(card("a: [")) == read_metadata(card("- a")) == read_metadata("x") == {}
    assert read_metadata(card("a: 1").replace("\n", "\r\n")) == {"a": 1}


def test_upload_checks_the_card(hub_api, local_hub):
    api = hub_api()
    before = local_hub.add_repo("acme/card")
    upload = {"repo_id": "acme/card", "path_in_repo": "README.md"}
    with pytest.raises(ValueError, match="must be one of the Hub's licenses"):
        api.upload_file(path_or_fileobj=card("license: none of them").encode(), **upload)
    assert local_hub.commit("acme/card").oid == before
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        api.upload_file(path_or_fileobj=b"# Plain", **upload)
    api.upload_file(path_or_fileobj=card(MODEL_INDEX).encode(), **upload)
    info = api.model_info("acme/card")
    assert info.card_data.eval_results[0].metric_value == 0.95
    assert info.model_index[0]["name"] == "acme/purified"


def test_commit_checks_the_card_too(local_hub):
    """A client that does not ask first is refused at the commit."""
    local_hub.add_repo("acme/unasked")
    lines = (
        '{"key": "header", "value": {"summary": "s"}}\n'
        '{"key": "file", "value": {"path": "README.md", "content": "---\\nlicense: x\\n---\\n"}}'
    )
    url = f"{local_hub.endpoint}/api/models/acme/unasked/commit/main"
    answer = fetch("POST", url, content=lines.encode(), token=local_hub.token)
    assert answer.status == 400
    assert "YAML metadata verification" in answer.json()["error"]
    proposed = fetch("POST", f"{url}?create_pr=1", content=lines.encode(), token=local_hub.token)
    assert proposed.status == 400
    assert local_hub.repo("acme/unasked").discussions == []


def test_odd_metadata_does_not_hide_a_repo(hub_api, local_hub):
    """A seeded card may hold what no upload could bring."""
    odd = "date: 2024-01-01\n2024-01-02: x\nvalue: .nan\nlicense: [x"
    local_hub.add_repo("acme/odd", files={"README.md": card(odd + "]")})
    local_hub.add_repo("acme/unreadable", files={"README.md": card(odd)})
    info = hub_api().model_info("acme/odd")
    assert (info.card_data["date"], info.card_data["value"]) == ("2024-01-01", "NaN")
    assert hub_api().model_info("acme/unreadable").card_data is None


def test_bad_request_to_validate(local_hub):
    answer = fetch("POST", f"{local_hub.endpoint}/api/validate-yaml", {"repoType": "model"})
    assert answer.status == 400
    assert issubclass(BadRequestError, ValueError)


@pytest.mark.parametrize(
    ("path", "size", "sample", "mode"),
    [
        ("model.safetensors", 10, b"text", "lfs"),
        ("data/train.parquet", 10, b"text", "lfs"),
        ("config.json", 10, b"{}", "regular"),
        ("log.txt", 11 * 1024 * 1024, b"text", "lfs"),
        ("image.png", 10, b"\x89PNG\r\n\0", "lfs"),
        ("latin.txt", 600, b"\xe9 at the start" * 30, "lfs"),
        ("utf8.txt", 600, ("x" + "é" * 300).encode()[:512], "regular"),
        ("empty", 0, b"", "regular"),
    ],
)
def test_upload_mode(path, size, sample, mode):
    patterns = lfs_tracked("*.safetensors filter=lfs -text\n*.parquet filter=lfs\n*.md text\n")
    assert upload_mode(path, size, sample, patterns) == mode


def test_is_ignored():
    rules = "*.log\n!keep.log\ncache/\n/top.txt\n# note\n"
    ignored = {"a.log", "sub/a.log", "cache/x", "sub/cache/x", "top.txt"}
    for path in (*ignored, "keep.log", "cache", "sub/top.txt", "note"):
        assert is_ignored(path, rules) == (path in ignored), path
