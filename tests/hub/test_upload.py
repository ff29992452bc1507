"""Creating repositories and committing to them, by the unmodified HfApi."""

import hashlib

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete
from huggingface_hub.errors import HfHubHTTPError, RemoteEntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.utils.sha import git_hash

from .plain_http import fetch


@pytest.fixture
def api(hub_api):
    return hub_api()


def head(api, repo_id, **kwargs):
    return api.repo_info(repo_id, **kwargs).sha


@pytest.mark.parametrize("repo_type", ["model", "dataset"])
def test_create_repo(api, local_hub, repo_type):
    url = api.create_repo("acme/new", repo_type=repo_type)
    assert (url.repo_id, url.repo_type, url.endpoint) == ("acme/new", repo_type, local_hub.endpoint)
    assert api.list_repo_files("acme/new", repo_type=repo_type) == [".gitattributes"]
    again = api.create_repo("acme/new", repo_type=repo_type, exist_ok=True)
    assert again == url
    with pytest.raises(HfHubHTTPError, match="already created") as caught:
        api.create_repo("acme/new", repo_type=repo_type)
    assert caught.value.response.status_code == 409
    assert caught.value.response.json()["url"] == url


def test_create_repo_in_own_namespace(api):
    assert api.create_repo("mine", private=True).repo_id == "alice/mine"
    assert api.repo_info("alice/mine").private is True


@pytest.mark.parametrize("name", ["acme/a--b", "acme/-a", "acme/a.git"])
def test_server_refuses_bad_names(local_hub, name):
    body = dict(zip(("organization", "name"), name.split("/"), strict=True))
    url = f"{local_hub.endpoint}/api/repos/create"
    assert fetch("POST", url, body, token=local_hub.token).status == 400


def test_delete_repo(api):
    api.create_repo("acme/doomed")
    api.delete_repo("acme/doomed")
    assert not api.repo_exists("acme/doomed")
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("acme/doomed")
    api.delete_repo("acme/doomed", missing_ok=True)


def test_regular_and_lfs_files(api, local_hub, tmp_path):
    weights, config = b"\x01weights" * 1000, b'{"a": 1}'
    (tmp_path / "sub").mkdir()
    (tmp_path / "model.safetensors").write_bytes(weights)
    (tmp_path / "sub" / "config.json").write_bytes(config)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0\0")  # binary by its content alone
    (tmp_path / "notes.txt").write_text("é" * 300)  # cut inside a character by the sample
    (tmp_path / "empty.bin").touch()
    api.create_repo("acme/mixed")
    info = api.upload_folder(repo_id="acme/mixed", folder_path=tmp_path, commit_message="All")
    assert info.repo_url.repo_id == "acme/mixed"
    assert info.oid == head(api, "acme/mixed")
    files = {item.path: item for item in api.list_repo_tree("acme/mixed", recursive=True)}
    lfs = {path for path, item in files.items() if getattr(item, "lfs", None)}
    assert lfs == {"model.safetensors", "picture.png"}
    assert files["model.safetensors"].lfs.sha256 == hashlib.sha256(weights).hexdigest()
    assert files["model.safetensors"].size == len(weights)
    assert files["sub/config.json"].blob_id == git_hash(config)
    assert local_hub.read("acme/mixed", "model.safetensors") == weights
    assert files["empty.bin"].size == 0


