"""Registers every kind of evidence that looks at a loaded model, one line each."""

from ngf_hub.evidence.all_to_all import AllToAll
from ngf_hub.evidence.composite import CompositeEvidence
from ngf_hub.evidence.grating import GratingRecovery
from ngf_hub.evidence.margin import Margin
from ngf_hub.evidence.recovered import AdditiveRecovery, PatchRecovery, WarpRecovery
from ngf_hub.evidence.sharpness import Sharpness

__all__ = [
    "AdditiveRecovery",
    "AllToAll",
    "CompositeEvidence",
    "GratingRecovery",
    "Margin",
    "PatchRecovery",
    "Sharpness",
    "WarpRecovery",
]
