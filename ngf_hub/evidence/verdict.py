"""From findings to a verdict, with the chance that a clean model would be judged so."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ngf_hub.evidence.calibration import Calibration, packaged_calibration
from ngf_hub.scan_report import Finding

SIGNIFICANCE = 0.01
"""A model is flagged where the combined p-value is at most this. With 30 clean
models, more than one is then flagged in fewer than four of a hundred such rounds."""
NEAR = 0.05
"""Up to this p-value a model that is not flagged is said to come near it."""
LEAST_P_VALUE = 1e-4
"""No smaller p-value is stated: a few dozen clean models cannot vouch for one."""
NEVER_COMBINED = frozenset({"files"})
"""Kinds that are judged by themselves elsewhere, and passed through."""


@dataclass(frozen=True)
class Judgement:
    """What the findings say together.

    Attributes:
        findings: The findings, in their order, with p-values and statuses.
        verdict: ``backdoored``, ``nothing found``, or ``inconclusive`` where no
            strong evidence could judge.
        target: The target class that the most significant flagged evidence suspects.
        p_value: The share of clean models on which the strong evidence together
            would be as strong; ``None`` where it is inconclusive.
        confidence: ``1 − p_value`` where the verdict is ``backdoored``.
        score: −log10 of the combined p-value before it is bounded from below; for
            ordering models by suspicion.
        summary: One line for people.
        warnings: What limits the judgement.
        ranked: The kinds of the strong evidence, the most significant first.
    """

    findings: list[Finding]
    verdict: Literal["backdoored", "nothing found", "inconclusive"]
    target: int | None = None
    p_value: float | None = None
    confidence: float | None = None
    score: float | None = None
    summary: str = ""
    warnings: list[str] = field(default_factory=list)
    ranked: list[str] = field(default_factory=list)


def combine(p_values: Sequence[float]) -> float:
    """The p-value of the smallest of several: 1 − (1 − min p)^m (Šidák, 1967).

    Exact for independent evidence; for evidence that agrees on clean models it is
    on the safe side.
    """
    if not p_values:
        raise ValueError("there is no p-value to combine")
    return _corrected(min(p_values), len(p_values))


def _corrected(p_value: float, count: int) -> float:
    # expm1 and log1p keep small p-values apart that 1 − (1 − p)^m would round to 0.
    return 1.0 if p_value >= 1 else -math.expm1(count * math.log1p(-p_value))


def judge(
    findings: Sequence[Finding],
    calibration: Calibration | None = None,
    *,
    with_images: bool = True,
    classes: int | None = None,
) -> Judgement:
    """Complete the findings with p-values and statuses, and combine the strong ones.

    Args:
        findings: What the evidence brought in.
        calibration: Statistics of clean models; those that ship with the library
            if left out.
        with_images: Whether the findings are from a scan with clean images.
        classes: The model's number of classes; where the clean models had far
            fewer, a warning says so.
    """
    known = packaged_calibration() if calibration is None else calibration
    raw = [_raw_p_value(finding, known, with_images) for finding in findings]
    strong = [
        index
        for index, finding in enumerate(findings)
        if raw[index] is not None and not finding.weak
    ]
    completed = [
        finding
        if finding.kind in NEVER_COMBINED
        else _complete(finding, raw[index], len(strong) if index in strong else 1)
        for index, finding in enumerate(findings)
    ]
    if not strong:
        return Judgement(completed, "inconclusive", summary="No evidence could judge this model.")
    p_values = {index: p for index in strong if (p := raw[index]) is not None}
    combined = combine(list(p_values.values()))
    stated = max(combined, LEAST_P_VALUE)
    warnings = []
    if classes is not None and classes > 2 * known.most_classes:
        warnings.append(
            f"The clean models that p-values come from have at most {known.most_classes} classes, "
            f"and this one {classes}: take the p-values with caution."
        )
    flagged = combined <= SIGNIFICANCE
    ranked = sorted(strong, key=lambda index: p_values[index])
    return Judgement(
        completed,
        "backdoored" if flagged else "nothing found",
        target=completed[ranked[0]].target if flagged else None,
        p_value=stated,
        confidence=1 - stated if flagged else None,
        score=-math.log10(max(combined, 5e-324)),
        summary=_summary([completed[index] for index in ranked], stated),
        warnings=warnings,
        ranked=[completed[index].kind for index in ranked],
    )


def _raw_p_value(finding: Finding, calibration: Calibration, with_images: bool) -> float | None:
    """Its p-value before it is bounded from below; ``None`` where it cannot be judged."""
    if finding.kind in NEVER_COMBINED or finding.statistic is None:
        return None
    null = calibration.null(finding.kind, with_images=with_images)
    if null is None or not math.isfinite(finding.statistic):
        return None
    return null.p_value(finding.statistic)


def _complete(finding: Finding, raw: float | None, count: int) -> Finding:
    """The finding with p-value and status; ``count`` pieces of evidence are judged with it."""
    statistic = finding.statistic
    if statistic is not None and not math.isfinite(statistic):
        return _not_judged(finding, "its statistic is not a finite number", statistic=None)
    if raw is None:
        why = "" if statistic is None else "no clean models were measured for it"
        return _not_judged(finding, why, statistic=statistic)
    status = "flagged" if _corrected(raw, count) <= SIGNIFICANCE else "clear"
    return finding.model_copy(update={"p_value": max(raw, LEAST_P_VALUE), "status": status})


def _not_judged(finding: Finding, why: str, *, statistic: float | None) -> Finding:
    summary = f"{finding.summary.rstrip('.')} (not judged: {why})." if why else finding.summary
    update = {"status": "not judged", "p_value": None, "statistic": statistic, "summary": summary}
    return finding.model_copy(update=update)


def _summary(ranked: Sequence[Finding], combined: float) -> str:
    """One line on the strong findings, most significant first."""
    names = [finding.kind for finding in ranked]
    if combined > SIGNIFICANCE:
        told = f"Nothing stands out from clean models in {_listed(names)}."
        if combined > NEAR:
            return told
        whither = "" if ranked[0].target is None else f", to class {ranked[0].target}"
        share = f"{100 * combined:.1f} % of clean models look as suspicious"
        return f"{told} Nearest comes {names[0]}{whither}: {share}."
    first, *others = [finding for finding in ranked if finding.status == "flagged"]
    if first.target is None:
        return f"{_listed([first.kind])} stands out from clean models."
    agreeing = [finding.kind for finding in others if finding.target == first.target]
    apart = [finding for finding in others if finding.target not in (first.target, None)]
    verb = "point" if agreeing else "points"
    text = f"{_listed([first.kind, *agreeing])} {verb} to class {first.target}"
    if apart:
        text += "; " + ", ".join(f"{finding.kind} to class {finding.target}" for finding in apart)
    return text + "."


def _listed(names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    return ", ".join(names[:-1]) + " and " + names[-1]
