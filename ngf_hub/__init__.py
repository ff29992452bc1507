"""Find and remove backdoors of image classifiers of the Hugging Face Hub, with proof.

>>> from ngf_hub import load_model, scan, purify, evaluate, publish

The public names are loaded when they are first used, so that importing the
package (and ``ngf-hub --help``) does not wait for PyTorch.

- ``adapters``: models of timm, transformers and plain PyTorch behind one interface.
- ``data``: clean images, split into what tunes and what judges.
- ``triggers``: what an attacker puts on an image.
- ``curvature``: Fisher information, exact and Kronecker-factored.
- ``methods``: the purification methods.
- ``evidence``: what speaks against a model, one file a kind, and the verdict.
- ``recovery``: the search for triggers, of all classes at once.
- ``scanning``: the scan of one model; ``scan_report``: what it found; ``scans``: many
  models, results that are kept, outputs and formats.
- ``pipeline``: the purification.
- ``source``, ``hub``, ``paths``, ``whole``: which model a text names, the Hub's errors,
  places, and folders that appear whole or not at all.
- ``evaluation``, ``report``, ``card``, ``plots``, ``pages``: the proof.
- ``publishing``, ``proposing``, ``committing``: onto the Hub, or as a pull request;
  ``reproducing``: a published result, run again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ngf_hub.lazy import lazy_names

if TYPE_CHECKING:
    from ngf_hub.adapters import Classifier, load_model
    from ngf_hub.errors import NgfHubError
    from ngf_hub.evaluation import evaluate
    from ngf_hub.pipeline import Purified, purify
    from ngf_hub.publishing import publish
    from ngf_hub.report import Report
    from ngf_hub.reproducing import Reproduction, reproduce
    from ngf_hub.scan_report import ScanReport
    from ngf_hub.scanning import Scanned, scan, scan_model
    from ngf_hub.triggers import Trigger, make_trigger

__version__ = "0.1.0"

_HOMES = {
    "Classifier": "ngf_hub.adapters",
    "NgfHubError": "ngf_hub.errors",
    "Purified": "ngf_hub.pipeline",
    "Report": "ngf_hub.report",
    "Reproduction": "ngf_hub.reproducing",
    "ScanReport": "ngf_hub.scan_report",
    "Scanned": "ngf_hub.scanning",
    "Trigger": "ngf_hub.triggers",
    "evaluate": "ngf_hub.evaluation",
    "load_model": "ngf_hub.adapters",
    "make_trigger": "ngf_hub.triggers",
    "publish": "ngf_hub.publishing",
    "purify": "ngf_hub.pipeline",
    "reproduce": "ngf_hub.reproducing",
    "scan": "ngf_hub.scanning",
    "scan_model": "ngf_hub.scanning",
}

__all__ = [
    "Classifier",
    "NgfHubError",
    "Purified",
    "Report",
    "Reproduction",
    "ScanReport",
    "Scanned",
    "Trigger",
    "evaluate",
    "load_model",
    "make_trigger",
    "publish",
    "purify",
    "reproduce",
    "scan",
    "scan_model",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
