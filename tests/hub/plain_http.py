"""Single requests without a Hub client, for what no client would send."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.error import HTTPError

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass
class Answer:
    """A response, whatever its status."""

    status: int
    headers: Message
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


def open_stream(
    method: str,
    url: str,
    *,
    content: bytes | None = None,
    token: str | None = None,
    headers: dict[str, str] | None = None,
) -> Any:
    """Send a request; gives the response to read from, also when it is an error."""
    request = urllib.request.Request(url, content, headers or {}, method=method)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        return _OPENER.open(request, timeout=30)
    except HTTPError as error:
        return error


def fetch(method: str, url: str, body: Any = None, **options: Any) -> Answer:
    """Send a request, with ``body`` as JSON if given, and read all of the response."""
    if body is not None:
        options["content"] = json.dumps(body).encode()
    with open_stream(method, url, **options) as response:
        return Answer(response.status, response.headers, response.read())
