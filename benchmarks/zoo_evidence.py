"""What the scan's evidence says of known models, kept so that nothing is looked at twice.

Findings lie in ``<folder of the models>-evidence``, one file for each model, kind, seed and number
of images. Its name holds a fingerprint of the model's weights and of the code of
the kind, so that a change of either is measured anew.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.known_models import KnownModel, read
from benchmarks.zoo import WEIGHTS_FILE
from ngf_hub.devices import make_accelerator
from ngf_hub.evaluation import default_batch_size
from ngf_hub.evidence.base import KINDS, Case, Evidence
from ngf_hub.evidence.collecting import collect, make_kinds
from ngf_hub.scan_report import Finding
from ngf_hub.unchanged import unchanged

# The packages whose code decides what a kind finds.
CODE = ("ngf_hub.evidence.", "ngf_hub.recovery.")
SEED_STEP = 7919
"""Images are drawn with another seed than the scan's own, as a user's would be."""


@dataclass(frozen=True)
class Look:
    """One way to look at a model: how many clean images (0: none), and the seed."""

    images: int
    seed: int = 0


def findings_of(folder: Path, look: Look, kinds: list[str]) -> list[Finding]:
    """The findings of some kinds on a known model, from the cache where they are known.

    Kinds that need images are left out where there are none.
    """
    known: KnownModel | None = None
    findings: list[Finding] = []
    for name, evidence in make_kinds(kinds).items():
        if look.images == 0 and evidence.needs_images:
            continue
        # What uses none finds the same with and without.
        own = look if getattr(evidence, "uses_images", True) else replace(look, images=0)
        path = _cached(folder, name, own)
        if not path.is_file():
            known = known or read(folder)
            found = _collect(name, evidence, known, own)
            _write(path, [finding.model_dump(mode="json") for finding in found])
        content = json.loads(path.read_text(encoding="utf-8"))
        findings += [Finding.model_validate(entry) for entry in content]
    return findings


def _collect(name: str, evidence: Evidence, known: KnownModel, look: Look) -> list[Finding]:
    images = known.images(look.images, SEED_STEP * (look.seed + 1)) if look.images else None
    classifier = known.classifier
    case = Case(
        classifier.eval(),
        images,
        make_accelerator("cpu"),
        seed=look.seed,
        batch_size=default_batch_size(classifier),
    )
    with unchanged(classifier) as state:
        collected = collect({name: evidence}, case, state)
    if not collected.complete:
        raise SystemExit(f"{known.folder.name}: {'; '.join(collected.warnings)}")
    return collected.findings


def _cached(folder: Path, name: str, look: Look) -> Path:
    root = folder.parent.with_name(folder.parent.name + "-evidence")
    digest = hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()[:8]
    parts = (name, fingerprint(KINDS[name]), digest, str(look.images), str(look.seed))
    return root / folder.name / ("-".join(parts) + ".json")


def _write(path: Path, content: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    os.replace(beside, path)


@cache
def fingerprint(kind: type[Evidence]) -> str:
    """Eight digits that change with the code of a kind, and not with its comments."""
    seen: dict[str, ModuleType] = {}
    waiting = [kind.__module__]
    while waiting:
        module = sys.modules[waiting.pop()]
        if module.__name__ not in seen:
            seen[module.__name__] = module
            waiting += set(_used(module))
    digest = hashlib.sha256(kind.__name__.encode())
    for name in sorted(seen):
        digest.update(_code(seen[name]).encode())
    return digest.hexdigest()[:8]


def _used(module: ModuleType) -> Iterator[str]:
    """The modules of :data:`CODE` that a module's names come from."""
    for value in vars(module).values():
        name = value.__name__ if isinstance(value, ModuleType) else _written_in(value)
        if name.startswith(CODE) and name in sys.modules:
            yield name


def _written_in(value: Any) -> str:
    """The module in which a class or function was written; empty for anything else."""
    name = getattr(value, "__module__", None)
    return name if isinstance(name, str) else ""


def _code(module: ModuleType) -> str:
    """A module's source without comments and docstrings."""
    if module.__file__ is None:
        return ""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                statement
                for statement in body
                if not (
                    isinstance(statement, ast.Expr)
                    and isinstance(statement.value, ast.Constant)
                    and isinstance(statement.value.value, str)
                )
            ]
    return ast.dump(tree)
