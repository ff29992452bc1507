"""The Jinja templates of the model card: layout and wording only.

Every value that a template shows comes from :mod:`ngf_hub.card`, already made
safe for Markdown.
"""

from __future__ import annotations

from importlib.resources import files


def template(name: str) -> str:
    """The text of a template of this folder, such as ``card.md.jinja``."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
