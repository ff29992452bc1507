"""Who may see and change what, as the exceptions of the unmodified HfApi tell it."""

import pytest
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError


@pytest.fixture(scope="module")
def repos(local_hub):
    local_hub.add_repo("acme/public", files={"a.txt": "a", "w.bin": b"\0w"})
    local_hub.add_repo("acme/private", files={"a.txt": "a"}, private=True)
    local_hub.add_repo("acme/gated", files={"a.txt": "a"}, gated=True)
    return local_hub


def status(caught):
    return caught.value.response.status_code


def test_whoami(hub_api, local_hub):
    me = hub_api().whoami()
    assert me["name"] == "alice"
    assert [org["name"] for org in me["orgs"]] == ["acme"]
    assert me["auth"]["accessToken"]["role"] == "write"
    reader = hub_api(token=local_hub.tokens["alice-read"]).whoami()
    assert reader["auth"]["accessToken"]["role"] == "read"


@pytest.mark.parametrize(("who", "code"), [(False, 401), ("bob", 404)])
def test_private_repo_looks_missing(hub_api, repos, who, code):
    api = hub_api(token=who and repos.tokens[who])
    for call in (
        lambda: api.model_info("acme/private"),
        lambda: api.hf_hub_download("acme/private", "a.txt"),
        lambda: api.snapshot_download("acme/private"),
        lambda: list(api.list_repo_tree("acme/private")),
        lambda: api.model_info("acme/no-such-repo"),
        lambda: api.hf_hub_download("no-such-namespace", "a.txt"),
    ):
        with pytest.raises(RepositoryNotFoundError) as caught:
            call()
        assert status(caught) in (code, 404)
        assert not isinstance(caught.value, GatedRepoError)
    assert "acme/private" not in {model.id for model in api.list_models(author="acme")}


@pytest.mark.parametrize("token", ["alice", "alice-read"])
def test_private_repo_for_its_members(hub_api, repos, token):
    api = hub_api(token=repos.tokens[token])
    assert api.model_info("acme/private").private
    assert api.hf_hub_download("acme/private", "a.txt")


@pytest.mark.parametrize(("who", "code"), [(False, 401), ("bob", 403)])
def test_gated_repo(hub_api, repos, who, code):
    api = hub_api(token=who and repos.tokens[who])
    assert api.model_info("acme/gated").gated == "manual"
    for call in (
        lambda: api.hf_hub_download("acme/gated", "a.txt"),
        lambda: api.snapshot_download("acme/gated"),
        lambda: api.auth_check("acme/gated"),
    ):
        with pytest.raises(GatedRepoError) as caught:
            call()
        assert status(caught) == code


def test_granted_access(hub_api, repos):
    repos.add_repo("acme/by-request", files={"a.txt": "a"}, gated=True)
    api = hub_api(token=repos.add_user("dora"))
    with pytest.raises(GatedRepoError):
        api.hf_hub_download("acme/by-request", "a.txt")
    repos.grant("acme/by-request", "dora")
    assert api.hf_hub_download("acme/by-request", "a.txt")


def test_unknown_token(hub_api, repos):
    api = hub_api(token="hf_no_such_token")
    for call in (
        api.whoami,
        lambda: api.model_info("acme/public"),
        lambda: api.create_repo("acme/fresh"),
        lambda: api.upload_file(repo_id="acme/public", path_in_repo="b.txt", path_or_fileobj=b"b"),
    ):
        with pytest.raises(HfHubHTTPError, match=r"[Ii]nvalid") as caught:
            call()
        assert status(caught) == 401
        assert not isinstance(caught.value, RepositoryNotFoundError)


@pytest.mark.parametrize(("who", "code"), [(False, 401), ("bob", 403), ("alice-read", 403)])
def test_writing_needs_the_right(hub_api, repos, who, code):
    api = hub_api(token=who and repos.tokens[who])
    before = repos.commit("acme/public").oid
    upload = {"repo_id": "acme/public", "path_in_repo": "b.txt"}
    for call in (
        lambda: api.create_repo("acme/fresh"),
        lambda: api.delete_repo("acme/public"),
        lambda: api.upload_file(path_or_fileobj=b"b", **upload),
        lambda: api.create_branch("acme/public", branch="b"),
        lambda: api.create_tag("acme/public", tag="v1"),
        lambda: api.update_repo_settings("acme/public", private=True),
        lambda: api.auth_check("acme/public", write=True),
    ):
        with pytest.raises(HfHubHTTPError) as caught:
            call()
        assert status(caught) == code
    assert repos.commit("acme/public").oid == before
    assert not repos.repo("acme/public").private


def test_settings(hub_api, repos):
    repos.add_repo("acme/settings")
    api = hub_api()
    api.update_repo_settings("acme/settings", private=True, gated="auto")
    info = api.model_info("acme/settings")
    assert (info.private, info.gated) == (True, "auto")
    api.update_repo_settings("acme/settings", gated=False)
    info = api.model_info("acme/settings")
    assert (info.private, info.gated) == (True, False)


def test_log_holds_no_token(hub_api, repos):
    hub_api().whoami()
    assert repos.log.entries
    assert repos.token not in repr(repos.log)
