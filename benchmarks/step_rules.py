"""What does a natural-gradient step earn? The same unlearning by SGD, Adam and K-FAC steps.

    NGF_HUB_SHARED=... python -m benchmarks.step_rules [--seeds 5] [--json FILE]
    NGF_HUB_SHARED=... python -m benchmarks.step_rules --choose ZOO

Every rule gets the same model, layers, 500 clean images without labels, and the
same triggers that a search recovered (of the family that stands out, to the class
that is suspected); true triggers only judge, on 2,000 other images. Each number
of steps is a run of its own, since all rules lower their rate to zero. Every
rule runs with the setting that came out best on models of ``--choose``, a folder
that ``benchmarks.zoo`` wrote; none of them judges.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch

from benchmarks.forgetting import KIND, Example, cost, of_folder, third_party
from ngf_hub.methods import Task
from ngf_hub.methods.cure.layers import promising
from ngf_hub.methods.loop import Gradients, descend, run, tuned_parameters
from ngf_hub.methods.natural_steps import NaturalSteps
from ngf_hub.methods.objective import Batch
from ngf_hub.methods.softening import softened
from ngf_hub.methods.teacher import TeacherObjective
from ngf_hub.methods.unlearn import Unlearning
from ngf_hub.methods.variations import Variations

STEPS = (10, 20, 40)
CHOOSE_ON = (
    ("judge-patch-00-cifar10-wrn", "patch"),
    ("judge-patch-10-cifar10-wrn", "patch"),
    ("judge-patch-03-gtsrb-vgg", "patch"),
    ("judge-blend-07-cifar10-resnet", "additive"),
    ("judge-additive-05-gtsrb-allconv", "additive"),
    ("judge-warp-04-cifar10-vgg", "warp"),
)
CLIP = 1.0
MOMENTUM = 0.9
UNLEARNING = Unlearning()
"""Batch size, ratio of clean images, temperature and the like are the product's."""


@dataclass(frozen=True)
class Rule:
    """A rule of steps with its setting.

    Attributes:
        name: ``SGD``, ``Adam`` or ``K-FAC``.
        rate: The learning rate of the first step; it falls to zero.
        damping: Of K-FAC.
    """

    name: str
    rate: float
    damping: float = 0.0

    def __str__(self) -> str:
        damping = f", damping {self.damping:g}" if self.damping else ""
        return f"{self.name}, rate {self.rate:g}{damping}"


CANDIDATES = (
    *(Rule("SGD", rate) for rate in (0.03, 0.1, 0.3, 1.0)),
    *(Rule("Adam", rate) for rate in (1e-3, 3e-3, 1e-2)),
    *(Rule("K-FAC", rate, damping) for rate in (0.1, 0.2) for damping in (0.03, 0.003)),
)
RULES = (
    Rule("SGD", 0.1),
    Rule("Adam", 3e-3),
    Rule("K-FAC", 0.1, 0.03),
    Rule("K-FAC", 0.1, UNLEARNING.damping),
)
"""Those that ``--choose`` found best, and K-FAC as the product uses it."""


def unlearn(example: Example, rule: Rule, steps: int) -> dict[str, Any]:
    """Judge the model after so many steps by a rule; it is untouched again afterwards."""

    def forget(task: Task) -> None:
        with softened(task.classifier, UNLEARNING.temperature):
            objective = TeacherObjective(
                task, Variations(example.recovered), clean_ratio=UNLEARNING.clean_ratio
            )
            change = _natural(task, rule, steps) if rule.damping else _plain(task, rule, steps)
            run(task, objective, steps, UNLEARNING.batch_size, change, "")

    return {
        **example.judged_after(forget, promising(example.ranked)),
        "rule": str(rule),
        "steps": steps,
    }


Change = Callable[[Batch, Gradients], float]


def _natural(task: Task, rule: Rule, steps: int) -> Change:
    natural = NaturalSteps(
        task,
        steps=steps,
        damping=rule.damping,
        momentum=UNLEARNING.momentum,
        learning_rate=rule.rate,
        trust_region=UNLEARNING.trust_region,
        refresh=UNLEARNING.refresh,
    )

    def change(batch: Batch, gradients: Gradients) -> float:
        natural.see(batch)
        natural.take(batch, gradients)
        return 0.0

    return change


def _plain(task: Task, rule: Rule, steps: int) -> Change:
    parameters = tuned_parameters(task)
    optimiser: torch.optim.Optimizer
    if rule.name == "SGD":
        optimiser = torch.optim.SGD(parameters, lr=rule.rate, momentum=MOMENTUM)
    else:
        optimiser = torch.optim.Adam(parameters, lr=rule.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / steps)

    def change(batch: Batch, gradients: Gradients) -> float:
        length = torch.stack([g.square().sum() for g in gradients.values()]).sum().sqrt()
        scale = min(1.0, CLIP / (float(length) + 1e-12))
        descend(optimiser, {p: g * scale for p, g in gradients.items()})
        schedule.step()
        return 0.0

    return change


