"""Pull requests: what is proposed to a repository of somebody else, and what is left alone."""

from __future__ import annotations

import hashlib
import json

import pytest

from ngf_hub.card import write_card
from ngf_hub.errors import HubError
from ngf_hub.publishing import publish
from tests.publishing.helpers import refused
from tests.report_samples import measurement, model, output_folder, provenance, report

WEIGHTS = b"\0weights with a backdoor"
README = "---\nlicense: mit\n---\n# My model\n"
CONFIG = json.dumps({"architecture": "resnet18", "num_classes": 10, "mine": True})
PROOF = {
    "ngf-hub/README.md",
    "ngf-hub/before_after.png",
    "ngf-hub/report.json",
    "ngf-hub/trigger/trigger.json",
    "ngf-hub/trigger/trigger.safetensors",
}


def purified_from(name, commit, **changes):
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    source = model(name=name, commit=commit, files={"model.safetensors": digest})
    return report(**{"model": source, **changes})


@pytest.fixture
def original(local_hub, repo):
    """Somebody's repository whose weights hold a backdoor, also as a pickle; its commit."""
    files = {
        "README.md": README,
        "config.json": CONFIG,
        "model.safetensors": WEIGHTS,
        "pytorch_model.bin": b"\x80\x04.",
        "logo.png": b"\x89PNG",
    }
    return local_hub.add_repo(repo, files=files)


@pytest.fixture
def result(tmp_path, repo, original):
    """What a purification of it wrote."""
    return output_folder(tmp_path / "result", purified_from(repo, original))


@pytest.fixture
def suggest(local_hub, result):
    """Open a pull request as bob, who may not write to the repository."""

    def call(folder=result, **changes):
        token = local_hub.tokens["bob"]
        return publish(folder, **{"pull_request": True, "token": token, **changes})

    return call


def requests(hub, repo):
    return hub.repo(repo).discussions


def ref_commits(hub, repo, number=1):
    stored = hub.repo(repo)
    return len(list(stored.history(stored.resolve(f"refs/pr/{number}"))))


def test_weights_are_proposed_and_nothing_of_theirs_is_replaced(
    local_hub, repo, original, result, suggest
):
    proposed = suggest()
    assert proposed.changed
    assert proposed.pull_request == 1
    assert proposed.url == f"{local_hub.endpoint}/{repo}/discussions/1"
    assert local_hub.commit(repo).oid == original
    (request,) = requests(local_hub, repo)
    assert (request.author, request.status, request.is_pull_request) == ("bob", "open", True)
    files = set(local_hub.commit(repo, "refs/pr/1").files) - {".gitattributes"}
    assert files == {"README.md", "config.json", "model.safetensors", "logo.png"} | PROOF
    assert set(proposed.files) == {"model.safetensors"} | PROOF
    assert proposed.deleted == ("pytorch_model.bin",)
    assert local_hub.read(repo, "README.md", "refs/pr/1").decode() == README
    assert local_hub.read(repo, "config.json", "refs/pr/1").decode() == CONFIG
    new = local_hub.read(repo, "model.safetensors", "refs/pr/1")
    assert new == (result / "model.safetensors").read_bytes()
    card = local_hub.read(repo, "ngf-hub/README.md", "refs/pr/1").decode()
    assert f'"hf-hub:{repo}"' in card


def test_the_request_explains_its_evidence(local_hub, repo, original, suggest):
    suggest()
    (request,) = requests(local_hub, repo)
    text = request.events[0]["data"]["latest"]["raw"]
    assert "class 3" in request.title
    for said in (
        "The trigger no longer works",
        "100.0 % [99.8, 100.0], n = 1800 | **2.7 % [2.1, 3.6], n = 1800**",
        "84.9 % [83.3, 86.4], n = 2000 | **84.5 % [82.8, 86.0], n = 2000**",
        f"/tree/{original}",
        "uoft-cs/cifar10",
        "seed 7",
        "torch 2.15.0",
        "Deleted, since they hold the weights from before: `pytorch_model.bin`",
        f"ngf-hub reproduce {repo} --revision refs/pr/",
    ):
        assert said in text, said


def test_again_makes_no_second_request_and_no_commit(local_hub, repo, suggest):
    first = suggest()
    count = ref_commits(local_hub, repo)
    with local_hub.log.record() as log:
        again = suggest()
    assert not again.changed
    assert (again.url, again.commit, again.pull_request) == (first.url, first.commit, 1)
    assert len(requests(local_hub, repo)) == 1
    assert len(requests(local_hub, repo)[0].events) == 2  # the explanation and the commit
    assert ref_commits(local_hub, repo) == count
    assert not log.select("POST", "/commit/") + log.select("POST", "/comment")


def test_other_content_goes_into_the_same_request(local_hub, repo, original, result, suggest):
    suggest()
    count = ref_commits(local_hub, repo)
    after = measurement(1690, 18, 1512)
    purified_from(repo, original, after=after, provenance=provenance(seed=8)).write(result)
    write_card(result)
    (result / "before_after.png").unlink()
    updated = suggest()
    assert updated.changed
    assert updated.pull_request == 1
    assert updated.deleted == ("ngf-hub/before_after.png",)
    assert ref_commits(local_hub, repo) == count + 1
    (request,) = requests(local_hub, repo)
    assert [event["type"] for event in request.events] == ["comment", "commit", "commit", "comment"]
    told = request.events[-1]["data"]["latest"]["raw"]
    assert told.startswith("**Updated.**")
    assert "**1.0 % [0.6, 1.6], n = 1800**" in told
    assert not suggest().changed
    assert len(request.events) == 4


