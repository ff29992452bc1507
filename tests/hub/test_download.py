"""Listings and downloads, by the unmodified clients."""

import os

import pytest
from huggingface_hub import CommitOperationAdd, HfFileSystem
from huggingface_hub.errors import RemoteEntryNotFoundError, RevisionNotFoundError

from .plain_http import fetch, open_stream
from .server import LocalHub


@pytest.fixture
def api(hub_api):
    return hub_api(token=False)


@pytest.fixture(scope="module")
def versions(local_hub):
    """A repo with two commits; gives their ids, the older first."""
    old = local_hub.add_repo("acme/versions", files={"a.txt": "old", "sub/w.bin": b"\0old"})
    new = local_hub.add_commit("acme/versions", {"a.txt": "new"}, delete=["sub/w.bin"])
    return old, new


def test_download_at_a_pinned_commit(api, versions, local_hub):
    old, new = versions
    for revision, content in ((None, "new"), ("main", "new"), (new, "new"), (old, "old")):
        path = api.hf_hub_download("acme/versions", "a.txt", revision=revision)
        with open(path) as stream:
            assert stream.read() == content
        assert f"/snapshots/{old if content == 'old' else new}/" in path
    with local_hub.log.record() as log:
        api.hf_hub_download("acme/versions", "a.txt", revision=old)
    assert not log.entries, "a pinned file in the cache needs no request"


def test_snapshot_at_a_pinned_commit(api, versions):
    old, _ = versions
    folder = api.snapshot_download("acme/versions", revision=old)
    found = {
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, names in os.walk(folder)
        for name in names
    }
    assert found == {".gitattributes", "a.txt", "sub/w.bin"}
    with open(os.path.join(folder, "sub", "w.bin"), "rb") as stream:
        assert stream.read() == b"\0old"


def test_metadata_headers(api, local_hub, versions):
    old, new = versions
    url = f"{local_hub.endpoint}/acme/versions/resolve"
    metadata = api.get_hf_file_metadata(url=f"{url}/main/a.txt")
    assert (metadata.commit_hash, metadata.size) == (new, 3)
    assert metadata.etag == local_hub.commit("acme/versions").files["a.txt"].oid
    head = fetch("HEAD", f"{url}/{old}/sub/w.bin")
    entry = local_hub.commit("acme/versions", old).files["sub/w.bin"]
    assert head.headers["X-Linked-Etag"] == f'"{entry.sha256}"' == head.headers["ETag"]
    assert head.headers["X-Linked-Size"] == head.headers["Content-Length"] == "4"
    assert head.headers["X-Repo-Commit"] == old
    assert head.content == b""


def test_range(local_hub):
    content = bytes(range(256)) * 4096
    local_hub.add_repo("acme/ranges", files={"w.bin": content})
    url = f"{local_hub.endpoint}/acme/ranges/resolve/main/w.bin"
    with local_hub.log.record() as log:
        part = fetch("GET", url, headers={"Range": "bytes=1000-1999"})
        tail = fetch("GET", url, headers={"Range": "bytes=-10"})
        beyond = fetch("GET", url, headers={"Range": f"bytes={len(content)}-"})
    assert (part.status, part.content) == (206, content[1000:2000])
    assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(content)}"
    assert (tail.status, tail.content) == (206, content[-10:])
    assert beyond.status == 416
    assert [entry.bytes_sent for entry in log.entries[:2]] == [1000, 10]
    assert log.entries[0].range == "bytes=1000-1999"


def test_file_system_reads_only_a_part(api, local_hub):
    content = os.urandom(3_000_000)
    local_hub.add_repo("acme/remote", files={"data/w.bin": content}, repo_type="dataset")
    fs = HfFileSystem(endpoint=local_hub.endpoint, token=False, skip_instance_cache=True)
    path = "datasets/acme/remote/data/w.bin"
    with local_hub.log.record() as log, fs.open(path, block_size=10_000) as stream:
        stream.seek(2_000_000)
        assert stream.read(100) == content[2_000_000:2_000_100]
    assert 100 <= log.bytes_sent("/resolve/") < 50_000


