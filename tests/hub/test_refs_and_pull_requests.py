"""Branches, tags, history and pull requests, by the unmodified HfApi."""

import pytest
from huggingface_hub import CommitOperationAdd
from huggingface_hub.errors import (
    BadRequestError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RevisionNotFoundError,
)


@pytest.fixture
def api(hub_api):
    return hub_api()


def add(api, repo_id, path, content, **kwargs):
    operations = [CommitOperationAdd(path, content)]
    kwargs.setdefault("commit_message", f"Add {path}")
    return api.create_commit(repo_id, operations, **kwargs)


def read(api, repo_id, path, revision):
    with open(api.hf_hub_download(repo_id, path, revision=revision), "rb") as stream:
        return stream.read()


def test_branches(api, local_hub):
    sha = local_hub.add_repo("acme/branches", files={"a.txt": "a"})
    api.create_branch("acme/branches", branch="try/one")
    api.create_branch("acme/branches", branch="try/one", exist_ok=True)
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_branch("acme/branches", branch="try/one")
    assert caught.value.response.status_code == 409
    with pytest.raises(BadRequestError):
        api.create_branch("acme/branches", branch="refs/pr/9")
    with pytest.raises(RevisionNotFoundError):
        api.create_branch("acme/branches", branch="b", revision="nope")
    new = add(api, "acme/branches", "b.txt", b"b", revision="try/one").oid
    refs = {ref.name: ref.target_commit for ref in api.list_repo_refs("acme/branches").branches}
    assert refs == {"main": sha, "try/one": new}
    assert "b.txt" not in api.list_repo_files("acme/branches")
    assert read(api, "acme/branches", "b.txt", "try/one") == b"b"
    api.delete_branch("acme/branches", branch="try/one")
    assert not api.revision_exists("acme/branches", "try/one")
    with pytest.raises(HfHubHTTPError) as caught:
        api.delete_branch("acme/branches", branch="main")
    assert caught.value.response.status_code == 403


def test_tags(api, local_hub):
    old = local_hub.add_repo("acme/tags", files={"a.txt": "old"})
    local_hub.add_commit("acme/tags", {"a.txt": "new"})
    api.create_tag("acme/tags", tag="v1.0", revision=old)
    api.create_tag("acme/tags", tag="v1.0", revision=old, exist_ok=True)
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_tag("acme/tags", tag="v1.0")
    assert caught.value.response.status_code == 409
    assert read(api, "acme/tags", "a.txt", "v1.0") == b"old"
    (tag,) = api.list_repo_refs("acme/tags").tags
    assert (tag.name, tag.target_commit) == ("v1.0", old)
    with pytest.raises(RevisionNotFoundError):
        add(api, "acme/tags", "b.txt", b"b", revision="v1.0")
    api.delete_tag("acme/tags", tag="v1.0")
    with pytest.raises(RevisionNotFoundError):
        api.delete_tag("acme/tags", tag="v1.0")


def test_history(api, local_hub):
    local_hub.add_repo("acme/history", files={"a.txt": "0"})
    for number in range(60):
        local_hub.add_commit("acme/history", {"a.txt": str(number)}, message=f"Step {number}")
    with local_hub.log.record() as log:
        commits = api.list_repo_commits("acme/history")
    steps = [f"Step {number}" for number in reversed(range(60))]
    assert [commit.title for commit in commits] == [*steps, "Add files", "initial commit"]
    assert len(log.select(path="/commits/")) == 2
    assert commits[0].commit_id == local_hub.commit("acme/history").oid
    assert commits[0].authors == ["acme"]


def test_abbreviated_commit(api, local_hub):
    sha = local_hub.add_repo("acme/short", files={"a.txt": "a"})
    assert api.model_info("acme/short", revision=sha[:7]).sha == sha
    assert not api.revision_exists("acme/short", sha[:6])


def test_pull_request_by_commit(api, hub_api, local_hub):
    """One way to open one: commit with ``create_pr``, here by a stranger."""
    before = local_hub.add_repo("acme/by-commit", files={"a.txt": "old", "w.bin": b"\0w"})
    bob = hub_api(token=local_hub.tokens["bob"])
    operations = [CommitOperationAdd("a.txt", b"new"), CommitOperationAdd("x.bin", b"\0x")]
    info = bob.create_commit(
        "acme/by-commit",
        operations,
        commit_message="Better",
        commit_description="Because.",
        create_pr=True,
    )
    assert (info.pr_num, info.pr_revision) == (1, "refs/pr/1")
    assert info.pr_url == f"{local_hub.endpoint}/acme/by-commit/discussions/1"
    assert read(bob, "acme/by-commit", "a.txt", "refs/pr/1") == b"new"
    assert local_hub.commit("acme/by-commit").oid == before
    add(bob, "acme/by-commit", "b.txt", b"b", revision="refs/pr/1")

    details = api.get_discussion_details("acme/by-commit", 1)
    assert (details.title, details.author, details.status) == ("Better", "bob", "open")
    assert details.git_reference == "refs/pr/1"
    assert [event.type for event in details.events] == ["comment", "commit", "commit"]
    assert details.events[0].content == "Because."
    assert details.conflicting_files == []
    removed, added = details.diff.index("\n-old\n"), details.diff.index("\n+new\n")
    assert removed < added
    assert "Binary files a/x.bin" in details.diff
    (ref,) = api.list_repo_refs("acme/by-commit", include_pull_requests=True).pull_requests
    assert ref.ref == "refs/pr/1"
    with pytest.raises(HfHubHTTPError) as caught:
        bob.merge_pull_request("acme/by-commit", 1)
    assert caught.value.response.status_code == 403

    local_hub.add_commit("acme/by-commit", {"c.txt": "meanwhile"}, delete=["w.bin"])
    api.merge_pull_request("acme/by-commit", 1, comment="Thanks")
    merged = api.get_discussion_details("acme/by-commit", 1)
    assert merged.status == "merged"
    assert merged.merge_commit_oid == api.model_info("acme/by-commit").sha
    files = set(api.list_repo_files("acme/by-commit"))
    assert files == {".gitattributes", "a.txt", "b.txt", "c.txt", "x.bin"}
    assert api.list_repo_commits("acme/by-commit")[0].title == "Better (#1)"
    assert read(api, "acme/by-commit", "a.txt", "main") == b"new"


