"""What RA can a cure reach? The triggers of backdoored models on models that never saw them.

    NGF_HUB_SHARED=... python -m benchmarks.foreign_triggers [--attacked DIR]

A trigger that disturbs an image much costs accuracy on a clean model too: RA
there, and not ACC, is what a model without the backdoor has. With ``--attacked``, the
folder of :mod:`benchmarks.attack_table`, each trigger is put on the clean model of its
setting; else each of the third-party models' on the others.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from benchmarks.attack_plan import CLEAN, SETTINGS
from benchmarks.attack_table import judging_images
from benchmarks.thirdparty import ENTRIES, clean_images, load_entry
from ngf_hub import Classifier, Trigger, load_model
from ngf_hub.data import PixelSet
from ngf_hub.devices import make_accelerator
from ngf_hub.evaluation import measure
from ngf_hub.triggers import load_folder

JUDGES = 2000
Foreign = tuple[str, Trigger, str, Classifier, PixelSet]
"""Whose trigger, the trigger, which other model, that model, and the images that judge."""


def third_party() -> Iterator[Foreign]:
    """Each third-party trigger on every other model."""
    for source in ENTRIES:
        trigger = load_entry(source)[1]
        for other in ENTRIES:
            if trigger is not None and other != source:
                classifier, _ = load_entry(other)
                judge = clean_images(classifier, 0, 1, JUDGES).judge
                yield source, trigger, other, classifier, judge


def attacked(folder: Path) -> Iterator[Foreign]:
    """Each trigger of the table of attacks on the clean model of its setting."""
    for setting in SETTINGS:
        clean = folder / f"{setting.name}-{CLEAN}"
        if not clean.is_dir():
            continue
        classifier = load_model(clean)
        judge = judging_images(setting, classifier)
        for attack in setting.attacks:
            source = folder / f"{setting.name}-{attack}"
            if (source / "trigger").is_dir():
                yield source.name, load_folder(source / "trigger"), clean.name, classifier, judge


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--attacked", type=Path)
    arguments = parser.parse_args()
    print("| trigger of | on | ACC | ASR | RA |")
    print("| --- | --- | --- | --- | --- |")
    pairs = attacked(arguments.attacked) if arguments.attacked else third_party()
    for source, trigger, other, classifier, judge in pairs:
        measured = measure(classifier, judge, accelerator=make_accelerator(), trigger=trigger)
        rates = (measured.accuracy, measured.attack_success, measured.recovered_accuracy)
        shown = " | ".join(f"{100 * (rate.value or 0.0):.1f}" for rate in rates if rate)
        print(f"| {source} | {other} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
