"""Proposing a purified model to the repository that it came from, as a pull request.

The weights take the place of those that hold the backdoor. The evidence comes beside
them in a folder of its own: the repository's README, its claims and its metadata are
its owners', and a request that replaced them would rightly not be merged. The config
stays theirs too, since purification changes weights and nothing else.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ngf_hub.bundle import CONFIG_FILE, IF_THERE, Bundle
from ngf_hub.card import CARD_FILE
from ngf_hub.card_text import card_values, source_is_on_hub
from ngf_hub.checksums import same, size, update
from ngf_hub.committing import Published, check_id, make_commit
from ngf_hub.errors import HubError
from ngf_hub.hub import hub_errors
from ngf_hub.outcome import read_outcome
from ngf_hub.patience import patiently
from ngf_hub.remote import Remote, files_at, is_weights, json_at, look, stale
from ngf_hub.report import REPORT_FILE, Report
from ngf_hub.text import code, plain

if TYPE_CHECKING:
    from huggingface_hub import HfApi

PROOF = "ngf-hub/"
"""The folder of a repository in which a pull request puts card, report, plots and triggers."""

_OWN = "Publish it as a repository of your own instead: give org/name without --pr."
_LARGEST_CONFIG = 16 * 2**20


def propose(
    bundle: Bundle,
    repo_id: str | None = None,
    *,
    token: str | None = None,
    dry_run: bool = False,
    message: str | None = None,
) -> Published:
    """Open a pull request with the purified weights and the evidence for them.

    Doing it again with the same content changes nothing; with another, the open pull
    request of the same user gets one more commit and a comment. What was merged is not
    proposed again.

    Args:
        bundle: The files of an output folder.
        repo_id: The repository; the source of the report's model if left out.
        token: A token with write access to pull requests; the usual one if left out.
        dry_run: Look at the repository and say what would be sent.
        message: The title.

    Raises:
        HubError: There is no evidence to propose it by, the repository holds another
            model or weights than those that were purified, or the Hub cannot do it.
        ReportError: The Hub refuses the content.
    """
    from huggingface_hub import HfApi, get_token

    report = bundle.report
    _check_evidence(report)
    if repo_id is None:
        if not source_is_on_hub(report):
            raise HubError(
                "The report names no repository that the model came from.",
                "Give the one that gets the pull request, as `namespace/name`.",
            )
        repo_id = report.model.name
    check_id(repo_id)
    bundle.refuse_secrets([token, get_token()])
    api = HfApi(token=token)
    with hub_errors(f"read {repo_id}", token=token):
        remote = look(api, repo_id)
    if remote is None or remote.commit is None:
        raise HubError(f"There is no repository {repo_id} that gets a pull request.", _OWN)
    contents = _contents(bundle, repo_id, remote)
    changed, deleted = _difference(remote, contents)
    plan = Published(
        url=f"{api.endpoint}/{repo_id}",
        commit=None,
        files={path: size(content) for path, content in contents.items()},
        changed=False,
        left_out=bundle.left_out,
        card=bundle.card(repo_id).decode(),
    )
    if not changed and not deleted:
        return replace(plan, commit=remote.commit)
    _check_fits(api, repo_id, remote, report)
    digest = _digest(contents)
    said = _description(bundle, repo_id, contents, deleted, digest)
    plan = replace(plan, deleted=tuple(deleted), description=said)
    if dry_run:
        return plan
    title = message or _title(report)
    with hub_errors(f"read the pull requests of {repo_id}", token=token):
        number = patiently(lambda: _own_pull_request(api, repo_id))
    if number is not None:
        return _update(api, repo_id, number, contents, plan, title, digest, token)
    made = make_commit(
        api,
        repo_id,
        changed,
        deleted,
        title=title,
        description=said,
        parent=remote.commit,
        create_pr=True,
        token=token,
    )
    return replace(
        plan, url=str(made.pr_url), commit=str(made.oid), changed=True, pull_request=made.pr_num
    )


def _check_evidence(report: Report) -> None:
    """Refuse what others should not be asked to rely on."""
    if report.backdoored or report.kind != "purify":
        raise HubError("Only the result of a purification can be proposed to others.", _OWN)
    outcome = read_outcome(report)
    if outcome.cure == "nothing found":
        raise HubError(
            "Nothing was found in this model and nothing was changed, so there is nothing to "
            "propose."
        )
    estimated = outcome.cure == "purified" and outcome.state in ("not measured", "no effect")
    if outcome.state != "removed" and not estimated:
        raise HubError(
            "The report does not establish that a backdoor was removed, so there is no evidence "
            "to propose it by.",
            _OWN,
        )


def _contents(bundle: Bundle, repo_id: str, remote: Remote) -> dict[str, bytes | Path]:
    """Content by path in the repository: weights at its top, the proof in its own folder."""
    contents: dict[str, bytes | Path] = {}
    for name, path in bundle.files.items():
        if is_weights(name):
            contents[name] = path
        elif name not in IF_THERE:
            contents[PROOF + name] = path
        elif name not in remote.files:
            contents[name] = path
    contents[PROOF + CARD_FILE] = bundle.card(repo_id)
    return contents


def _difference(
    remote: Remote, contents: dict[str, bytes | Path]
) -> tuple[dict[str, bytes | Path], list[str]]:
    """What a commit on top of a repository would add or change, and what it would delete."""
    changed = {p: c for p, c in contents.items() if not same(remote.files.get(p), c)}
    old = [p for p in remote.files if p.startswith(PROOF) and p not in contents]
    return changed, sorted({*stale(remote, contents), *old})


def _check_fits(api: HfApi, repo_id: str, remote: Remote, report: Report) -> None:
    """Refuse a repository of another model, or one whose weights are not those purified.

    Raises:
        HubError: It is such a one.
    """
    model = report.model
    entries = {name: remote.files.get(name) for name in model.files}
    for name, entry in entries.items():
        if entry is None or (entry.lfs is not None and entry.lfs.sha256 != model.files[name]):
            raise HubError(
                f"{repo_id} does not hold the weights that were purified: {plain(name)} is "
                "another file there, or none.",
                "Purify what it holds now, then propose that.",
            )
    known = [entry for entry in entries.values() if entry is not None and entry.lfs is not None]
    if known or CONFIG_FILE not in remote.files:
        return
    # No digest tells whether these are the weights: the config must at least be of the model.
    with hub_errors(f"read {CONFIG_FILE} of {repo_id}"):
        config = _config(api, repo_id, remote)
    architectures = config.get("architectures") or config.get("architecture")
    if model.architecture not in (
        architectures if isinstance(architectures, list) else [architectures]
    ):
        raise HubError(
            f"{repo_id} holds another model: {plain(architectures, 80)}, not "
            f"{plain(model.architecture, 60)}.",
            "Give the repository that the model came from.",
        )


def _config(api: HfApi, repo_id: str, remote: Remote) -> dict[str, Any]:
    if remote.files[CONFIG_FILE].size > _LARGEST_CONFIG:
        raise HubError(f"{CONFIG_FILE} of {repo_id} is too large to be one.")
    content = json_at(api, repo_id, CONFIG_FILE, remote.commit, _LARGEST_CONFIG)
    if not isinstance(content, dict):
        raise HubError(f"{CONFIG_FILE} of {repo_id} is no JSON object.")
    return content


def _own_pull_request(api: HfApi, repo_id: str) -> int | None:
    """The number of this user's open pull request with a report of this tool, the latest."""
    name = api.whoami()["name"]
    found = api.get_repo_discussions(
        repo_id, author=name, discussion_type="pull_request", discussion_status="open"
    )
    for discussion in found:
        if PROOF + REPORT_FILE in files_at(api, repo_id, f"refs/pr/{discussion.num}"):
            return discussion.num
    return None


