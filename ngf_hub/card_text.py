"""What the card's template shows: values of the report, already safe for Markdown.

The template only lays out; each value that reaches it went through
:mod:`ngf_hub.text` here, so that no name from outside can forge a heading, a
link or HTML.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ngf_hub.card_code import bibtex, command_block, load_block
from ngf_hub.headline import drop_warning, headline
from ngf_hub.hub import is_hub_id
from ngf_hub.outcome import Outcome, read_outcome
from ngf_hub.report import Rate, Report
from ngf_hub.text import code, markdown, plain, value_text

PLOTS = ("before_after.png", "trigger.png", "recovered.png")
MOST_CLASSES = 20
METHOD_NAMES = {
    "ngf": "natural gradient fine-tuning (NGF)",
    "ft": "plain fine-tuning (FT)",
    "auto": "recovered triggers unlearned by natural gradients (auto)",
    "unlearn": "unlearning of triggers by natural gradients",
}


def source_is_on_hub(report: Report) -> bool:
    """Whether the source model is a Hub repository at a known commit."""
    return report.model.commit is not None and is_hub_id(report.model.name)


def card_values(report: Report, folder: Path | None, repo_id: str) -> dict[str, Any]:
    """All that the template shows.

    Args:
        report: Where every figure comes from.
        folder: Where plots are looked for; none are shown without it.
        repo_id: The repository in the code that loads the model.
    """
    model, method, data = report.model, report.method, report.data
    outcome = read_outcome(report)
    head_only = method is not None and set(method.layers) <= set(model.head)
    split_of = {use: [s for s in data.splits if s.use == use] for use in ("tune", "judge")}
    return {
        "title": markdown(_short(model.name), 100),
        "outcome": outcome,
        "headline": headline(report, outcome, lambda text: markdown(text, 400)),
        "cure": _cure(report),
        "drop_warning": drop_warning(outcome),
        "backdoored": report.backdoored,
        "purified": report.after is not None,
        "attack": _attack(report),
        "source": _source(report),
        "architecture": code(model.architecture, 100),
        "family": markdown(model.family, 30),
        "num_classes": model.num_classes,
        "parameters": f"{model.parameters:,}",
        "method": markdown(METHOD_NAMES.get(method.name, method.name), 100) if method else "",
        "layers": [code(name, 120) for name in method.layers] if method else [],
        "options": _pairs(method.options) if method else [],
        "diagnostics": _pairs(method.diagnostics) if method else [],
        "steps": method.steps if method else 0,
        "change": f"{100 * method.change:.2g} %" if method else "",
        "loss": _loss(method.loss) if method else "",
        "rows": _rows(report),
        "classes": _classes(report),
        "trigger": _trigger(report, outcome),
        "data": _data(report),
        "tuned_on": sum(part.n for part in split_of["tune"]),
        "judged_on": sum(part.n for part in split_of["judge"]),
        "splits": [(part.use, markdown(part.split, 100), part.n) for part in data.splits],
        "notes": [markdown(note, 400) for note in (*model.notes, *data.notes)],
        "warnings": [markdown(warning, 400) for warning in report.warnings],
        "plots": [name for name in PLOTS if folder is not None and (folder / name).is_file()],
        "load": load_block(model.family, repo_id),
        "provenance": _provenance(report),
        "files": [(code(name, 100), code(digest, 80)) for name, digest in model.files.items()],
        "command": command_block(report),
        "tool_version": plain(report.provenance.tool_version, 40),
        "head_only": head_only,
        "citation": markdown((method.citation or "").rstrip(". "), 400) if method else "",
        "bibtex": bibtex(report),
    }


def _attack(report: Report) -> dict[str, Any] | None:
    """How the backdoor was put in; ``None`` for a model that was not made so."""
    attack = report.attack
    if attack is None:
        return None
    training = {f"training: {key}": value for key, value in attack.training.items()}
    first, last = (attack.loss[0], attack.loss[-1]) if attack.loss else (0.0, 0.0)
    return {
        "name": code(attack.name, 60),
        "citation": markdown(attack.citation.rstrip(". "), 400),
        "kind": markdown(attack.kind, 40),
        "from_scratch": attack.from_scratch,
        "steps": attack.steps,
        "loss": f"{first:.4g} at the start, {last:.4g} at the end" if attack.loss else "",
        "options": _pairs({**attack.options, **attack.diagnostics, **training}),
    }


def _short(name: str) -> str:
    """The last part of a Hub id or path: a card shows no folders of the machine it was made on."""
    return name.rstrip("/\\").replace("\\", "/").split("/")[-1] or name


def _source(report: Report) -> str:
    """The source model, with a link to the very commit where it is on the Hub."""
    model = report.model
    if not source_is_on_hub(report):
        return code(_short(model.name), 120)
    commit = plain(model.commit, 40)
    if not re.fullmatch(r"[0-9a-f]{7,40}", commit):
        return code(model.name, 120)
    return (
        f"[{code(model.name, 120)}](https://huggingface.co/{model.name}) at commit "
        f"[`{commit[:7]}`](https://huggingface.co/{model.name}/tree/{commit})"
    )


def _cure(report: Report) -> dict[str, Any] | None:
    """What the method found out about its own work; ``None`` where it does not."""
    cure = report.cure
    if cure is None:
        return None
    rates = []
    for name, seen in (("was told to forget", True), ("was not told of", False)):
        if pooled := cure.pooled(seen=seen):
            rates.append((name, pooled[0].percent(), pooled[1].percent()))
    return {
        "state": cure.state,
        "why": markdown(cure.why, 400),
        "suspected": markdown(cure.suspected.summary, 400),
        "again": markdown(cure.again.summary, 400) if cure.again else "",
        "layers": [(code(entry.name, 120), f"{entry.score:.3g}") for entry in cure.ranking[:5]],
        "attempts": [
            (
                ", ".join(code(name, 120) for name in entry.layers),
                ", ".join(markdown(name, 40) for name in entry.forgotten),
                entry.success.percent(),
                f"{100 * entry.drop:.1f}".replace("-", "−"),
                "yes" if entry.taken else "no",
            )
            for entry in cure.attempts
        ],
        "rates": rates,
    }


def _rows(report: Report) -> list[tuple[str, str, str, str]]:
    """The table of results: (name, before or only, after, change in points)."""
    rows = []
    for name, field in (
        (report.accuracy_name, "accuracy"),
        ("Attack success rate (ASR)", "attack_success"),
        ("Recovered accuracy (RA)", "recovered_accuracy"),
    ):
        first: Rate | None = getattr(report.before, field)
        second: Rate | None = getattr(report.after, field) if report.after else None
        if field != "attack_success" and first is None and second is None:
            continue
        rows.append((name, _rate(first), _rate(second), _change(first, second)))
    return rows


def _rate(rate: Rate | None) -> str:
    return "not measured" if rate is None else rate.percent()


def _change(first: Rate | None, second: Rate | None) -> str:
    if first is None or second is None or first.value is None or second.value is None:
        return ""
    return f"{100 * (second.value - first.value):+.1f}".replace("-", "−")


def _classes(report: Report) -> list[tuple[str, str, str, str, str]]:
    """Rates of each class, those whose accuracy changed most first where there are many."""
    after = {entry.label: entry for entry in report.after.per_class} if report.after else {}
    entries = list(report.before.per_class)
    if len(entries) > MOST_CLASSES:

        def moved(label: int, rate: Rate) -> float:
            later = after[label].accuracy.value if label in after else rate.value
            return abs((later or 0.0) - (rate.value or 0.0))

        entries.sort(key=lambda entry: -moved(entry.label, entry.accuracy))
        entries = entries[:MOST_CLASSES]
    rows = []
    for entry in entries:
        named = entry.name is not None and entry.name != str(entry.label)
        name = markdown(f"{entry.label} {entry.name}" if named else entry.label, 60)
        later = after.get(entry.label)
        rows.append(
            (
                name,
                _rate(entry.accuracy),
                _rate(later.accuracy) if later else "",
                _rate(entry.attack_success) if entry.attack_success else "",
                _rate(later.attack_success) if later and later.attack_success else "",
            )
        )
    return rows


def _trigger(report: Report, outcome: Outcome) -> dict[str, Any] | None:
    """What ASR was measured with; ``None`` without a trigger."""
    trigger, current = report.trigger, report.current.attack_success
    if trigger is None:
        return None
    target = "every class y to y + 1 (all-to-all)"
    if trigger.target is not None:
        known = trigger.target_name not in (None, "", str(trigger.target))
        named = f" ({markdown(trigger.target_name, 80)})" if known else ""
        target = f"{trigger.target}{named} (all-to-one)"
    return {
        "family": code(trigger.family, 60),
        "origin": trigger.origin,
        "target": target,
        "parameters": _pairs(trigger.parameters),
        "n": current.n if current else 0,
        "estimate": outcome.estimate,
    }


def _data(report: Report) -> dict[str, str]:
    data = report.data
    on_hub = data.revision is not None and is_hub_id(data.name)
    name = code(data.name if on_hub else _short(data.name), 120)
    if on_hub:
        name = f"[{name}](https://huggingface.co/datasets/{data.name})"
    stated = {
        "Dataset": name,
        "Configuration": code(data.config, 100) if data.config else "",
        "Commit": code(data.revision, 60) if data.revision else "",
        "Image column": code(data.image_column, 100) if data.image_column else "",
        "Label column": code(data.label_column, 100) if data.label_column else "",
        "Licence": markdown(data.licence, 80) if data.licence else "",
        "Classes matched": markdown(data.class_matching, 200) if data.class_matching else "",
    }
    return {key: value for key, value in stated.items() if value}


def _provenance(report: Report) -> dict[str, str]:
    origin, cost = report.provenance, report.cost
    versions = ", ".join(f"{plain(k, 40)} {plain(v, 40)}" for k, v in origin.versions.items())
    seconds = ", ".join(f"{plain(k, 40)} {v:.1f} s" for k, v in cost.seconds.items())
    peak = f"{cost.peak_memory_bytes / 2**30:.2f} GiB" if cost.peak_memory_bytes else ""
    device = plain(cost.device, 40)
    if cost.processes > 1:
        device += f", {cost.processes} processes"
    if cost.mixed_precision != "no":
        device += f", {plain(cost.mixed_precision, 20)}"
    stated = {
        "Made by": markdown(f"ngf-hub {origin.tool_version}, {origin.created}"),
        "Source": _source(report),
        "Licence of the source": markdown(report.model.licence or "not stated", 80),
        "Seed": str(origin.seed),
        "Versions": markdown(versions, 600),
        "Device": markdown(device),
        "Time": markdown(seconds.replace("_", " "), 400),
        "Peak memory": peak,
    }
    return {key: value for key, value in stated.items() if value}


def _pairs(values: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values of options, each on one bounded line."""
    return [(code(key, 60), code(value_text(value), 120)) for key, value in values.items()]


def _loss(loss: list[float]) -> str:
    return f"{loss[0]:.4g} before any step, {loss[-1]:.4g} after the last" if loss else ""
