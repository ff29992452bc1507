"""The Hub's errors, one line each: real ones from a real server, and of network and disk."""

from __future__ import annotations

import builtins
import errno
import socket

import pytest
from huggingface_hub import HfApi, constants, errors

from ngf_hub.errors import HubError, ModelError
from ngf_hub.hub import hub_errors, is_hub_id

SECRET = "hf_" + "A1b2" * 8


def message(error: BaseException | type[BaseException], **options: object) -> str:
    """What a user reads of an error."""
    with pytest.raises(HubError) as caught, hub_errors("fetch model acme/net", **options):
        raise error
    assert caught.value.hint
    assert caught.value.__cause__ is error
    return one_line(caught.value)


def one_line(error: HubError) -> str:
    text = str(error)
    assert len(text.splitlines()) == 1
    assert text.startswith("Cannot ")
    return text


@pytest.fixture(scope="module")
def hub(local_hub):
    local_hub.add_repo("acme/net", files={"config.json": "{}"})
    local_hub.add_repo("acme/hidden", files={"config.json": "{}"}, private=True)
    local_hub.add_repo("acme/gated", files={"config.json": "{}"}, gated=True)
    return local_hub


@pytest.mark.parametrize(
    ("repo", "options", "said"),
    [
        ("acme/nothing", {}, "no such repository, or it is private"),
        ("acme/hidden", {}, "no such repository, or it is private"),
        ("acme/gated", {}, "gated"),
        ("acme/net", {"filename": "pytorch_model.bin"}, "no such file"),
        ("acme/net", {"revision": "v9"}, "no such revision"),
        ("acme/net", {"token": SECRET}, "refused the token"),
        ("a//b", {}, "not a valid one"),
    ],
)
def test_answers_of_the_hub(hub, hub_api, repo, options, said):
    api = hub_api(token=options.pop("token", hub.tokens["bob"]))
    given = {"filename": "config.json", **options}
    with pytest.raises(HubError) as caught, hub_errors(f"fetch {repo}", token=SECRET):
        api.hf_hub_download(repo, **given)
    text = one_line(caught.value)
    assert said in text
    assert SECRET not in text


def test_what_works_and_what_is_none_of_the_hubs_business_passes(hub, hub_api):
    with hub_errors("fetch"):
        assert hub_api().hf_hub_download("acme/net", "config.json")
    for error in (ModelError("mine"), KeyError("x"), ValueError("y"), FileNotFoundError("z")):
        with pytest.raises(type(error)) as caught, hub_errors("fetch"):
            raise error
        assert caught.value is error
    with pytest.raises(KeyboardInterrupt), hub_errors("fetch"):
        raise KeyboardInterrupt


def test_no_server(hub, hub_api):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
    hub_api()  # sets the constants that are put back after the test
    with pytest.raises(HubError, match="cannot be reached"), hub_errors("fetch"):
        HfApi(endpoint).model_info("acme/net")


def test_offline_mode(hub, hub_api, monkeypatch):
    api = hub_api()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE") as caught, hub_errors("fetch acme/net"):
        api.hf_hub_download("acme/net", "config.json")
    assert "offline mode" in one_line(caught.value)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EFBIG, "File too large"), "larger than this system allows"),
        (PermissionError(errno.EACCES, "denied", "/cache/x"), "/cache/x"),
        (builtins.ConnectionError("Couldn't reach it"), "cannot be reached"),
        (TimeoutError(), "in time"),
        (socket.gaierror(-2, "Name or service not known"), "cannot be reached"),
        (OSError("Consistency check failed: file should be of size 5"), "cut short"),
        (errors.LocalEntryNotFoundError("nothing"), "not in the cache"),
        (errors.LocalTokenNotFoundError("x"), "there is none"),
    ],
)
def test_disk_network_and_cache(error, said):
    assert said in message(error)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ConnectError", "cannot be reached"),
        ("ConnectTimeout", "in time"),
        ("ReadTimeout", "in time"),
        ("ReadError", "broke off"),
        ("RemoteProtocolError", "broke off"),
        ("ProxyError", "proxy"),
    ],
)
def test_http_client(name, said):
    client = pytest.importorskip(errors.HfHubHTTPError.__mro__[1].__module__.split(".")[0])
    assert said in message(getattr(client, name)("server said"))


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "token"),
        (403, "may not"),
        (409, "at the same time"),
        (412, "at the same time"),
        (413, "too large"),
        (418, "status 418"),
        (429, "slow down"),
        (500, "fault of its own"),
        (503, "fault of its own"),
    ],
)
def test_statuses(status, said):
    client = pytest.importorskip(errors.HfHubHTTPError.__mro__[1].__module__.split(".")[0])
    request = client.Request("GET", f"http://u:{SECRET}@host/api")
    error = errors.HfHubHTTPError(
        f"{status} for url with {SECRET}",
        response=client.Response(status, request=request),
        server_message=f"your token {SECRET}\nor my-own-secret was \x1b[31mbad",
    )
    text = message(error, token="my-own-secret")
    assert said in text
    assert not [word for word in (SECRET, "my-own-secret", "\x1b") if word in text]


def test_the_cause_of_another_librarys_error_is_told():
    """transformers and datasets raise their own from the Hub's."""
    error = RuntimeError("Error while uploading")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert "the disk is full" in message(error)
    # One thread's upload, while another closed the client that could not connect.
    error.__cause__ = RuntimeError("Cannot send a request, as the client has been closed.")
    assert "cannot be reached" in message(error)
    error.__cause__ = AttributeError("the connection was taken away")
    assert "an upload broke off" in message(error)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("timm/resnet18.a1_in1k", True),
        ("gpt2", True),
        ("./model", False),
        ("/abs/model", False),
        ("a/b/c", False),
        ("a/..", False),
        ("a/b--c", False),
        ("a/b.git", False),
        ("a/b c", False),
        ("a/b\n", False),
        ("a/" + "b" * 200, False),
        ("", False),
    ],
)
def test_hub_ids(text, valid):
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    assert is_hub_id(text) is valid
    if valid:
        validate_repo_id(text)
    elif not text.startswith(("./", "/")):
        with pytest.raises(HFValidationError):
            validate_repo_id(text)