def test_hanging_up_stops_the_transfer(local_hub):
    """A client that reads the start of a large file does not get all of it counted."""
    size = 50_000_000
    local_hub.add_repo("acme/huge", files={"w.bin": bytes(size)})
    with local_hub.log.record() as log:
        url = f"{local_hub.endpoint}/acme/huge/resolve/main/w.bin"
        with open_stream("GET", url) as response:
            assert response.read(1000) == bytes(1000)
    assert log.bytes_sent() < size / 5


def test_tree_of_many_files_comes_in_pages(api, local_hub):
    files = {f"part/{number:04d}.txt": str(number) for number in range(2100)}
    local_hub.add_repo("acme/many", files=files, repo_type="dataset")
    with local_hub.log.record() as log:
        entries = list(api.list_repo_tree("acme/many", recursive=True, repo_type="dataset"))
    assert {item.path for item in entries} == {".gitattributes", "part", *files}
    assert len(entries) == 2102
    assert len(log.select(path="/tree/main")) == 3
    top = {item.path for item in api.list_repo_tree("acme/many", repo_type="dataset")}
    assert top == {".gitattributes", "part"}
    inside = list(api.list_repo_tree("acme/many", "part", repo_type="dataset"))
    assert len(inside) == 2100


def test_expanded_tree_and_paths_info(api, local_hub, versions):
    old, new = versions
    tree = {item.path: item for item in api.list_repo_tree("acme/versions", expand=True)}
    assert tree["a.txt"].last_commit.oid == new
    first = local_hub.repo("acme/versions").commit(old).parents[0]
    assert tree[".gitattributes"].last_commit.oid == first
    found = api.get_paths_info("acme/versions", ["a.txt", "missing", "sub"], revision=old)
    assert [item.path for item in found] == ["a.txt", "sub"]


def test_missing_things(api, versions):
    _, new = versions
    with pytest.raises(RemoteEntryNotFoundError) as caught:
        api.hf_hub_download("acme/versions", "missing.txt")
    assert caught.value.response.headers["X-Repo-Commit"] == new
    with pytest.raises(RevisionNotFoundError):
        api.hf_hub_download("acme/versions", "a.txt", revision="nope")
    with pytest.raises(RevisionNotFoundError):
        api.model_info("acme/versions", revision="0" * 40)
    with pytest.raises(RemoteEntryNotFoundError):
        list(api.list_repo_tree("acme/versions", "missing"))
    assert not api.file_exists("acme/versions", "missing.txt")
    assert not api.revision_exists("acme/versions", "nope")


def test_model_info(api, local_hub):
    card = (
        "---\nlicense: mit\ntags: [backdoor]\nlibrary_name: timm\ndatasets: acme/digits\n"
        "pipeline_tag: image-classification\nbase_model: acme/base\n---\n# A card\n"
    )
    files = {"README.md": card, "model.safetensors": b"\0w", "pytorch_model.bin": b"\0p"}
    sha = local_hub.add_repo("acme/info", files=files)
    local_hub.flag_unsafe("acme/info", "pytorch_model.bin")
    info = api.model_info("acme/info", files_metadata=True, securityStatus=True)
    assert (info.sha, info.private, info.gated, info.author) == (sha, False, False, "acme")
    assert info.card_data.license == "mit"
    assert info.pipeline_tag == "image-classification"
    assert info.library_name == "timm"
    wanted = {"backdoor", "license:mit", "dataset:acme/digits", "base_model:acme/base"}
    assert wanted <= set(info.tags)
    weights = next(item for item in info.siblings if item.rfilename == "model.safetensors")
    assert (weights.size, weights.lfs.size) == (2, 2)
    assert info.security_repo_status == {
        "scansDone": True,
        "filesWithIssues": [{"path": "pytorch_model.bin", "level": "unsafe"}],
    }
    assert api.model_info("acme/info").security_repo_status is None
    short = api.model_info("acme/info", expand=["sha"])
    assert (short.sha, short.tags) == (sha, None)


