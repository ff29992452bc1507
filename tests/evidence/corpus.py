"""Crafted files, hostile and benign, on which scanners of pickles are measured.

Every hostile file that has a loader really fires: loaded by it, it makes the file
``mark``, and nothing else (``test_corpus`` checks it in a process of its own).
Those without one would reach for a network, a browser or another file.
"""

from __future__ import annotations

import gzip
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Make = Callable[[Path, Path], None]


@dataclass(frozen=True)
class Case:
    """A file of the corpus.

    Attributes:
        name: Its file name.
        about: What it is, in a few words.
        hostile: Whether loading it does harm.
        make: Writes it: its path, and the path of the mark.
        loader: What loads it: ``pickle``, ``twice`` (two pickles), ``gzip``,
            ``torch``, ``joblib``, ``numpy``; ``None`` where it is not to be loaded.
        heavy: It takes seconds to make.
    """

    name: str
    about: str
    hostile: bool
    make: Make
    loader: str | None = None
    heavy: bool = False


CASES: dict[tuple[bool, str], Case] = {}


def case(
    name: str, about: str, *, hostile: bool, loader: str | None = None, heavy: bool = False
) -> Callable[[Make], Make]:
    """Decorator: register a function that writes a file, or gives its bytes."""

    def register(make: Make) -> Make:
        def write(path: Path, mark: Path) -> None:
            content = make(path, mark)
            if isinstance(content, bytes):
                path.write_bytes(content)

        assert (hostile, name) not in CASES, name
        CASES[hostile, name] = Case(name, about, hostile, write, loader, heavy)
        return make

    return register


def cases(*, hostile: bool, heavy: bool = False) -> list[Case]:
    """The hostile or the benign files; without those that are slow to make, unless asked."""
    for part in ("streams", "archives", "benign"):
        importlib.import_module(f"tests.evidence.corpus_{part}")
    chosen = [c for c in CASES.values() if c.hostile is hostile and (heavy or not c.heavy)]
    return sorted(chosen, key=lambda c: c.name)


def make(chosen: Case, folder: Path) -> tuple[Path, Path]:
    """Write a case into a folder of its own; its path and its mark."""
    path, mark = folder / chosen.name, folder / "mark"
    chosen.make(path, mark)
    assert not mark.exists(), f"{chosen.name} fired while it was made"
    return path, mark


def load(path: Path, loader: str) -> None:
    """Load a file as its victim would. Only in a process that may be harmed."""
    import pickle

    if loader == "torch":
        import torch

        with path.open("rb") as file:
            torch.load(file, weights_only=False)
    elif loader == "joblib":
        import joblib

        joblib.load(path)
    elif loader == "numpy":
        import numpy as np

        loaded = np.load(path, allow_pickle=True)
        if path.suffix == ".npz":
            _ = [loaded[name] for name in loaded.files]
    else:
        opener = gzip.open if loader == "gzip" else open
        with opener(path, "rb") as file:
            pickle.load(file)
            if loader == "twice":
                pickle.load(file)