def test_pull_request_by_discussion(api, local_hub, tmp_path):
    """The other way: open it first, then commit to its ref."""
    local_hub.add_repo("acme/by-discussion", files={"a.txt": "old"}, repo_type="dataset")
    where = {"repo_id": "acme/by-discussion", "repo_type": "dataset"}
    opened = api.create_pull_request(title="Better", description="Because.", **where)
    assert (opened.num, opened.status, opened.is_pull_request) == (1, "draft", True)
    (tmp_path / "a.txt").write_text("new")
    (tmp_path / "d.parquet").write_bytes(b"\0d")
    api.upload_folder(folder_path=tmp_path, revision=opened.git_reference, **where)
    with pytest.raises(BadRequestError, match="draft"):
        api.merge_pull_request(discussion_num=1, **where)
    api.change_discussion_status(discussion_num=1, new_status="open", **where)
    api.merge_pull_request(discussion_num=1, **where)
    assert local_hub.read("acme/by-discussion", "a.txt", repo_type="dataset") == b"new"
    with pytest.raises(BadRequestError, match="merged"):
        api.upload_file(path_in_repo="b.txt", path_or_fileobj=b"b", revision="refs/pr/1", **where)


def test_upload_folder_as_pull_request(api, local_hub, tmp_path):
    local_hub.add_repo("acme/folder-pr")
    (tmp_path / "model.safetensors").write_bytes(b"\0w")
    info = api.upload_folder(repo_id="acme/folder-pr", folder_path=tmp_path, create_pr=True)
    assert read(api, "acme/folder-pr", "model.safetensors", info.pr_revision) == b"\0w"
    assert "model.safetensors" not in api.list_repo_files("acme/folder-pr")


def test_conflicting_pull_request(api, local_hub):
    local_hub.add_repo("acme/conflict", files={"a.txt": "old"})
    add(api, "acme/conflict", "a.txt", b"theirs", create_pr=True)
    local_hub.add_commit("acme/conflict", {"a.txt": "ours"})
    assert api.get_discussion_details("acme/conflict", 1).conflicting_files == ["a.txt"]
    with pytest.raises(HfHubHTTPError, match=r"a\.txt") as caught:
        api.merge_pull_request("acme/conflict", 1)
    assert caught.value.response.status_code == 409
    assert local_hub.read("acme/conflict", "a.txt") == b"ours"


def test_pull_request_from_an_older_parent(api, local_hub):
    old = local_hub.add_repo("acme/older", files={"a.txt": "a"})
    local_hub.add_commit("acme/older", {"b.txt": "b"})
    info = add(api, "acme/older", "c.txt", b"c", create_pr=True, parent_commit=old)
    assert set(api.list_repo_files("acme/older", revision=info.pr_revision)) == {
        ".gitattributes",
        "a.txt",
        "c.txt",
    }


def test_failing_commit_opens_no_pull_request(api, local_hub):
    local_hub.add_repo("acme/no-pr")
    with pytest.raises(RemoteEntryNotFoundError):
        api.delete_file("missing.txt", "acme/no-pr", create_pr=True)
    assert list(api.get_repo_discussions("acme/no-pr")) == []


def test_discussions(api, hub_api, local_hub):
    local_hub.add_repo("acme/talk")
    bob = hub_api(token=local_hub.tokens["bob"])
    for number in range(11):
        bob.create_discussion("acme/talk", f"Question {number}")
    add(bob, "acme/talk", "a.txt", b"a", create_pr=True)
    assert len(list(api.get_repo_discussions("acme/talk"))) == 12
    (pull_request,) = api.get_repo_discussions("acme/talk", discussion_type="pull_request")
    assert pull_request.num == 12
    comment = api.comment_discussion("acme/talk", 1, comment="An answer")
    assert (comment.author, comment.content) == ("alice", "An answer")
    renamed = api.rename_discussion("acme/talk", 1, new_title="Answered")
    assert (renamed.old_title, renamed.new_title) == ("Question 0", "Answered")
    api.change_discussion_status("acme/talk", 1, new_status="closed", comment="Done")
    details = api.get_discussion_details("acme/talk", 1)
    assert (details.title, details.status) == ("Answered", "closed")
    (closed,) = api.get_repo_discussions("acme/talk", discussion_status="closed")
    assert closed.num == 1
    mine = list(api.get_repo_discussions("acme/talk", author="bob", discussion_type="discussion"))
    assert len(mine) == 11
    with pytest.raises(HfHubHTTPError) as caught:
        hub_api(token=local_hub.add_user("erin")).change_discussion_status(
            "acme/talk", 2, new_status="closed"
        )
    assert caught.value.response.status_code == 403
