"""Publishing an output folder as a Hub repository: one commit, nothing of others touched."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from ngf_hub.bundle import Bundle, collect
from ngf_hub.card import CARD_FILE
from ngf_hub.checksums import same, size
from ngf_hub.committing import Published, check_id, make_commit
from ngf_hub.errors import HubError, ReportError
from ngf_hub.hub import LOGIN, hub_errors
from ngf_hub.patience import patiently
from ngf_hub.remote import Remote, look, stale
from ngf_hub.report import Report
from ngf_hub.text import plain, redact

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["Published", "check_destination", "publish"]


def publish(
    folder: str | Path,
    repo_id: str | None = None,
    *,
    pull_request: bool = False,
    private: bool = False,
    token: str | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    acknowledge_backdoored: bool = False,
    message: str | None = None,
) -> Published:
    """Put an output folder on the Hub, as a new repository or a new version of one.

    Sent are the weights (safetensors), their config and preprocessor, the
    card, the report, the plots and the triggers; nothing else that lies in the
    folder. All of it is one commit. Doing it again changes nothing.

    With ``pull_request`` the weights are proposed to a repository of somebody
    else instead; see :func:`ngf_hub.proposing.propose`.

    Args:
        folder: What ``ngf-hub purify --output`` or :meth:`Purified.save` wrote.
        repo_id: ``namespace/name``; only a pull request goes to the source of the
            report's model where it is left out.
        pull_request: Open a pull request, or bring the open one up to date.
        private: Make the new repository private; an existing public one is refused.
        token: A token with write access; the one of ``hf auth login`` or
            HF_TOKEN if left out.
        overwrite: Also publish into a repository that this tool did not make.
            Weights of other formats in it are deleted, its other files stay.
        dry_run: Check the folder and say what would be sent; nothing is asked
            of the Hub (but what a pull request would meet there).
        acknowledge_backdoored: Needed for a report that is marked as that of a
            backdoored research model.
        message: The commit's title.

    Raises:
        ReportError: The report or card is missing, broken or refused by the Hub.
        ModelError: Weights or config are missing, broken or do not fit.
        HubError: The repository is somebody else's, or the Hub cannot do it.
    """
    bundle = collect(Path(folder))
    if pull_request:
        if private or overwrite:
            raise HubError(
                "A pull request is neither private nor does it overwrite anything.",
                "Leave out --private and --overwrite.",
            )
        from ngf_hub.proposing import propose

        return propose(bundle, repo_id, token=token, dry_run=dry_run, message=message)
    if repo_id is None:
        raise HubError("No repository was named.", "Give it as `namespace/name`.")
    _check_request(bundle, repo_id, acknowledge_backdoored)
    from huggingface_hub import HfApi, get_token

    bundle.refuse_secrets([token, get_token()])
    api = HfApi(token=token)
    url = f"{api.endpoint}/{repo_id}"
    written = bundle.card(repo_id)
    contents: dict[str, bytes | Path] = {**bundle.files, CARD_FILE: written}
    sizes = {path: size(content) for path, content in contents.items()}
    card = written.decode()
    if dry_run:
        return Published(url, None, sizes, changed=False, left_out=bundle.left_out, card=card)
    _validate_card(card, token)
    with hub_errors(f"read {repo_id}", token=token):
        remote = look(api, repo_id)
    if remote is not None:
        _check_remote(remote, repo_id, private=private, overwrite=overwrite)
    created = remote is None
    if remote is None:
        _create(api, repo_id, private, token)
        remote = Remote(commit=None, private=private)
    changed = {p: c for p, c in contents.items() if not same(remote.files.get(p), c)}
    deleted = stale(remote, contents)
    if not changed and not deleted:
        return Published(url, remote.commit, sizes, False, bundle.left_out, card=card)
    title = message or _title(bundle.report)
    try:
        made = make_commit(
            api, repo_id, changed, deleted, title=title, parent=remote.commit, token=token
        )
    except HubError as error:
        if not created:
            raise
        hint = "Run the same command again: the new repository is there, still empty."
        raise HubError(error.message, hint) from error
    return Published(url, str(made.oid), sizes, True, bundle.left_out, tuple(deleted), card)


def check_destination(repo_id: str, token: str | None = None) -> None:
    """Refuse, without asking the Hub, what cannot be published to: before the work is done.

    Raises:
        HubError: It is no repository id, or there is no token.
    """
    from huggingface_hub import get_token

    check_id(repo_id)
    if not (token or get_token()):
        raise HubError(f"Publishing to {repo_id} needs a token and there is none.", LOGIN)


def _check_request(bundle: Bundle, repo_id: str, acknowledge_backdoored: bool) -> None:
    check_id(repo_id)
    if bundle.report.backdoored and not acknowledge_backdoored:
        raise HubError(
            "This is a research model with a backdoor put there on purpose.",
            "Publish it only knowingly: with --acknowledge-backdoored (and best with --private).",
        )


def _validate_card(content: str, token: str | None) -> None:
    """Let the Hub check the card's YAML block before anything is created.

    Raises:
        ReportError: It refuses the card.
    """
    from huggingface_hub import ModelCard

    try:
        with hub_errors("have the card checked by the Hub", token=token):
            patiently(ModelCard(content).validate)
    except ValueError as error:
        raise ReportError(
            f"The Hub refuses the card: {plain(redact(str(error), [token]), 300)}",
            f"Mend {CARD_FILE}, or write it again with `ngf-hub card`.",
        ) from error


def _check_remote(remote: Remote, repo_id: str, *, private: bool, overwrite: bool) -> None:
    if not (remote.ours or remote.empty or overwrite):
        raise HubError(
            f"{repo_id} exists and was not made by ngf-hub.",
            "Give another name, or --overwrite to publish into it all the same.",
        )
    if private and not remote.private:
        raise HubError(
            f"{repo_id} exists and is public.",
            "Make it private on the Hub, or leave out --private.",
        )


def _create(api: HfApi, repo_id: str, private: bool, token: str | None) -> None:
    from huggingface_hub.errors import HfHubHTTPError

    tries = itertools.count()

    def create() -> None:
        # None leaves it to what the namespace has set for new repositories. Of one that is
        # there at the second try the answer to the first got lost.
        api.create_repo(repo_id, private=private or None, exist_ok=next(tries) > 0)

    with hub_errors(f"create {repo_id}", token=token):
        try:
            patiently(create)
        except HfHubHTTPError as error:
            if error.response.status_code != 409:
                raise
            reason = f"{repo_id} exists already, but this token cannot see it."
            raise HubError(reason, f"Give another name. {LOGIN}") from error


def _title(report: Report) -> str:
    name = plain(report.model.name.rstrip("/").split("/")[-1], 60)
    done = f"after {plain(report.method.name, 20)}" if report.method else "with its measurements"
    if report.attack is not None:
        done = f"with a backdoor ({plain(report.attack.name, 20)})"
    return f"{name} {done}, by ngf-hub {plain(report.provenance.tool_version, 20)}"
