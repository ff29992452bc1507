"""Datasets of the Hub: one commit of them, and no more files of it than are needed."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from ngf_hub.data.bombs import refuse_card_bomb
from ngf_hub.data.layout import Layout, find_layout
from ngf_hub.data.reading import reading
from ngf_hub.data.source import Source
from ngf_hub.downloads import download
from ngf_hub.errors import DataError, HubError
from ngf_hub.hub import OFFLINE, hub_errors
from ngf_hub.licences import licence_of, licence_text
from ngf_hub.patience import patiently, silence
from ngf_hub.text import plain

if TYPE_CHECKING:
    from huggingface_hub.hf_api import DatasetInfo, RepoSibling

_CARD = "README.md"


class HubSource(Source):
    """One commit of a dataset repository.

    Args:
        repo_id: The repository.
        layout: Its files, as paths in the repository.
        commit: The commit.
        asked: The revision that was asked for, if any.
        entries: What the Hub says of each file.
        offline: Whether only the cache may be used.
        token: For a repository that needs one.
    """

    def __init__(
        self,
        repo_id: str,
        layout: Layout,
        *,
        commit: str,
        asked: str | None,
        entries: dict[str, RepoSibling],
        offline: bool,
        token: str | None,
    ) -> None:
        super().__init__(repo_id, layout, token=token)
        self.revision = commit
        self._asked = asked
        self._entries = entries
        self._offline = offline

    @property
    def can_stream(self) -> bool:
        """Not without a network: then what the cache holds is read."""
        return not self._offline

    def size(self, split: str) -> int:
        """See :meth:`Source.size`."""
        files = [self._entries.get(path) for path in self.layout.files[split]]
        return sum(file.size or 0 for file in files if file is not None)

    def addresses(self, split: str) -> list[str]:
        """See :meth:`Source.addresses`."""
        root = f"hf://datasets/{self.name}@{self.revision}"
        return [f"{root}/{path}" for path in self.layout.files[split]]

    def fetch(self, splits: Sequence[str]) -> dict[str, list[str]]:
        """See :meth:`Source.fetch`: into the Hub's own cache, which resumes and is shared."""
        wanted = {split: self.layout.files[split] for split in splits}
        flat = [path for paths in wanted.values() for path in paths]
        with hub_errors(f"fetch dataset {self.name}", token=self.token):
            folder = patiently(lambda: self._snapshot(flat))
        for path in [] if self._offline else flat:
            download(
                self.name,
                path,
                revision=self.revision,
                token=self.token,
                entry=self._entries.get(path),
                repo_type="dataset",
            )
        local = {split: [folder / path for path in paths] for split, paths in wanted.items()}
        missing = [split for split, paths in local.items() if not all(p.exists() for p in paths)]
        if missing:
            raise _not_cached(self.name, missing)
        return {split: [str(path) for path in paths] for split, paths in local.items()}

    def _snapshot(self, paths: list[str]) -> Path:
        from huggingface_hub import snapshot_download

        # Without a network, files that are missing are told from those that are there later.
        patterns = [_CARD] if self._offline else [_CARD, *(glob.escape(path) for path in paths)]

        def download(revision: str | None) -> Path:
            return Path(
                snapshot_download(
                    self.name,
                    repo_type="dataset",
                    revision=revision,
                    allow_patterns=patterns,
                    token=self.token,
                    local_files_only=self._offline,
                )
            )

        if self._offline:
            return download(self.revision)
        # The name that was asked for lets the cache find this commit without a network;
        # should it have moved meanwhile, the commit that was resolved first decides.
        folder = download(self._asked)
        return folder if folder.name == self.revision else download(self.revision)


