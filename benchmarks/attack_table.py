"""How strong does each attack become? Trains every one and prints the table.

    NGF_HUB_SHARED=... python -m benchmarks.attack_table --output DIR [--only cifar10-cnn]

Each model is a folder as ``ngf-hub attack`` writes it; what is there is not trained
again, and a training that was killed goes on where it stopped. ASR, RA and ACC are
measured on 2,000 test images, with the model and the trigger as they are read from
the folder again. Beside each stands the same recipe without poison; ``--clean-seeds N``
trains that from N seeds, for the scan's calibration.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.attack_plan import (
    BAR,
    BARS,
    CLEAN,
    DROP,
    SETTINGS,
    VARIANTS,
    Setting,
    clean_seed,
    is_clean,
    source,
)
from ngf_hub import Classifier, load_model
from ngf_hub.attacks import make_attack
from ngf_hub.attacks.base import ALL_TO_ONE
from ngf_hub.attacks.pipeline import attack_classifier, work_folder
from ngf_hub.attacks.poisoning import Unpoisoned
from ngf_hub.attacks.scratch import make_classifier
from ngf_hub.attacks.training import train
from ngf_hub.data import PixelSet, load_images
from ngf_hub.devices import make_accelerator
from ngf_hub.evaluation import measure
from ngf_hub.pipeline import Clean
from ngf_hub.report import Measurement, Rate
from ngf_hub.triggers import load_folder

JUDGES = 2000
RESULT = "measured.json"


@dataclass(frozen=True)
class Row:
    """A trained model.

    Attributes:
        setting: The network and dataset.
        attack: A name of the plan, or :data:`CLEAN` with or without a seed.
        measured: On the judging images.
        seconds: Of one core, preparing and training together; of this run only, if an
            earlier one was killed.
    """

    setting: str
    attack: str
    measured: Measurement
    seconds: float

    @classmethod
    def read(cls, folder: Path) -> Row:
        """What :meth:`write` wrote."""
        content = json.loads((folder / RESULT).read_text(encoding="utf-8"))
        content["measured"] = Measurement.model_validate(content["measured"])
        return cls(**content)

    def write(self, folder: Path) -> None:
        """Beside the weights."""
        content = {**vars(self), "measured": self.measured.model_dump(mode="json")}
        (folder / RESULT).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Images:
    """A dataset as a network takes it, with the names of its classes."""

    clean: Clean
    class_names: list[str]


def read_images(setting: Setting) -> Images:
    """All training images, and those that judge, in the network's preprocessing."""
    images = load_images(source(setting.data), samples=None, judge_samples=JUDGES, seed=0)
    names = images.tune.class_names or []
    tune, judge = images.pixels_for(untrained(setting, names))
    return Images(Clean(tune, judge, images.info), names)


def judging_images(setting: Setting, classifier: Classifier) -> PixelSet:
    """Those that judge alone."""
    images = load_images(source(setting.data), samples=0, judge_samples=JUDGES, seed=0)
    return images.pixels_for(classifier)[1]


def untrained(setting: Setting, class_names: Sequence[str], seed: int = 0) -> Classifier:
    """The network with the weights that a training of the setting starts from.

    All attacks start from those of seed 0.
    """
    return make_classifier(
        setting.architecture,
        num_classes=len(class_names),
        class_names=class_names,
        size=setting.size,
        options=setting.options,
        seed=seed,
    )