def test_large_text_goes_by_lfs(api):
    api.create_repo("acme/large")
    content = b"text\n" * (11 * 1024 * 1024 // 5)
    api.upload_file(repo_id="acme/large", path_in_repo="log.txt", path_or_fileobj=content)
    (entry,) = api.get_paths_info("acme/large", "log.txt")
    assert entry.lfs.size == len(content)


def test_unchanged_upload_makes_no_commit(api, local_hub, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.bin").write_bytes(b"\0b")
    api.create_repo("acme/same")
    first = api.upload_folder(repo_id="acme/same", folder_path=tmp_path)
    with local_hub.log.record() as log:
        second = api.upload_folder(repo_id="acme/same", folder_path=tmp_path)
    assert second.oid == first.oid
    assert not log.select(path="/commit/")
    assert not log.select(method="PUT")


def test_stored_lfs_object_is_not_sent_twice(api, local_hub):
    content = b"\0" + b"once" * 5000
    for repo_id in ("acme/first", "acme/second"):
        api.create_repo(repo_id)
        with local_hub.log.record() as log:
            api.upload_file(repo_id=repo_id, path_in_repo="w.bin", path_or_fileobj=content)
        sent = sum(entry.bytes_received for entry in log.select(method="PUT"))
        assert sent == (len(content) if repo_id == "acme/first" else 0)
    assert local_hub.read("acme/second", "w.bin") == content


def test_stale_parent_is_refused(api):
    api.create_repo("acme/race")
    old = head(api, "acme/race")
    upload = {"repo_id": "acme/race", "path_in_repo": "a.txt"}
    new = api.upload_file(path_or_fileobj=b"1", parent_commit=old, **upload).oid
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as caught:
        api.upload_file(path_or_fileobj=b"2", parent_commit=old, **upload)
    assert caught.value.response.status_code == 412
    assert head(api, "acme/race") == new


def test_copy_and_delete(api, local_hub):
    files = {"a.bin": b"\0a", "b.txt": "b", "old/x.txt": "x", "old/y/z.txt": "z"}
    local_hub.add_repo("acme/tidy", files=files)
    api.create_commit(
        "acme/tidy",
        [
            CommitOperationCopy("a.bin", "copy.bin"),
            CommitOperationDelete("old/"),
            CommitOperationDelete("b.txt"),
            CommitOperationAdd("old/new.txt", b"new"),
        ],
        commit_message="Tidy",
    )
    expected = {".gitattributes", "a.bin", "copy.bin", "old/new.txt"}
    assert set(api.list_repo_files("acme/tidy")) == expected
    assert local_hub.read("acme/tidy", "copy.bin") == b"\0a"
    with pytest.raises(RemoteEntryNotFoundError, match="doesn't exist"):
        api.delete_file("b.txt", "acme/tidy")
    with pytest.raises(RemoteEntryNotFoundError, match="doesn't exist"):
        api.delete_folder("b.txt", "acme/tidy")


def test_delete_patterns(api, local_hub, tmp_path):
    local_hub.add_repo("acme/sync", files={"keep.txt": "k", "logs/old.txt": "o"})
    (tmp_path / "new.txt").write_text("n")
    api.upload_folder(repo_id="acme/sync", folder_path=tmp_path, delete_patterns="logs/*")
    assert set(api.list_repo_files("acme/sync")) == {".gitattributes", "keep.txt", "new.txt"}


def test_gitignored_files_stay_away(api, local_hub, tmp_path):
    local_hub.add_repo("acme/ignore", files={".gitignore": "# comment\n*.log\n!keep.log\ncache/\n"})
    (tmp_path / "cache").mkdir()
    for name in ("a.log", "keep.log", "cache/x.txt", "a.txt"):
        (tmp_path / name).write_text(name)
    api.upload_folder(repo_id="acme/ignore", folder_path=tmp_path)
    uploaded = set(api.list_repo_files("acme/ignore")) - {".gitattributes", ".gitignore"}
    assert uploaded == {"keep.log", "a.txt"}


def test_commit_must_fit_the_store(local_hub):
    """What no well-behaved client sends is refused, and leaves the branch alone."""
    before = local_hub.add_repo("acme/strict", files={"a.txt": "a"})
    header = '{"key": "header", "value": {"summary": "s"}}\n'
    file = '{"key": "file", "value": {"path": "%s", "content": "%s", "encoding": "base64"}}'
    absent = '{"key": "lfsFile", "value": {"path": "w.bin", "algo": "sha256", "oid": "%s"}}'
    bodies = [
        "not json",
        file % ("a.txt", "YQ=="),  # no header
        header + file % ("../a.txt", "YQ=="),
        header + file % (".git/config", "YQ=="),
        header + file % ("a.txt", "!"),
        header + absent % ("0" * 64),
        header + absent % "../../etc/passwd",
        header + '{"key": "renamedFile", "value": {"path": "a.txt"}}',
        header + file % ("dir", "YQ==") + "\n" + file % ("dir/a.txt", "YQ=="),
    ]
    url = f"{local_hub.endpoint}/api/models/acme/strict/commit/main"
    for body in bodies:
        answer = fetch("POST", url, content=body.encode(), token=local_hub.token)
        assert answer.status == 400, body
    assert local_hub.commit("acme/strict").oid == before


def test_corrupt_lfs_upload_is_refused(local_hub):
    local_hub.add_repo("acme/corrupt")
    oid, token = hashlib.sha256(b"right").hexdigest(), local_hub.token
    batch = fetch(
        "POST",
        f"{local_hub.endpoint}/acme/corrupt.git/info/lfs/objects/batch",
        {"operation": "upload", "objects": [{"oid": oid, "size": 5}]},
        token=token,
    ).json()
    actions = batch["objects"][0]["actions"]
    upload, verify = actions["upload"]["href"], actions["verify"]["href"]
    size = {"oid": oid, "size": 5}
    assert fetch("PUT", upload, content=b"wrong").status == 400
    assert fetch("POST", verify, size, token=token).status == 404
    assert fetch("PUT", upload, content=b"right").status == 200
    assert fetch("POST", verify, size, token=token).status == 200
    guessed = f"{local_hub.endpoint}/lfs/upload/guess"
    assert fetch("PUT", guessed, content=b"x").status == 403
