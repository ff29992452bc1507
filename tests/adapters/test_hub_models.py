"""Models of a Hub: pinned commits, the cache, tokens, and what is fetched at all.

A fresh process asks the local Hub, as the client reads ``HF_ENDPOINT`` and the
other variables when it is imported.
"""

import hashlib
import json
import subprocess
import sys

import pytest

from ngf_hub.checksums import sha256

from .test_timm import NAMES, timm_folder
from .test_transformers import edit_config, folder_of

LOAD = """
import json, sys
from ngf_hub.adapters import load_model
from ngf_hub.errors import NgfHubError
for arguments in json.loads(sys.argv[1]):
    try:
        classifier = load_model(arguments.pop("source"), **arguments)
        source = classifier.source
        answer = {
            "family": classifier.family, "names": classifier.class_names, "name": source.name,
            "commit": source.commit, "licence": source.licence, "files": dict(source.files),
            "notes": list(source.notes),
        }
    except NgfHubError as error:
        answer = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
    print(json.dumps(answer))
"""
CARD = "---\nlicense: {licence}\nlibrary_name: timm\n---\n# A model\n"


@pytest.fixture(scope="module")
def models(local_hub, tmp_path_factory):
    """The repositories, and the commits that they stand at."""
    root = tmp_path_factory.mktemp("models")
    timm_folder(root / "timm")
    (root / "timm" / "README.md").write_text(CARD.format(licence="mit"))
    (root / "timm" / "pytorch_model.bin").write_bytes(b"a pickle that is never fetched")
    folder_of(root / "vit")
    (root / "vit" / "README.md").write_text(CARD.format(licence="apache-2.0"))
    folder_of(root / "bert")
    edit_config(root / "bert", model_type="bert", architectures=["BertForMaskedLM"])
    commits = {
        "acme/net": local_hub.add_repo("acme/net", folder=root / "timm"),
        "acme/vit": local_hub.add_repo("acme/vit", folder=root / "vit"),
        "acme/bert": local_hub.add_repo("acme/bert", folder=root / "bert"),
        "acme/closed": local_hub.add_repo("acme/closed", folder=root / "timm", private=True),
        "acme/gated": local_hub.add_repo("acme/gated", folder=root / "vit", gated=True),
        "acme/empty": local_hub.add_repo("acme/empty", files={"notes.txt": "nothing"}),
    }
    local_hub.folders = root
    return commits


def load(env, *requests, endpoint=None):
    """What a fresh process says of each request."""
    if endpoint:
        env = env | {"HF_ENDPOINT": endpoint}
    requests = [r if isinstance(r, dict) else {"source": r} for r in requests]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, json.dumps(requests)],
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def asked_for(hub, repo, since):
    """The files of a repository that were fetched after a point of the log."""
    return {
        entry.path.split("/resolve/")[1].split("/", 1)[1]
        for entry in hub.log.entries[since:]
        if entry.method == "GET" and f"{repo}/resolve/" in entry.path
    }


def test_ids_commits_and_licences(local_hub, models, tmp_path):
    first = models["acme/net"]
    second = local_hub.add_commit("acme/net", {"README.md": CARD.format(licence="bsd-3-clause")})
    env = local_hub.env(tmp_path)
    since = len(local_hub.log.entries)
    plain, prefixed, pinned, at, vit = load(
        env,
        "acme/net",
        "hf-hub:acme/net",
        {"source": "acme/net", "revision": first},
        f"hf_hub:acme/net@{first}",
        "acme/vit",
    )
    weights = sha256(local_hub.folders / "timm" / "model.safetensors")
    assert plain == {
        "family": "timm",
        "names": NAMES,
        "name": "acme/net",
        "commit": second,
        "licence": "bsd-3-clause",
        "files": {"model.safetensors": weights},
        "notes": [],
    }
    assert prefixed == plain
    assert pinned == at == {**plain, "commit": first, "licence": "mit"}
    assert vit["family"] == "transformers"
    assert vit["commit"] == models["acme/vit"]
    assert vit["licence"] == "apache-2.0"
    assert asked_for(local_hub, "acme/net", since) == {
        "config.json",
        "README.md",
        "model.safetensors",
    }
    assert "pytorch_model.bin" not in asked_for(local_hub, "acme/vit", since)

    # The cache is enough from now on: without network, and in offline mode.
    nowhere = "http://127.0.0.1:9"
    for environment in (env | {"HF_HUB_OFFLINE": "1"}, env | {"HF_ENDPOINT": nowhere}):
        again, cached_vit, unknown = load(environment, "acme/net", "acme/vit", "acme/unknown")
        assert again["files"] == plain["files"]
        assert again["commit"] == second
        assert again["licence"] == "bsd-3-clause"
        assert "from the cache" in again["notes"][0]
        assert cached_vit["commit"] == models["acme/vit"]
        assert unknown["error"] == "HubError"
        offline = environment.get("HF_HUB_OFFLINE") == "1"
        assert ("offline mode" if offline else "cannot be reached") in unknown["message"]
        assert "HF_HUB_OFFLINE" in unknown["hint"] or not offline


def test_what_cannot_be_fetched_is_one_line(local_hub, models, tmp_path):
    env = local_hub.env(tmp_path)
    since = len(local_hub.log.entries)
    unknown, closed, gated, revision, empty, bert, bare = load(
        env,
        "acme/unknown",
        "acme/closed",
        "acme/gated",
        {"source": "acme/vit", "revision": "nowhere"},
        "acme/empty",
        "acme/bert",
        "resnet18",
    )
    assert "no such repository, or it is private" in unknown["message"]
    assert closed["error"] == "HubError"
    assert "hf auth login" in closed["hint"]
    assert "gated" in gated["message"]
    assert "no such revision" in revision["message"]
    assert empty["error"] == "ModelError"
    assert "no config.json" in empty["message"]
    assert "BertForMaskedLM" in bert["message"]
    assert "org/model" in bare["hint"]
    for answer in (unknown, closed, gated, revision, empty, bert, bare):
        assert "\n" not in answer["message"] + answer["hint"]
    # What is no image classifier is refused before its weights are fetched.
    assert asked_for(local_hub, "acme/bert", since) <= {
        "config.json",
        "preprocessor_config.json",
        "README.md",
    }


def test_tokens(local_hub, models, tmp_path):
    private = {"source": "acme/closed"}
    (environment,) = load(local_hub.env(tmp_path / "a", local_hub.token), private)
    assert environment["family"] == "timm"
    given, wrong = load(
        local_hub.env(tmp_path / "b"),
        {**private, "token": local_hub.token},
        {**private, "token": "hf_" + "x" * 30},
    )
    assert given["files"] == environment["files"]
    assert wrong["error"] == "HubError"
    assert "xxxx" not in wrong["message"] + wrong["hint"]


def test_a_cached_file_that_is_not_the_hubs_is_fetched_again(local_hub, models, tmp_path):
    env = local_hub.env(tmp_path)
    load(env, "acme/net")
    (cached,) = tmp_path.rglob("model.safetensors")
    right = cached.read_bytes()
    cached.resolve().write_bytes(right[:-4] + b"\x00\x00\x00\x3f")
    (answer,) = load(env, "acme/net")
    assert answer["files"] == {"model.safetensors": hashlib.sha256(right).hexdigest()}
    assert cached.read_bytes() == right
