"""The ways to forget that ``auto`` may try, in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ngf_hub.adapters.layers import Layer
from ngf_hub.cure_report import RankedLayer
from ngf_hub.methods.cure.layers import promising
from ngf_hub.methods.unlearn import NEAR

WORST_CASE = 0.0045
"""Root mean square of the worst-case changes of an attempt that follows one that did not forget
(the first is as near as :data:`NEAR`); chosen on other models or images than those that judge."""


@dataclass(frozen=True)
class Plan:
    """One way to forget.

    Attributes:
        layers: The layers to tune.
        kinds: The kinds of triggers to forget.
        radius: How far half of the triggered images are moved on towards their class.
    """

    layers: list[str]
    kinds: list[str]
    radius: float = NEAR

    def told(self, kinds: Sequence[str]) -> Plan:
        """The same, with these kinds beside its own."""
        return replace(self, kinds=list(dict.fromkeys([*self.kinds, *kinds])))

    def is_less(self, other: Plan) -> bool:
        """Whether it tunes fewer layers than another, and asks no more of them."""
        return (
            len(self.layers) < len(other.layers)
            and len(self.kinds) <= len(other.kinds)
            and self.radius <= other.radius
        )


def plans(ranked: Sequence[tuple[Layer, RankedLayer]], kinds: Sequence[str]) -> list[Plan]:
    """What may be tried, in order.

    Args:
        ranked: The layers, the most promising first.
        kinds: The kinds of triggers, the most significant first. The first plan
            forgets these alone: each kind more costs clean accuracy, and so does
            moving triggered images by more, which comes where they are not enough.
    """
    best, first = [ranked[0][1].name], [kinds[0]]
    chosen, everything = promising(ranked), [entry.name for _, entry in ranked]
    # On a transformer the layer that promises most may be the first, where a patch is still apart.
    wider = chosen if best[0] in chosen else [*best, *chosen]
    found = [
        Plan(chosen, first),
        Plan(best, first),
        Plan(chosen, first, WORST_CASE),
        Plan(wider, first, WORST_CASE),
        Plan(everything, first, WORST_CASE),
        Plan(chosen, list(kinds), WORST_CASE),
        Plan(everything, list(kinds), WORST_CASE),
    ]
    return distinct(found)


def distinct(found: Sequence[Plan]) -> list[Plan]:
    """Each plan once, in the same order."""
    return [plan for place, plan in enumerate(found) if plan not in found[:place]]