def make(setting: Setting, attack: str, images: Images, folder: Path, precision: str) -> Row:
    """Train one model, or read what is there.

    Args:
        attack: A name of the plan, or :data:`CLEAN` with or without a seed.
        folder: Where it lies.
        precision: Of the passes, ``no`` or ``bf16``; measured in float32.
    """
    if (folder / RESULT).is_file():
        return Row.read(folder)
    start = time.process_time()
    accelerator = make_accelerator("cpu", precision)
    clean = images.clean
    seed = clean_seed(attack) if is_clean(attack) else 0
    classifier = untrained(setting, images.class_names, seed)
    work = work_folder(folder)
    if is_clean(attack):
        work.mkdir(parents=True, exist_ok=True)
        train(
            classifier,
            clean.tune,
            Unpoisoned(),
            setting.training,
            accelerator=accelerator,
            checkpoint=work / "classifier.safetensors",
            recipe={"setting": setting.name},
            seed=seed,
        )
        folder.mkdir(parents=True, exist_ok=True)
        classifier.save(folder)
    else:
        name, options = VARIANTS.get(attack, (attack, {}))
        chosen = make_attack(name, options)
        attack_classifier(
            classifier,
            clean.tune,
            clean.judge,
            clean.info,
            accelerator=accelerator,
            attack=chosen,
            target=0 if ALL_TO_ONE in chosen.targets else None,
            training=setting.training,
            work=work,
        ).save(folder)
    seconds = time.process_time() - start
    row = Row(setting.name, attack, remeasured(folder, clean), seconds)
    row.write(folder)
    shutil.rmtree(work)
    return row


def remeasured(folder: Path, clean: Clean) -> Measurement:
    """What the model in a folder does with the trigger in it, both read anew."""
    trigger = load_folder(folder / "trigger") if (folder / "trigger").is_dir() else None
    accelerator = make_accelerator("cpu")
    return measure(load_model(folder), clean.judge, accelerator=accelerator, trigger=trigger)


def table(rows: Sequence[Row]) -> str:
    """All rows as Markdown."""
    lines = [
        "| network | attack | options | n | ACC | lost to clean | ASR | RA | CPU min | bar |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    controls = {row.setting: row for row in rows if row.attack == CLEAN}
    for row in rows:
        measured, control = row.measured, controls.get(row.setting)
        accuracy, success = measured.accuracy, measured.attack_success
        lost = None
        if control is not None and row is not control:
            lost = 100 * ((control.measured.accuracy.value or 0) - (accuracy.value or 0))
        options = VARIANTS.get(row.attack, ("", {}))[1]
        cells = [
            row.setting,
            VARIANTS.get(row.attack, (row.attack,))[0],
            ", ".join(f"{key} {value}" for key, value in options.items()) or "–",
            f"{(success or accuracy).n:,}",
            _percent(accuracy),
            "–" if lost is None else f"{lost:.1f}",
            _percent(success),
            _percent(measured.recovered_accuracy, interval=False),
            f"{row.seconds / 60:.1f}",
            "–" if success is None else _judged(row.attack, success, lost),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(rate: Rate | None, *, interval: bool = True) -> str:
    if rate is None or rate.value is None:
        return "–"
    return rate.short() if interval else f"{100 * rate.value:.1f}"


def _judged(attack: str, success: Rate, lost: float | None) -> str:
    name = VARIANTS.get(attack, (attack,))[0]
    missed = []
    if 100 * (success.value or 0) < BARS.get(name, BAR):
        missed.append("ASR")
    if lost is not None and lost > DROP:
        missed.append("ACC")
    return f"{' and '.join(missed)} missed" if missed else "reached"


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=[s.name for s in SETTINGS])
    parser.add_argument("--attacks", nargs="*", help="of those of each setting; default: all")
    parser.add_argument("--clean-seeds", type=int, default=1, help="clean networks a setting")
    parser.add_argument("--precision", choices=["no", "bf16"], default="bf16")
    parser.add_argument("--finished", action="store_true", help="print what is there only")
    arguments = parser.parse_args()
    rows = []
    for setting in SETTINGS:
        if arguments.only and setting.name not in arguments.only:
            continue
        images: Images | None = None
        again = [f"{CLEAN}-{seed}" for seed in range(1, arguments.clean_seeds)]
        for attack in (CLEAN, *again, *setting.attacks):
            wanted = arguments.attacks is None or is_clean(attack) or attack in arguments.attacks
            if not wanted:
                continue
            folder = arguments.output / f"{setting.name}-{attack}"
            if not (folder / RESULT).is_file():
                if arguments.finished:
                    continue
                images = images or read_images(setting)
            if images is None:
                rows.append(Row.read(folder))
            else:
                rows.append(make(setting, attack, images, folder, arguments.precision))
                print(table(rows[-1:]).splitlines()[-1], flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
