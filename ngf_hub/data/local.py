"""Datasets on this machine: a parquet file, a folder in the Hub's layout, class folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ngf_hub.data.bombs import refuse_card_bomb
from ngf_hub.data.layout import Layout, find_layout
from ngf_hub.data.reading import reading
from ngf_hub.data.source import Source
from ngf_hub.data.split import JUDGE_NAMES, TUNE_NAMES
from ngf_hub.errors import DataError
from ngf_hub.licences import licence_of
from ngf_hub.text import plain, redact

if TYPE_CHECKING:
    from datasets import Dataset

_TABLES = (".parquet", ".arrow", ".tar")
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_SAVED = ("dataset_dict.json", "state.json")


class FileSource(Source):
    """Files of tables on this machine."""

    def size(self, split: str) -> int:
        """See :meth:`Source.size`: reading a table at random copies it to the cache."""
        return sum(os.path.getsize(path) for path in self.layout.files[split])

    def fetch(self, splits: Sequence[str]) -> dict[str, list[str]]:
        """See :meth:`Source.fetch`."""
        return {split: self.layout.files[split] for split in splits}

    def addresses(self, split: str) -> list[str]:
        """See :meth:`Source.addresses`."""
        return self.layout.files[split]


class FolderSource(FileSource):
    """Class folders of images, as torchvision reads them.

    The class of an image is the first folder below its split, whatever lies
    between: ``train/cat/a.png`` and ``train/cat/images/b.png`` are both cats.
    (The folder builder of ``datasets`` takes the last one, and takes a class
    folder called ``train`` for a split.)
    """

    def __init__(self, name: str, layout: Layout, roots: dict[str, Path]) -> None:
        super().__init__(name, layout)
        self._roots = roots
        classes = [
            {self._class(path, root) for path in layout.files[split]}
            for split, root in roots.items()
        ]
        # A split of images without class folders, such as a blind test set, has no labels.
        self._labelled = [None not in names for names in classes]
        self.class_names = sorted(
            {name for names in classes if None not in names for name in names if name}
        )

    @property
    def can_stream(self) -> bool:
        """No: images are read where they are."""
        return False

    def tables(self, splits: Sequence[str]) -> dict[str, Dataset]:
        """See :meth:`Source.tables`; the rows hold paths."""
        from datasets import ClassLabel, Dataset, Features, Image

        labelled = dict(zip(self._roots, self._labelled, strict=True))
        features = Features({"image": Image()})
        if any(labelled[split] for split in splits):
            features["label"] = ClassLabel(names=self.class_names)
        index = {name: position for position, name in enumerate(self.class_names)}
        tables = {}
        for split in splits:
            paths = self.layout.files[split]
            columns: dict[str, list[object]] = {"image": list(paths)}
            if "label" in features:
                names = [self._class(path, self._roots[split]) for path in paths]
                columns["label"] = [
                    index[name] if labelled[split] and name else None for name in names
                ]
            tables[split] = Dataset.from_dict(columns, features=features)
        return tables

    @staticmethod
    def _class(path: str, root: Path) -> str | None:
        parts = Path(path).relative_to(root).parts
        return parts[0] if len(parts) > 1 else None


def open_local(path: Path, config: str | None = None) -> Source:
    """The dataset of a file or folder.

    Args:
        path: A parquet or arrow file, a folder of them in the Hub's layout
            (with or without a card), or a folder of class folders, which may
            lie in folders named after splits.
        config: The configuration, where the folder's card has several.

    Raises:
        DataError: There are no images that can be read.
    """
    name = str(path)
    if path.is_file():
        return _open_file(path)
    if any((path / saved).is_file() for saved in _SAVED):
        raise DataError(
            f"{plain(name)} was written by save_to_disk, which this does not read.",
            "Write it with Dataset.to_parquet, and give that file or its folder.",
        )
    files = _visible_files(path)
    images = [file for file in files if file.suffix.lower() in _image_suffixes()]
    plain_images = images and not any(
        file.suffix.lower() in (*_TABLES, ".zip") or file.name in _METADATA for file in files
    )
    with reading(name):
        if plain_images:
            return _open_class_folders(path, images)
        refuse_card_bomb(path / "README.md")
        layout = find_layout(str(path.absolute()), config=config)
        _refuse_outside(path, layout)
        layout.files = {split: paths for split, paths in layout.files.items() if paths}
        layout.licence = licence_of(path)
        return FileSource(name, layout)


def _refuse_outside(path: Path, layout: Layout) -> None:
    """Refuse a card that names files of this machine, or of another, that are not the dataset's.

    Raises:
        DataError: It does.
    """
    # `datasets` follows links in the path of the folder itself.
    roots = (os.path.abspath(path) + os.sep, os.path.realpath(path) + os.sep)
    for split, files in layout.files.items():
        for file in files:
            if "://" in file or not os.path.abspath(file).startswith(roots):
                raise DataError(
                    f"Split {plain(split, 60)} of {plain(path)} has files outside of the folder: "
                    f"{plain(redact(file), 100)}.",
                    "Mend the folder's README.md, or put the files into the folder.",
                )


def _open_file(path: Path) -> Source:
    modules = {".parquet": "parquet", ".arrow": "arrow", ".tar": "webdataset"}
    module = modules.get(path.suffix.lower())
    if module is None:
        raise DataError(
            f"{plain(path.name)} is no dataset file that can be read.",
            "Give a parquet file, a folder of images or a Hub id.",
        )
    layout = Layout(module, {"train": [str(path.absolute())]}, licence=licence_of(path.parent))
    return FileSource(str(path), layout)


def _open_class_folders(path: Path, images: list[Path]) -> FolderSource:
    top = {file.relative_to(path).parts[0] for file in images if file.parent != path}
    split_names = {*TUNE_NAMES, *JUDGE_NAMES}
    # A class may be called "train"; folders are splits only if all of them are.
    are_splits = bool(top) and {name.lower() for name in top} <= split_names
    roots = {name: path / name for name in sorted(top)} if are_splits else {"train": path}
    files = {
        split: sorted(str(file) for file in images if root in file.parents)
        for split, root in roots.items()
    }
    source = FolderSource(str(path), Layout("imagefolder", files), roots)
    if outside := _links_out(path, images):
        source.notes.append(f"{outside} images are links to files outside of the folder.")
    return source


def _visible_files(path: Path) -> list[Path]:
    """All regular files, behind links too; each folder once, however many links lead to it."""
    found = []
    seen: set[tuple[int, int]] = set()
    for folder, subfolders, names in os.walk(path, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith((".", "__")))
        visible = (os.path.join(folder, name) for name in names if not name.startswith("."))
        # Not a pipe or a device, which would never end.
        found += [Path(file) for file in visible if os.path.isfile(file)]
    return found


def _links_out(path: Path, files: Iterable[Path]) -> int:
    """How many files of a folder really lie elsewhere."""
    root = path.resolve()
    return sum(not file.resolve().is_relative_to(root) for file in files)


def _image_suffixes() -> tuple[str, ...]:
    from datasets.packaged_modules.imagefolder.imagefolder import ImageFolder

    return tuple(ImageFolder.EXTENSIONS)