def choose(zoo: Path, steps: int = 40) -> None:
    """Print how every candidate does on the models to choose on."""
    sums: dict[str, list[dict[str, Any]]] = {}
    for name, kind in CHOOSE_ON:
        example = of_folder(zoo / name, kind)
        for rule in CANDIDATES:
            sums.setdefault(str(rule), []).append(unlearn(example, rule, steps))
    print(f"| rule, {steps} steps | ASR left + ACC lost | ASR after | ACC lost | by model |")
    print("| --- | --- | --- | --- | --- |")
    for rule, rows in sums.items():
        by_model = ", ".join(f"{cost(row):.1f}" for row in rows)
        left = fmean(row["asr"] for row in rows)
        lost = fmean(row["before"]["acc"] - row["acc"] for row in rows)
        total = fmean(map(cost, rows))
        print(f"| {rule} | {total:.2f} | {left:.1f} | {lost:.2f} | {by_model} |")


def interval(values: Sequence[float]) -> str:
    """The mean with its 95 % interval by Student's t."""
    from scipy.stats import t

    if len(values) < 2:
        return f"{values[0]:.1f}"
    half = float(t.ppf(0.975, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return f"{fmean(values):.1f} ± {half:.1f}"


def table(rows: Sequence[dict[str, Any]]) -> None:
    """Print one line for each model, rule and number of steps."""
    print("| model | rule | steps | ACC lost | true ASR after | RA after | seconds |")
    print(f"|{' --- |' * 7}")
    keys = dict.fromkeys((row["model"], row["rule"], row["steps"]) for row in rows)
    for model, rule, steps in keys:
        same = [r for r in rows if (r["model"], r["rule"], r["steps"]) == (model, rule, steps)]
        cells = (
            interval([r["before"]["acc"] - r["acc"] for r in same]),
            interval([r["asr"] for r in same]),
            interval([r["ra"] for r in same]),
            f"{fmean(r['seconds'] for r in same):.1f}",
        )
        print(f"| {model} | {rule} | {steps} | {' | '.join(cells)} |")


def paired(rows: Sequence[dict[str, Any]]) -> None:
    """Print how much more ACC one rule loses than another on the same models and seeds."""
    last = max(row["steps"] for row in rows)
    lost: dict[str, list[float]] = {}
    for row in sorted(rows, key=lambda row: (row["model"], row["seed"])):
        if row["steps"] == last:
            lost.setdefault(row["rule"], []).append(row["before"]["acc"] - row["acc"])
    print(
        f"\n| after {last} steps | ACC lost more than by K-FAC, points | n |\n| --- | --- | --- |"
    )
    for rule, base in lost.items():
        for other, points in lost.items():
            if rule.startswith("K-FAC") and not other.startswith("K-FAC"):
                more = interval([a - b for a, b in zip(points, base, strict=True)])
                print(f"| {other} against {rule} | {more} | {len(base)} |")


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """ASR of the true trigger by steps: a panel a model, a line a rule, a band over the seeds."""
    from matplotlib.figure import Figure

    models = list(dict.fromkeys(row["model"] for row in rows))
    figure = Figure(figsize=(9.5, 3.6), layout="constrained")
    panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
    for axes, model in zip(panels, models, strict=True):
        for place, rule in enumerate(dict.fromkeys(row["rule"] for row in rows)):
            own = [row for row in rows if (row["model"], row["rule"]) == (model, rule)]
            steps = sorted({row["steps"] for row in own})
            rates = [[row["asr"] for row in own if row["steps"] == step] for step in steps]
            colour = f"C{place}"
            label = rule if model == models[0] else None
            axes.plot(steps, [fmean(r) for r in rates], color=colour, marker="o", label=label)
            axes.fill_between(
                steps, [min(r) for r in rates], [max(r) for r in rates],
                color=colour, alpha=0.15, linewidth=0,
            )  # fmt: skip
        axes.set_title(model, fontsize=10)
        axes.set_xlabel("steps")
        axes.set_xticks(STEPS)
        axes.grid(color="#d0d0d0", linewidth=0.6)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    panels[0].set_ylabel("ASR of the true trigger, %")
    panels[0].set_ylim(-3, 103)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    figure.savefig(path, dpi=160)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", nargs="+", choices=list(KIND), default=list(KIND))
    parser.add_argument("--choose", type=Path, metavar="ZOO")
    parser.add_argument("--figure", type=Path, help="draw the result here, as PNG")
    parser.add_argument("--json", type=Path, help="keep all figures here, and go on from there")
    arguments = parser.parse_args()
    if arguments.choose:
        choose(arguments.choose)
        return
    rows: list[dict[str, Any]] = []
    if arguments.json and arguments.json.is_file():
        rows = json.loads(arguments.json.read_text(encoding="utf-8"))
    for seed in range(arguments.seeds):
        for model in arguments.models:
            if any((row["model"], row["seed"]) == (model, seed) for row in rows):
                continue
            example = third_party(model, seed)
            rows += [unlearn(example, rule, steps) for rule in RULES for steps in STEPS]
            if arguments.json:
                arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    table(rows)
    paired(rows)
    if arguments.figure:
        plot(rows, arguments.figure)


if __name__ == "__main__":
    main()
