"""Text from outside (names of models, classes, datasets; messages of servers) made safe to show.

Such text can hold terminal escapes, HTML, Markdown, or line breaks that forge
another line. Nothing here raises: any string goes in, and a harmless one of
bounded length comes out.
"""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

# ECMA-48: CSI sequences; OSC, DCS, SOS, PM and APC strings up to their end (BEL or
# ST); two-byte escapes. An unfinished string is dropped to the end of the text,
# as a terminal would swallow it too.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]).*?(?:\x07|\x1b\\|\x9c|\Z)"
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
# Cc: control characters. Cf: format characters, among them the bidirectional
# overrides that make text read otherwise than it is. Cs: lone surrogates, which
# no file can hold. Zl and Zp: line and paragraph separators.
_DROPPED = {"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"}
_MARKDOWN = re.compile(r"([\\`*_\[\]!~$])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "@": "&#64;"}
_SECRETS = (
    (re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{16,}"), "<token>"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), r"\1 <token>"),
    (re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+@"), "<token>@"),
    (re.compile(r"(?i)((?:X-Amz-Signature|X-Amz-Credential|Signature)=)[^&\s\"']+"), r"\1<token>"),
)
_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACEHUB_API_TOKEN")
_SHORTEST_SECRET = 6


def plain(text: object, limit: int = 200) -> str:
    """One line of printable text: no control characters, no terminal escapes, bounded.

    Args:
        text: Anything; other than strings are turned into one.
        limit: The longest result in characters; a longer one ends in ``…``.

    >>> plain("\\x1b[31mred\\x1b[0m\\nline")
    'red line'
    """
    # Bounding first keeps the time bounded too; the factor leaves room for what is dropped.
    string = _ESCAPES.sub("", str(text)[: 20 * limit + 1000])
    string = " ".join(string.split())
    kept = (c for c in string if c == " " or unicodedata.category(c) not in _DROPPED)
    string = " ".join("".join(kept).split())
    return string if len(string) <= limit else string[: limit - 1].rstrip() + "…"


def markdown(text: object, limit: int = 200) -> str:
    """:func:`plain` text that Markdown, GitHub tables and HTML show as it stands.

    >>> markdown("<b>a|b</b> *c*")
    '&lt;b&gt;a&#124;b&lt;/b&gt; \\\\*c\\\\*'
    """
    string = "".join(_ENTITIES.get(c, c) for c in plain(text, limit))
    # Escaping "&#124;" again would show the entity itself.
    string = re.sub(r"&#(\d+);|" + _MARKDOWN.pattern, _escape, string)
    # No link out of a bare address; no list, heading or rule out of a line's start.
    string = string.replace("://", "&#58;//").replace("www.", "www&#46;")
    return re.sub(r"^([-+=#:]|\d+[.)])", lambda m: f"{m[1][:-1]}\\{m[1][-1]}", string)


def _escape(match: re.Match[str]) -> str:
    return match[0] if match[1] else f"\\{match[2]}"


def code(text: object, limit: int = 200) -> str:
    """A Markdown code span, or escaped text where the span could be broken out of.

    >>> code("layer4.1.conv2"), code("a`b|c")
    ('`layer4.1.conv2`', 'a\\\\`b&#124;c')
    """
    string = plain(text, limit)
    if not string:
        return "(empty)"
    return markdown(string, limit) if re.search(r"[`<>|&\\$]", string) else f"`{string}`"


def code_block(lines: str, language: str = "", limit: int = 8000) -> str:
    """A fenced Markdown code block of several lines that its content cannot close."""
    kept = "\n".join(plain_line(line) for line in lines[:limit].split("\n"))
    longest = max((len(run) for run in re.findall(r"`+", kept)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{kept}\n{fence}"


def value_text(value: object) -> str:
    """The value of an option, without tokens: texts as they are, the rest short or as JSON.

    >>> value_text(0.1 + 0.2), value_text([1, None]), value_text("head")
    ('0.3', '[1, null]', 'head')
    """
    if isinstance(value, float):
        return f"{value:.6g}"
    return redact(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def plain_line(text: str) -> str:
    """The printable characters of a line, with its spaces as they are."""
    string = _ESCAPES.sub("", text.expandtabs(4))
    return "".join(c for c in string if unicodedata.category(c) not in _DROPPED)


def json_text(value: object) -> str:
    """The value as indented JSON, in which characters that are no print are escaped.

    Names from outside are kept as they are, and yet a terminal that the text is shown
    in obeys none of them.

    >>> print(json_text("é\\u202e"))
    "é\\u202e"
    """
    written = json.dumps(value, indent=2, ensure_ascii=False)
    return "".join(_escaped(c) if c not in " \n" and not c.isprintable() else c for c in written)


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1]


def redact(text: str, secrets: Iterable[str | None] = ()) -> str:
    """The text without anything that looks like a token, or is one that is in use.

    Args:
        text: Any text.
        secrets: Further values that must not show, besides those that the
            environment variables of Hub clients and their token file hold.

    >>> redact("Authorization: Bearer abcdefgh12345678")
    'Authorization: Bearer <token>'
    """
    known = [*secrets, *(os.environ.get(name) for name in _TOKEN_VARIABLES), _logged_in()]
    for secret in sorted((s for s in known if s), key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "<token>")
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _logged_in() -> str | None:
    """The token that ``hf auth login`` keeps, wherever Hub clients would look for it."""
    path = os.environ.get("HF_TOKEN_PATH")
    if path is None:
        caches = os.environ.get("XDG_CACHE_HOME", os.path.join("~", ".cache"))
        home = os.environ.get("HF_HOME", os.path.join(caches, "huggingface"))
        path = os.path.join(home, "token")
    return _first_line(os.path.expanduser(os.path.expandvars(path)))


@lru_cache(maxsize=8)
def _first_line(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readline(1000).strip() or None
    except OSError:
        return None
