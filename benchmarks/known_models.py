"""The models that the scan is calibrated and judged with, from the zoo and the table of attacks.

Both are folders: of the zoo with ``meta.json`` (:mod:`benchmarks.zoo`), of the table
with ``measured.json`` (:mod:`benchmarks.attack_table`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.attack_plan import SETTINGS, clean_seed, is_clean, source
from benchmarks.attack_table import RESULT, Row
from benchmarks.zoo import load_zoo_model, zoo_folders, zoo_images
from ngf_hub import Classifier, load_model
from ngf_hub.data import PixelSet, load_images
from ngf_hub.triggers import Trigger, load_folder

HOLDS = 0.6
"""An attack of the table that reached a lower ASR left no backdoor to speak of."""


@dataclass(frozen=True)
class KnownModel:
    """A model of which it is known whether it is backdoored.

    Attributes:
        folder: Where it lies; its name is the model's.
        classifier: The model.
        trigger: The true one, ``None`` if it is clean.
        attack: Its name, ``None`` if it is clean.
        architecture: Of the zoo, or the setting of the table.
        data: The dataset, as the zoo or the setting calls it.
        seed: Of its training.
    """

    folder: Path
    classifier: Classifier
    trigger: Trigger | None
    attack: str | None
    architecture: str
    data: str
    seed: int

    @property
    def target(self) -> int | None:
        """The attack's target class; ``None`` if it has none, or there is no attack."""
        return None if self.trigger is None else self.trigger.target

    def images(self, n: int, seed: int, *, labelled: bool = False) -> PixelSet:
        """Test images in the model's preprocessing, without labels unless asked for."""
        if is_of_the_table(self.folder):
            drawn = load_images(source(self.data), samples=0, judge_samples=n, seed=seed)
            images = drawn.pixels_for(self.classifier)[1]
        else:
            images = zoo_images(self.data, "test", n, seed=seed + self.seed)
        if not labelled:
            images.labels = None
        return images


def is_of_the_table(folder: Path) -> bool:
    """Whether a folder holds a model of the table of attacks, and not of the zoo."""
    return (folder / RESULT).is_file()


def read(folder: Path) -> KnownModel:
    """The model in a folder."""
    if not is_of_the_table(folder):
        classifier, trigger, meta = load_zoo_model(folder)
        return KnownModel(
            folder,
            classifier,
            trigger,
            meta["attack"],
            meta["architecture"],
            meta["data"],
            meta["seed"],
        )
    row = Row.read(folder)
    data = {setting.name: setting.data for setting in SETTINGS}[row.setting]
    clean = is_clean(row.attack)
    return KnownModel(
        folder,
        load_model(folder),
        None if clean else load_folder(folder / "trigger"),
        None if clean else row.attack,
        row.setting,
        data,
        clean_seed(row.attack) if clean else 0,
    )


def known_folders(
    zoo: Path, tables: Sequence[Path], *, backdoored: bool | None = None
) -> list[Path]:
    """The folders of all models, those of the zoo first.

    Args:
        zoo: The zoo.
        tables: Folders that the table of attacks was written to.
        backdoored: Only those, or only clean ones; ``None`` for both.
    """
    folders = zoo_folders(zoo, backdoored=backdoored)
    for table in tables:
        for result in sorted(table.glob(f"*/{RESULT}")):
            row = Row.read(result.parent)
            success = row.measured.attack_success
            if success is not None and (success.value or 0.0) < HOLDS:
                continue
            if backdoored in (None, success is not None):
                folders.append(result.parent)
    return folders