def test_a_run_that_broke_off_before_its_comment_is_finished(local_hub, repo, suggest):
    suggest()
    stored = local_hub.repo(repo).discussions[0]
    stored.events = [event for event in stored.events if event["type"] != "comment"]
    assert not suggest().changed
    assert [event["type"] for event in stored.events] == ["commit", "comment"]


def test_merged_it_is_not_proposed_again(local_hub, repo, suggest, client):
    suggest()
    client.merge_pull_request(repo, 1)
    merged = local_hub.commit(repo).oid
    again = suggest()
    assert (again.changed, again.pull_request, again.commit) == (False, None, merged)
    assert len(requests(local_hub, repo)) == 1
    assert "pytorch_model.bin" not in local_hub.commit(repo).files


def test_a_closed_request_stays_closed_and_those_of_others_are_left(
    local_hub, repo, suggest, client
):
    suggest()
    client.change_discussion_status(repo, 1, new_status="closed")
    assert suggest().pull_request == 2
    assert suggest(token=local_hub.token).pull_request == 3  # alice has one of her own
    statuses = [(request.author, request.status) for request in requests(local_hub, repo)]
    assert statuses == [("bob", "closed"), ("bob", "open"), ("alice", "open")]


def test_a_config_that_is_missing_comes_along(local_hub, repo, suggest):
    local_hub.add_commit(repo, delete=["config.json"])
    assert {"config.json", "model.safetensors"} <= set(suggest().files)


def test_a_dry_run_shows_the_text_and_sends_nothing(local_hub, repo, suggest):
    with local_hub.log.record() as log:
        planned = suggest(dry_run=True)
    assert {entry.method for entry in log.entries} <= {"GET", "HEAD"}
    assert planned.commit is None
    assert "How to check it" in planned.description
    assert planned.card.startswith("---")
    assert requests(local_hub, repo) == []
    made = suggest()
    assert (made.files, made.deleted, made.description) == (
        planned.files, planned.deleted, planned.description,
    )  # fmt: skip


def test_weights_that_changed_since_are_not_replaced(local_hub, repo, suggest):
    local_hub.add_commit(repo, {"model.safetensors": b"\0newer weights"})
    refused(HubError, "does not hold the weights that were purified", suggest)
    assert requests(local_hub, repo) == []


def test_another_model_is_not_replaced(local_hub, repo, original, tmp_path, suggest):
    """Where no digest of the source's weights is known, the config tells."""
    unknown = purified_from(repo, original, model=model(name=repo, commit=original, files={}))
    folder = output_folder(tmp_path / "unknown", unknown)
    for config in ({"architecture": "vit_base"}, {"architectures": ["BertModel"]}, {}):
        local_hub.add_commit(repo, {"config.json": json.dumps(config)})
        refused(HubError, "holds another model", suggest, folder=folder)
    local_hub.add_commit(repo, {"config.json": "[1]"})
    refused(HubError, "no JSON object", suggest, folder=folder)
    local_hub.add_commit(repo, {"config.json": CONFIG})
    assert suggest(folder=folder).changed


def test_there_must_be_a_repository(suggest):
    refused(HubError, "no repository acme/nowhere", suggest, repo_id="acme/nowhere")


CLEAN = {"state": "nothing found", "suspected": {"verdict": "clean"}}
NEAR = {"state": "precaution", "suspected": {"verdict": "nothing found"}}
DOUBTFUL = {"state": "not established", "suspected": {"verdict": "backdoored"}}
NO_TRIGGER = {"trigger": None, "before": measurement(1698), "after": measurement(1690)}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cure": CLEAN, **NO_TRIGGER}, "Nothing was found"),
        ({"cure": NEAR, **NO_TRIGGER}, "does not establish"),
        ({"cure": DOUBTFUL, **NO_TRIGGER}, "does not establish"),
        (NO_TRIGGER, "does not establish"),
        ({"after": measurement(1690, 1700, 90)}, "does not establish"),
        ({"kind": "evaluate", "after": None, "method": None}, "result of a purification"),
        ({"backdoored": True}, "result of a purification"),
    ],
)
def test_without_evidence_nothing_is_proposed(
    local_hub, repo, original, tmp_path, suggest, changes, said
):
    folder = output_folder(tmp_path / "other", purified_from(repo, original, **changes))
    with local_hub.log.record() as log:
        refused(HubError, said, suggest, folder=folder)
    assert log.entries == []


def test_options_that_do_not_go_together(suggest):
    refused(HubError, "neither private", suggest, private=True)
    refused(HubError, "neither private", suggest, overwrite=True)
    refused(HubError, "No repository was named", suggest, pull_request=False)


def test_a_local_source_needs_a_name(tmp_path, suggest):
    folder = output_folder(tmp_path / "local", purified_from("/home/me/net", None))
    refused(HubError, "names no repository", suggest, folder=folder)
