"""How every page is made: one layout, one style, and a policy that lets nothing foreign run."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from ngf_hub import __version__

STYLE, SCRIPT = "page.css", "table.js"
_FOOT = "<footer>Written by ngf-hub "


def is_page(text: str) -> bool:
    """Whether a text is a page that :func:`render_page` made."""
    return _FOOT in text


def render_page(name: str, values: Mapping[str, Any], *, scripted: bool = False) -> str:
    """A page that holds everything it shows.

    The content security policy names the style and the script by their hashes, so that
    nothing else runs or is fetched, whatever text a page holds.

    Args:
        name: A template of :mod:`ngf_hub.model_cards` that extends ``page.html.jinja``.
        values: What it shows; every text is escaped.
        scripted: Whether the script that sorts and filters tables goes with it.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    from ngf_hub.model_cards import template

    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(template),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = template(STYLE).strip(), template(SCRIPT).strip() if scripted else ""
    policy = {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": _source(style),
        "script-src": _source(script) if script else "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    page = environment.get_template(name).render(
        **values,
        style=style,
        script=script,
        policy="; ".join(f"{key} {value}" for key, value in policy.items()),
        version=__version__,
    )
    return page.rstrip() + "\n"


def _source(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
