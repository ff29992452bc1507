"""Publishing, against a real server on localhost: what arrives, what is refused, what is kept."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, constants

from ngf_hub.card import write_card
from ngf_hub.errors import HubError, ModelError, NgfHubError, ReportError
from ngf_hub.publishing import publish

from .hub.server import LocalHub
from .report_samples import model, output_folder, provenance, report

FILES = {
    "README.md",
    "before_after.png",
    "config.json",
    "model.safetensors",
    "report.json",
    "trigger/trigger.json",
    "trigger/trigger.safetensors",
}


def talk_to(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set in this process what the client read from HF_ENDPOINT when it was imported."""
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.fixture(autouse=True)
def client(local_hub, hub_api, monkeypatch):
    """This process's Hub client talks to the local Hub."""
    talk_to(local_hub.endpoint, monkeypatch)
    return hub_api()


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return output_folder(tmp_path_factory.mktemp("original") / "out")


@pytest.fixture
def folder(original, tmp_path):
    """An output folder of its own for each test."""
    return Path(shutil.copytree(original, tmp_path / "out"))


@pytest.fixture
def repo(request):
    """A repository name of its own for each test."""
    name = request.node.name
    return f"acme/{re.sub('[^a-z0-9]+', '-', name)[:50].strip('-')}-{zlib.crc32(name.encode())}"


@pytest.fixture
def send(local_hub, folder, repo):
    """``publish`` of the folder to the repository with alice's token."""

    def call(**changes):
        return publish(**{"folder": folder, "repo_id": repo, "token": local_hub.token, **changes})

    return call


def there(hub: LocalHub, repo: str) -> set[str]:
    return set(hub.commit(repo).files) - {".gitattributes"}


def commits(hub: LocalHub, repo: str) -> int:
    stored = hub.repo(repo)
    return len(list(stored.history(stored.resolve("main"))))


def refused(error: type[NgfHubError], match: str, call, **changes) -> str:
    """The one line with which a call is refused."""
    with pytest.raises(error, match=match) as caught:
        call(**changes)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


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


class Fault:
    """Middleware that does something once at the first request that commits."""

    def __init__(self, act) -> None:
        self.act = act
        self.done = False

    def __call__(self, app):
        async def wrapped(scope, receive, send):
            if not self.done and scope["method"] == "POST" and "/commit/" in scope["path"]:
                self.done = True
                if await self.act(send) == "stop":
                    return
            await app(scope, receive, send)

        return wrapped


@pytest.fixture
def faulty(tmp_path, monkeypatch):
    """A second local Hub whose first commit meets a fault."""
    hubs = []

    def start(act) -> LocalHub:
        hub = LocalHub(tmp_path / "faulty", middleware=[Fault(act)])
        hub.start()
        hubs.append(hub)
        talk_to(hub.endpoint, monkeypatch)
        return hub

    yield start
    for hub in hubs:
        hub.stop()


def test_a_fault_after_creation_says_what_to_do_and_a_repeat_ends_right(faulty, folder):
    async def fail(send):
        headers = [(b"content-length", b"0"), (b"x-error-message", b"internal")]
        await send({"type": "http.response.start", "status": 500, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return "stop"

    hub = faulty(fail)
    call = {"folder": folder, "repo_id": "acme/net", "token": hub.token}
    text = refused(HubError, "status 500", publish, **call)
    assert "Run the same command again: the new repository is there, still empty." in text
    assert there(hub, "acme/net") == set()
    assert publish(**call).changed
    assert there(hub, "acme/net") == FILES


def test_a_commit_of_somebody_else_in_between_is_not_lost(faulty, folder):
    async def commit_first(send):
        hub.add_commit("acme/net", {"NOTES.md": "theirs"})
        return "go on"

    hub = faulty(commit_first)
    hub.add_repo("acme/net")
    call = {"folder": folder, "repo_id": "acme/net", "token": hub.token}
    refused(HubError, "at the same time.*again", publish, **call)
    assert there(hub, "acme/net") == {"NOTES.md"}


def test_no_network_and_offline(folder, repo, send, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    talk_to(f"http://127.0.0.1:{port}", monkeypatch)
    refused(HubError, "cannot be reached", send)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused(HubError, "HF_HUB_OFFLINE", send)


def test_title_of_the_commit(local_hub, repo, send, folder):
    send()
    assert local_hub.commit(repo).title == "resnet-cifar after ngf, by ngf-hub 0.1.0"
    report(provenance=provenance(seed=9)).write(folder)
    write_card(folder)
    send(message="Second try")
    assert local_hub.commit(repo).title == "Second try"


def test_the_client_as_users_have_it(local_hub, folder, repo, tmp_path):
    """A process of its own, with HF_ENDPOINT and HF_TOKEN; no output holds the token."""
    code = (
        "import sys; from ngf_hub.publishing import publish\n"
        "first, second = (publish(sys.argv[1], sys.argv[2]) for _ in range(2))\n"
        "print(first.changed, second.changed, first.commit == second.commit)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), repo],
        env=local_hub.env(tmp_path / "home", local_hub.token),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.strip() == "True False True", done.stderr
    assert there(local_hub, repo) == FILES
    assert local_hub.token not in done.stdout + done.stderr
