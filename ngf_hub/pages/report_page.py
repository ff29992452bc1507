"""The page of a purification, an attack or an evaluation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ngf_hub.card_code import bibtex, command_block
from ngf_hub.card_text import METHOD_NAMES, source_is_on_hub
from ngf_hub.hub import is_hub_id
from ngf_hub.outcome import Outcome, read_outcome
from ngf_hub.pages import measured
from ngf_hub.pages.layout import render_page
from ngf_hub.pages.parts import facts, pairs
from ngf_hub.pages.pictures import Album
from ngf_hub.pages.spectrum import spectrum_bars
from ngf_hub.pages.triggers import recovered_triggers, trigger_pictures
from ngf_hub.report import Report, TriggerInfo, without_tokens
from ngf_hub.scans.formats.wording import class_text
from ngf_hub.text import plain

KINDS = {
    "purify": "Purification report",
    "evaluate": "Evaluation report",
    "attack": "Report of a research attack",
}
_ORIGINS = {
    "given": "A {} trigger that the user gave",
    "known attack": "The {} trigger of the attack that the model was backdoored with",
    "recovered": "A {} trigger that a scan recovered from the model",
}
_USES = {"judge": "Images that judged", "scan": "Images that the scan looked with"}


def report_page(report: Report, folder: Path | None = None) -> str:
    """The page of a report.

    Args:
        report: Every figure is from it.
        folder: The output folder; without it there are no pictures.
    """
    report = Report.model_validate(without_tokens(report.model_dump(mode="json")))
    outcome, album = read_outcome(report), Album()
    cure, names = report.cure, report.model.class_names
    name = short_name(report.model.name)
    values: dict[str, Any] = {
        "title": f"{KINDS[report.kind]}: {name}",
        "kind": KINDS[report.kind],
        "name": name,
        "about": _about(report),
        "source_url": _source_url(report),
        "banner": measured.banner(report, outcome),
        "measures": measured.measures(report, outcome),
        "compared": report.after is not None,
        "unlabelled": report.data.unlabelled,
        "cure": cure is not None,
        "state": cure.state if cure is not None else "",
        "pooled": measured.pooled(cure, outcome) if cure is not None else [],
        "searches": measured.searches(cure, names) if cure is not None else [],
        "attempts": measured.attempts_table(cure) if cure is not None else None,
        "ranking": measured.ranking(cure.ranking) if cure is not None else [],
        "trigger": _trigger(report, outcome, folder, album),
        "recovered": _recovered(report, folder, album),
        "spectrum": spectrum_bars(report.spectrum),
        "method": _method(report),
        "attack": _attack(report),
        "classes": measured.classes_table(report),
        "data": _data(report),
        "provenance": _provenance(report),
        "files": [(plain(k, 100), plain(v, 80)) for k, v in report.model.files.items()],
        "command": _unfenced(command_block(report)),
        "bibtex": bibtex(report),
        "notes": [
            plain(note, 400) for note in (*report.warnings, *report.model.notes, *report.data.notes)
        ],
        "head_only": report.method is not None
        and bool(report.method.layers)
        and set(report.method.layers) <= set(report.model.head),
    }
    return render_page("report.html.jinja", values)


def short_name(name: str) -> str:
    """A Hub id as it is; of a path the last part, so that no folder of the machine shows."""
    if is_hub_id(name):
        return plain(name, 120)
    last = name.rstrip("/\\").replace("\\", "/").split("/")[-1]
    return plain(last or name, 120) or "(no name)"


def _about(report: Report) -> str:
    model = report.model
    parts = [
        f"{plain(model.family, 30)} {plain(model.architecture, 60)}",
        f"{model.num_classes:,} classes",
        f"{model.parameters:,} parameters",
        plain(report.provenance.created, 40)[:10],
    ]
    return " · ".join(part for part in parts if part.strip())


def _source_url(report: Report) -> str | None:
    commit = report.model.commit or ""
    if not source_is_on_hub(report) or not re.fullmatch(r"[0-9a-f]{7,40}", commit):
        return None
    return f"https://huggingface.co/{report.model.name}/tree/{commit}"


def _trigger(
    report: Report, outcome: Outcome, folder: Path | None, album: Album
) -> dict[str, Any] | None:
    """What ASR was measured with; ``None`` without a trigger."""
    trigger = report.trigger
    if trigger is None:
        return None
    pictures = []
    if folder is not None:
        pictures = trigger_pictures(folder / "trigger", report.model, album)
    return {
        "sentence": _trigger_sentence(trigger),
        "estimate": outcome.estimate,
        "plot": album.file(folder, "trigger.png") if folder is not None else None,
        "pictures": pictures,
        "parameters": pairs(trigger.parameters),
    }


def _trigger_sentence(trigger: TriggerInfo) -> str:
    target = class_text(trigger.target, trigger.target_name)
    leads = (
        f"class {target} (all-to-one)" if target else "class y + 1 from each class y (all-to-all)"
    )
    return f"{_ORIGINS[trigger.origin].format(plain(trigger.family, 60))}. It leads to {leads}."


def _recovered(report: Report, folder: Path | None, album: Album) -> dict[str, Any]:
    if report.cure is None:
        return {"seen": [], "unseen": [], "plot": None}
    return {
        "plot": album.file(folder, "recovered.png") if folder is not None else None,
        "seen": recovered_triggers(report.cure, report.model, folder, album, seen=True),
        "unseen": recovered_triggers(report.cure, report.model, folder, album, seen=False),
    }


def _method(report: Report) -> dict[str, Any] | None:
    method = report.method
    if method is None:
        return None
    given = [
        ("Method", METHOD_NAMES.get(method.name, method.name)),
        ("Paper", method.citation),
        ("Steps", method.steps),
        ("Change of the tuned weights", f"{100 * method.change:.2g} % (Frobenius norm, relative)"),
        ("Running statistics", method.batch_norm),
        ("Objective", _ends(method.loss)),
    ]
    return {
        "facts": facts(given, 400),
        "layers": [plain(name, 120) for name in method.layers],
        "options": pairs(method.options),
        "diagnostics": pairs(method.diagnostics),
        "loss": _line(method.loss),
    }


def _attack(report: Report) -> dict[str, Any] | None:
    attack = report.attack
    if attack is None:
        return None
    given = [
        ("Attack", attack.name),
        ("Paper", attack.citation),
        ("Kind", attack.kind),
        ("Weights before", "random" if attack.from_scratch else "pre-trained"),
        ("Steps", attack.steps),
        ("Loss", _ends(attack.loss)),
    ]
    training = {f"training: {key}": value for key, value in attack.training.items()}
    return {
        "facts": facts(given, 400),
        "options": pairs({**attack.options, **attack.diagnostics, **training}),
        "loss": _line(attack.loss),
    }


def _ends(loss: list[float]) -> str:
    return f"{loss[0]:.4g} at the start, {loss[-1]:.4g} at the end" if loss else ""


def _line(loss: list[float]) -> str:
    """The points of a curve in a box of 1000 x 200; empty where there are too few to draw."""
    if len(loss) < 3:
        return ""
    low, high = min(loss), max(loss)
    span = (high - low) or 1.0
    points = (
        (1000 * place / (len(loss) - 1), 10 + 180 * (high - value) / span)
        for place, value in enumerate(loss)
    )
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _data(report: Report) -> list[tuple[str, str]]:
    data = report.data
    on_hub = data.revision is not None and is_hub_id(data.name)
    uses = {**_USES, "tune": "Images that trained" if report.attack else "Images that tuned"}
    given: list[tuple[str, object]] = [
        ("Dataset", data.name if on_hub else short_name(data.name)),
        ("Configuration", data.config),
        ("Commit", data.revision),
        ("Licence", data.licence),
        ("Classes matched", data.class_matching),
        *((uses[part.use], f"{part.n:,} of split {part.split}") for part in data.splits),
    ]
    return facts(given)


def _provenance(report: Report) -> list[tuple[str, str]]:
    origin, cost, model = report.provenance, report.cost, report.model
    device = cost.device
    device += f", {cost.processes} processes" if cost.processes > 1 else ""
    device += f", {cost.mixed_precision}" if cost.mixed_precision != "no" else ""
    given: list[tuple[str, object]] = [
        ("Made by", f"ngf-hub {origin.tool_version}, {origin.created}"),
        ("Source", short_name(model.name)),
        ("Commit of the source", model.commit),
        ("Licence of the source", model.licence or "not stated"),
        ("Seed", origin.seed),
        ("Versions", ", ".join(f"{key} {value}" for key, value in origin.versions.items())),
        ("Device", device),
        (
            "Time",
            ", ".join(f"{key.replace('_', ' ')} {v:.1f} s" for key, v in cost.seconds.items()),
        ),
        (
            "Peak memory",
            f"{cost.peak_memory_bytes / 2**30:.2f} GiB" if cost.peak_memory_bytes else "",
        ),
    ]
    return facts(given, 600)


def _unfenced(block: str) -> str:
    """The lines of a fenced Markdown block, with what stands before it."""
    lines = block.split("\n")
    fences = [place for place, line in enumerate(lines) if line.startswith("```")]
    return "\n".join(lines[fences[0] + 1 : fences[-1]]) if len(fences) > 1 else block
