"""The text a user writes for a trigger.

A trigger is named by a folder that holds ``trigger.json``, by a picture file
(a patch), by a preset, or by ``FAMILY:key=value,key=value``.
"""

from __future__ import annotations

from ngf_hub.errors import TriggerError
from ngf_hub.paths import existing
from ngf_hub.triggers.base import CONFIG_FILE, FAMILIES, Trigger, has_own_target, load_folder
from ngf_hub.triggers.options import Options

# The settings of the papers, stated for 32x32 images and scaled to others.
PRESETS = {
    "badnets": "patch:pattern=checkerboard,size=3,position=bottom-right,margin=1,reference=32",
    "blend": "blend:pattern=noise,ratio=0.2",
    "sig": "sig:amplitude=0.0784,frequency=6",
    "wanet": "warp:strength=0.5,grid=4,seed=0",
}


def make_trigger(spec: str, target: int | None) -> Trigger:
    """The trigger that a text names.

    Args:
        spec: A trigger folder, a picture file, a preset or ``FAMILY:key=value,...``.
        target: The target class, or ``None`` for all-to-all. A folder brings
            its own target, which ``target`` overrides if it is given.

    Raises:
        TriggerError: Nothing of these, or options that do not fit.
    """
    path = existing(spec)
    if path is not None and has_own_target(spec):
        trigger = load_folder(path)
        if target is not None:
            trigger.target = target
        return trigger
    spec = PRESETS.get(spec, spec)
    family, _, rest = spec.partition(":")
    if family not in FAMILIES:
        if path is not None and path.is_file():
            family, rest = "patch", f"image={spec}"
        else:
            raise TriggerError(
                f"{spec!r} is no trigger: neither a folder with {CONFIG_FILE}, a picture file, "
                "a preset nor a family.",
                f"Presets: {', '.join(PRESETS)}. Families: {', '.join(sorted(FAMILIES))}, "
                "as in patch:image=logo.png,position=27x27.",
            )
    options = Options(_pairs(rest))
    trigger = FAMILIES[family].from_options(options, target)
    options.finish(family)
    return trigger


def _pairs(text: str) -> dict[str, str]:
    """The ``key=value`` pairs of a comma-separated text."""
    pairs: dict[str, str] = {}
    for part in filter(None, text.split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key or not value:
            raise TriggerError(f"Trigger option {part!r} is not of the form key=value.")
        pairs[key.strip()] = value.strip()
    return pairs
