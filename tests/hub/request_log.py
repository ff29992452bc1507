"""What clients asked and how much they got, for tests to assert on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass
class LogEntry:
    """One request.

    Attributes:
        method: The HTTP method.
        path: The decoded path, without the query.
        query: The raw query string.
        range: The ``Range`` header.
        user_agent: The ``User-Agent`` header.
        status: The response's status; None until it starts.
        error_code: The response's ``X-Error-Code``.
        bytes_sent: Bytes of response body handed to the socket. If the client
            hangs up midway, up to a few hundred kB more than it has read.
        bytes_received: Bytes of request body.
    """

    method: str
    path: str
    query: str = ""
    range: str | None = None
    user_agent: str = ""
    status: int | None = None
    error_code: str | None = None
    bytes_sent: int = 0
    bytes_received: int = 0


@dataclass
class RequestLog:
    """The requests so far, oldest first."""

    entries: list[LogEntry] = field(default_factory=list)
    _children: list[RequestLog] = field(default_factory=list, repr=False)

    def add(self, entry: LogEntry) -> None:
        self.entries.append(entry)
        for child in self._children:
            child.add(entry)

    def clear(self) -> None:
        self.entries.clear()

    @contextmanager
    def record(self) -> Iterator[RequestLog]:
        """A log of the requests made inside the ``with`` block only."""
        child = RequestLog()
        self._children.append(child)
        try:
            yield child
        finally:
            self._children.remove(child)

    def select(
        self, method: str | None = None, path: str | None = None, status: int | None = None
    ) -> list[LogEntry]:
        """The entries with this method and status whose path contains ``path``."""
        return [
            entry
            for entry in self.entries
            if (method is None or entry.method == method)
            and (path is None or path in entry.path)
            and (status is None or entry.status == status)
        ]

    def bytes_sent(self, path: str = "") -> int:
        """Bytes of response bodies for paths that contain ``path``."""
        return sum(entry.bytes_sent for entry in self.select(path=path))


class RequestLogMiddleware:
    """Writes down every request, the failing ones too."""

    def __init__(self, app: ASGIApp, log: RequestLog) -> None:
        self.app = app
        self.log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        entry = LogEntry(
            scope["method"],
            unquote(scope["raw_path"].decode("ascii")),
            scope["query_string"].decode("ascii"),
            headers.get("range"),
            headers.get("user-agent", ""),
        )
        self.log.add(entry)

        async def counting_receive() -> Message:
            message = await receive()
            entry.bytes_received += len(message.get("body", b""))
            return message

        async def counting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                entry.status = message["status"]
                entry.error_code = Headers(raw=message["headers"]).get("x-error-code")
            # A test may look as soon as the client has its last byte: count first.
            elif scope["method"] != "HEAD":
                entry.bytes_sent += len(message.get("body", b""))
            await send(message)

        await self.app(scope, counting_receive, counting_send)