def open_hub(
    repo_id: str, config: str | None = None, revision: str | None = None, token: str | None = None
) -> Source:
    """A dataset of the Hub at the commit that a revision is now.

    Without a network, or with ``HF_HUB_OFFLINE``, what the cache holds is used.

    Args:
        repo_id: The repository.
        config: The configuration of a dataset that has several.
        revision: Branch, tag or commit; ``None`` for the main branch.
        token: For a private or gated repository.

    Raises:
        HubError: There is no such dataset or revision, it needs a token, or
            the Hub cannot be reached and the cache does not have it.
        DataError: It holds no images that can be read.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache

    try:
        with hub_errors(f"find dataset {repo_id}", token=token):
            api = HfApi(token=token)
            kept = try_to_load_from_cache(repo_id, _CARD, revision=revision, repo_type="dataset")
            info = patiently(
                lambda: api.dataset_info(
                    repo_id, revision=revision, files_metadata=True, timeout=silence()
                ),
                kept=isinstance(kept, str),
            )
    except HubError as error:
        cached = _open_cached(repo_id, config, revision) if _is_unreachable(error) else None
        if cached is None:
            raise
        return cached
    return _open_online(info, config, revision, token)


def _open_online(
    info: DatasetInfo, config: str | None, revision: str | None, token: str | None
) -> HubSource:
    from huggingface_hub import HfApi

    commit = info.sha
    assert commit is not None
    if info.gated:  # its description is public, its files are not
        with hub_errors(f"read dataset {info.id}", token=token):
            patiently(lambda: HfApi(token=token).auth_check(info.id, repo_type="dataset"))
    if any(file.rfilename == _CARD for file in info.siblings or []):
        refuse_card_bomb(
            download(info.id, _CARD, revision=commit, token=token, repo_type="dataset")
        )
    with reading(info.id, token=token):
        layout = patiently(
            lambda: find_layout(info.id, config=config, revision=commit, token=token)
        )
    root = f"hf://datasets/{info.id}@{commit}/"
    for split, paths in layout.files.items():
        if not all(path.startswith(root) for path in paths):
            raise DataError(
                f"Split {plain(split, 60)} of {info.id} has files outside of the repository.",
                "Use another dataset, or fetch the files and give their folder.",
            )
    layout.files = {
        s: [p[len(root) :] for p in paths] for s, paths in layout.files.items() if paths
    }
    layout.licence = licence_text(info.card_data.get("license") if info.card_data else None)
    _remember(info.id, commit, config, layout)
    entries = {file.rfilename: file for file in info.siblings or []}
    return HubSource(
        info.id, layout, commit=commit, asked=revision, entries=entries, offline=False, token=token
    )


def _open_cached(repo_id: str, config: str | None, revision: str | None) -> HubSource | None:
    """What the cache has of a dataset, or ``None`` if it has nothing."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                repo_id,
                repo_type="dataset",
                revision=revision,
                allow_patterns=[_CARD],
                local_files_only=True,
            )
        )
    except LocalEntryNotFoundError:
        return None
    commit = folder.name
    layout = _recall(repo_id, commit, config)
    if layout is None:  # fetched whole, by another tool
        with reading(repo_id):
            layout = find_layout(str(folder), config=config)
            root = folder.resolve()
            layout.files = {
                split: [str(Path(path).relative_to(root)) for path in paths]
                for split, paths in layout.files.items()
            }
        layout.licence = licence_of(folder)
    source = HubSource(
        repo_id, layout, commit=commit, asked=revision, entries={}, offline=True, token=None
    )
    source.notes.append("The Hub was not reached; the dataset was read from the cache.")
    return source


def _layout_file(repo_id: str, commit: str, config: str | None) -> Path:
    """Where the layout of a commit is kept, so that the cache can be read offline."""
    from huggingface_hub import cached_assets_path

    folder = cached_assets_path("ngf-hub", namespace=repo_id, subfolder="layouts")
    return folder / f"{commit}-{config or 'default'}.json".replace("/", "--")


def _remember(repo_id: str, commit: str, config: str | None, layout: Layout) -> None:
    # Only a later run without a network needs it; a cache that cannot be written is no error.
    with suppress(OSError):
        path = _layout_file(repo_id, commit, config)
        with NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
            file.write(layout.to_json())
        Path(file.name).replace(path)


def _recall(repo_id: str, commit: str, config: str | None) -> Layout | None:
    try:
        return Layout.from_json(_layout_file(repo_id, commit, config).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_unreachable(error: BaseException) -> bool:
    """Whether no answer came at all, as opposed to one that says no."""
    from huggingface_hub.errors import HfHubHTTPError

    cause = error.__cause__
    return cause is not None and not isinstance(cause, HfHubHTTPError | ValueError)


def _not_cached(repo_id: str, splits: Sequence[str]) -> HubError:
    listed = ", ".join(plain(split, 60) for split in splits)
    return HubError(
        f"The cache lacks files of dataset {repo_id} ({listed}), and the Hub was not reached.",
        OFFLINE,
    )