def test_list_models(api, hub_api, local_hub):
    for name in ("one", "two", "three"):
        card = f"---\nlicense: mit\ntags: [{name}]\n---\n"
        local_hub.add_repo(f"listed/{name}", files={"README.md": card})
    local_hub.add_repo("listed/hidden", private=True)
    local_hub.add_repo("unlisted/one")
    ids = lambda **query: {model.id for model in api.list_models(**query)}  # noqa: E731
    assert ids(author="listed") == {"listed/one", "listed/two", "listed/three"}
    assert ids(author="listed", filter="two") == {"listed/two"}
    assert ids(filter=["license:mit", "three"]) == {"listed/three"}
    assert ids(search="LISTED/t") == {"listed/two", "listed/three"}
    assert len(list(api.list_models(author="listed", limit=2))) == 2
    newest = next(api.list_models(author="listed", sort="created_at", limit=1, full=True))
    assert newest.id == "listed/three"
    assert newest.sha == local_hub.commit("listed/three").oid
    assert list(api.list_datasets(author="listed")) == []
    member = hub_api(token=local_hub.add_user("carol", orgs=["listed"]))
    assert "listed/hidden" in {model.id for model in member.list_models(author="listed")}


def test_list_models_follows_pages(local_hub):
    for number in range(5):
        local_hub.add_repo(f"paged/{number}")
    url = f"{local_hub.endpoint}/api/models?author=paged&limit=2"
    pages = []
    while url:
        response = fetch("GET", url)
        pages.append({item["id"] for item in response.json()})
        link = response.headers["Link"]
        url = link and link.removeprefix("<").removesuffix('>; rel="next"')
    assert [len(page) for page in pages] == [2, 2, 1]
    assert set.union(*pages) == {f"paged/{number}" for number in range(5)}


def test_unknown_endpoint_is_named(local_hub):
    response = fetch("GET", f"{local_hub.endpoint}/api/collections")
    assert response.status == 501
    assert "/api/collections" in response.json()["error"]


def test_restart_serves_the_same_store(tmp_path, hub_api):
    with LocalHub(tmp_path / "store") as hub:
        hub.add_repo("acme/kept", files={"a.txt": "kept", "w.bin": b"\0w"})
        operations = [CommitOperationAdd("a.txt", b"proposed")]
        api = type(hub_api())(hub.endpoint, token=hub.token)
        api.create_commit("acme/kept", operations, commit_message="Propose", create_pr=True)
        sha = hub.add_commit("acme/kept", {"b.txt": "b"})
    with LocalHub(tmp_path / "store") as hub:
        api = type(hub_api())(hub.endpoint, token=False)
        assert api.model_info("acme/kept").sha == sha
        path = api.hf_hub_download("acme/kept", "a.txt", revision="refs/pr/1")
        with open(path) as stream:
            assert stream.read() == "proposed"
        (discussion,) = api.get_repo_discussions("acme/kept")
        assert (discussion.title, discussion.status) == ("Propose", "open")


def test_unquoted_pull_request_ref(hub_api, local_hub):
    """HfFileSystem sends refs/pr/1 as it is, other clients as one quoted segment."""
    local_hub.add_repo("acme/unquoted", files={"a.txt": "old"})
    operations = [CommitOperationAdd("a.txt", b"new")]
    hub_api().create_commit("acme/unquoted", operations, commit_message="New", create_pr=True)
    fs = HfFileSystem(endpoint=local_hub.endpoint, token=False, skip_instance_cache=True)
    assert fs.cat("acme/unquoted@refs/pr/1/a.txt") == b"new"
    url = f"{local_hub.endpoint}/acme/unquoted/resolve"
    assert fetch("GET", f"{url}/refs/pr/1/a.txt").content == b"new"
    assert fetch("GET", f"{url}/refs%2Fpr%2F1/a.txt").content == b"new"


def test_bad_cursor_is_refused(local_hub, versions):
    url = f"{local_hub.endpoint}/api/models/acme/versions/tree/main?cursor=bm9wZQ=="
    assert fetch("GET", url).status == 400


def test_middleware_stands_inside_the_log(tmp_path):
    """Faults can be put in front of the application, and the log shows them."""

    def refuse_downloads(app):
        async def wrapped(scope, receive, send):
            if b"/resolve/" not in scope["raw_path"]:
                return await app(scope, receive, send)
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b"busy"})

        return wrapped

    with LocalHub(tmp_path, middleware=[refuse_downloads]) as hub:
        hub.add_repo("acme/busy", files={"a.txt": "a"})
        assert fetch("GET", f"{hub.endpoint}/api/models/acme/busy").status == 200
        assert fetch("GET", f"{hub.endpoint}/acme/busy/resolve/main/a.txt").status == 503
        assert [(entry.status, entry.bytes_sent > 3) for entry in hub.log.entries] == [
            (200, True),
            (503, True),
        ]
