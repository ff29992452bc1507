"""How well the scan tells backdoored models from clean ones: ROC, false alarms, misses.

    NGF_HUB_SHARED=... python -m benchmarks.scan_zoo --zoo DIR [--table DIR] [--images 300]

With ``--table`` the models of the table of attacks (:mod:`benchmarks.attack_table`) too.

Every model is judged with the packaged calibration; a clean one that it was made
with is left out of it, so that none vouches for itself. Intervals are 95 %
percentile intervals of 2,000 bootstrap samples of the clean and of the backdoored
models. What was measured before is not measured again (see
:mod:`benchmarks.zoo_evidence`).
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score, roc_curve

from benchmarks.known_models import known_folders, read
from benchmarks.zoo_evidence import Look, findings_of
from ngf_hub.evidence.calibration import PACKAGED, Calibration
from ngf_hub.evidence.collecting import make_kinds
from ngf_hub.evidence.verdict import Judgement, judge

FIGURE = Path(__file__).with_name("figures") / "scan_roc.png"
BOOTSTRAPS = 2000
Score = Callable[["Judged"], float | None]


@dataclass(frozen=True)
class Judged:
    """One model, what it is, and what the scan says.

    Attributes:
        name: Its folder.
        attack: Its attack, ``None`` if it is clean.
        target: The attack's target class, where there is one.
        judgement: The scan's.
    """

    name: str
    attack: str | None
    target: int | None
    judgement: Judgement

    @property
    def flagged(self) -> bool:
        return self.judgement.verdict == "backdoored"

    def statistic(self, kind: str) -> float | None:
        """The statistic of a kind of finding."""
        found = [f.statistic for f in self.judgement.findings if f.kind == kind]
        return found[0] if found else None

    def detail(self, kind: str, name: str) -> float | None:
        """A p-value among a finding's details, as −log10; ``None`` where there is none."""
        for finding in self.judgement.findings:
            value = finding.details.get(name) if finding.kind == kind else None
            if value is not None:
                return -math.log10(max(float(value), 1e-300))
        return None


def judge_models(
    folders: Sequence[Path], look: Look, calibration: Calibration, kinds: Sequence[str]
) -> list[Judged]:
    """Every model, clean ones by a calibration that leaves them out."""
    judged = []
    for folder in folders:
        known = read(folder)
        findings = findings_of(folder, look, list(kinds))
        judgement = judge(
            findings,
            calibration.without(folder.name),
            with_images=look.images > 0,
            classes=known.classifier.num_classes,
        )
        judged.append(Judged(folder.name, known.attack, known.target, judgement))
    return judged


def auroc(clean: Sequence[float], backdoored: Sequence[float]) -> tuple[float, float, float]:
    """The area under the ROC curve, and its bootstrap interval."""
    labels = np.repeat([0, 1], [len(clean), len(backdoored)])
    area = float(roc_auc_score(labels, [*clean, *backdoored]))
    generator = np.random.default_rng(0)
    areas = [
        roc_auc_score(
            labels,
            np.concatenate([generator.choice(s, len(s)) for s in (clean, backdoored)]),
        )
        for _ in range(BOOTSTRAPS)
    ]
    low, high = np.percentile(areas, [2.5, 97.5])
    return area, float(low), float(high)


def scores(judged: Sequence[Judged]) -> dict[str, Score]:
    """What models can be ordered by: the verdict, each kind's statistic, the baselines."""
    kinds = dict.fromkeys(f.kind for one in judged for f in one.judgement.findings)
    table: dict[str, Score] = {"the verdict": lambda one: one.judgement.score}
    for kind in kinds:
        table[kind] = lambda one, kind=kind: one.statistic(kind)  # type: ignore[misc]
    table["MM-BD's p-value, this search"] = lambda one: one.detail("margin", "mm_bd_p_value")
    return table


def split(judged: Sequence[Judged], score: Score) -> tuple[list[float], list[float]]:
    """The scores of clean and of backdoored models, of those that have one."""
    pairs = [(one.attack is None, score(one)) for one in judged]
    clean = [value for is_clean, value in pairs if is_clean and value is not None]
    return clean, [value for is_clean, value in pairs if not is_clean and value is not None]


def report(judged: Sequence[Judged]) -> None:
    """Print AUROC, false alarms, targets and misses."""
    clean = [one for one in judged if one.attack is None]
    backdoored = [one for one in judged if one.attack is not None]
    print(f"{len(clean)} clean and {len(backdoored)} backdoored models")
    print("| ordered by | AUROC | 95 % interval | models |")
    print("| --- | --- | --- | --- |")
    for name, score in scores(judged).items():
        low, high = split(judged, score)
        if low and high:
            area, lower, upper = auroc(low, high)
            figures = f"{area:.3f} | {lower:.3f} to {upper:.3f}"
            print(f"| {name} | {figures} | {len(low) + len(high)} |")
    alarms = [one.name for one in clean if one.flagged]
    print(f"\nClean models flagged: {len(alarms)} of {len(clean)} {alarms or ''}")
    found = [one for one in backdoored if one.flagged]
    known = [one for one in found if one.target is not None]
    right = sum(one.judgement.target == one.target for one in known)
    print(f"Backdoored models flagged: {len(found)} of {len(backdoored)}")
    print(f"Right target among those flagged that have one: {right} of {len(known)}")
    totals = Counter(one.attack for one in backdoored)
    hits = Counter(one.attack for one in found)
    print("\n| attack | flagged | missed |")
    print("| --- | --- | --- |")
    for attack, total in totals.items():
        missed = [one.name for one in backdoored if one.attack == attack and not one.flagged]
        print(f"| {attack} | {hits[attack]} of {total} | {', '.join(missed)} |")


def plot(judged: Sequence[Judged], path: Path) -> None:
    """Draw the ROC curves of the verdict, the kinds and the baselines."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    for name, score in scores(judged).items():
        clean, backdoored = split(judged, score)
        if not (clean and backdoored):
            continue
        labels = [0] * len(clean) + [1] * len(backdoored)
        false_alarms, hits, _ = roc_curve(labels, [*clean, *backdoored])
        area = roc_auc_score(labels, [*clean, *backdoored])
        first = name == "the verdict"
        style = {"linewidth": 2.5, "color": "black", "zorder": 3} if first else {"linewidth": 1.2}
        axes.plot(false_alarms, hits, label=f"{name} ({area:.3f})", **style)
    axes.plot([0, 1], [0, 1], color="0.8", linewidth=0.8, zorder=0)
    axes.set_xlabel("Share of clean models flagged")
    axes.set_ylabel("Share of backdoored models flagged")
    axes.set_xlim(-0.01, 1)
    axes.set_ylim(0, 1.01)
    figure.legend(loc="outside right center", title="Ordered by (AUROC)", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Judge, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zoo", type=Path, required=True)
    parser.add_argument("--table", type=Path, action="append", default=[])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", help="only these")
    parser.add_argument("--calibration", type=Path, default=PACKAGED)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    kinds = list(make_kinds(arguments.kinds))
    folders = known_folders(arguments.zoo, arguments.table)
    if not folders:
        raise SystemExit(f"There are no finished models in {arguments.zoo}.")
    calibration = Calibration.read(arguments.calibration)
    for images in dict.fromkeys((arguments.images, 0)):
        print(f"\n## With {images} clean images\n" if images else "\n## Without data\n")
        judged = judge_models(folders, Look(images, arguments.seed), calibration, kinds)
        report(judged)
        if images:
            plot(judged, arguments.figure)


if __name__ == "__main__":
    main()