def _update(
    api: HfApi,
    repo_id: str,
    number: int,
    contents: dict[str, bytes | Path],
    plan: Published,
    title: str,
    digest: str,
    token: str | None,
) -> Published:
    """Bring an open pull request up to date: a commit and a comment, each where it is missing."""
    ref = f"refs/pr/{number}"
    with hub_errors(f"read pull request {number} of {repo_id}", token=token):
        commit = patiently(lambda: api.model_info(repo_id, revision=ref)).sha
        assert commit is not None
        files = patiently(lambda: files_at(api, repo_id, str(commit)))
        now = Remote(commit, private=False, files=files)
        details = patiently(lambda: api.get_discussion_details(repo_id, number))
    changed, deleted = _difference(now, contents)
    if changed or deleted:
        made = make_commit(
            api, repo_id, changed, deleted, title=title, parent=commit, revision=ref, token=token
        )
        commit = str(made.oid)
    # The digest in the text tells whether this content was explained, also after a run that
    # broke off between commit and comment.
    told = [getattr(event, "content", "") for event in details.events]
    if not any(digest in text for text in told):
        with hub_errors(f"comment on pull request {number} of {repo_id}", token=token):
            api.comment_discussion(repo_id, number, f"**Updated.**\n\n{plan.description}")
    return replace(
        plan,
        url=f"{plan.url}/discussions/{number}",
        commit=commit,
        changed=bool(changed or deleted),
        deleted=tuple(deleted),
        pull_request=number,
    )


def _digest(contents: dict[str, bytes | Path]) -> str:
    """SHA-256 over all paths and contents that are sent."""
    digest = hashlib.sha256()
    for path in sorted(contents):
        content = contents[path]
        digest.update(path.encode() + b"\0" + str(size(content)).encode() + b"\0")
        update(digest, content)
    return digest.hexdigest()


def _description(
    bundle: Bundle,
    repo_id: str,
    contents: dict[str, bytes | Path],
    deleted: list[str],
    digest: str,
) -> str:
    """The text of the pull request, rendered from the report."""
    from jinja2 import Environment

    from ngf_hub.model_cards import template

    # Markdown, of values that card_values made safe for it.
    environment = Environment(autoescape=False)  # noqa: S701
    text = environment.from_string(template("pull_request.md.jinja")).render(
        **card_values(bundle.report, bundle.folder, repo_id),
        repo=repo_id,
        proof=PROOF,
        seed=bundle.report.provenance.seed,
        weights=[code(name) for name in contents if is_weights(name)],
        deleted=[code(name) for name in deleted if is_weights(name)],
        digest=digest,
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _title(report: Report) -> str:
    target = report.trigger or (report.cure.suspected if report.cure else None)
    label = "" if target is None or target.target is None else f" to class {target.target}"
    return f"Remove a backdoor{label} (weights purified and measured by ngf-hub)"
