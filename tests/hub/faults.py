"""Faults on schedule: what a Hub, or the way to it, does wrong at the n-th request of a kind.

``LocalHub.faults.inject(Fault(...))`` arms them, ``clear`` ends them all. A fault counts the
requests that match it; which ones it hits follows from the requests alone, so that a client
that asks the same things again meets the same faults.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import unquote

import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

KINDS = (
    "status",  # an answer with an error status
    "drop",  # the connection is closed without an answer
    "lost",  # the request is carried out, but its answer never arrives
    "hang",  # no answer for some seconds, then the connection is closed
    "refuse",  # the port is closed for some seconds
    "reset",  # a part of the body, then a reset connection
    "truncate",  # a part of the body, then the end of the connection
    "stall",  # a part of the body, then nothing for some seconds
    "short",  # a part of the body, announced as if it were all
    "drip",  # the body in pieces with pauses
    "corrupt",  # one byte of the body is another
    "etag",  # the ETag is that of something else
)
OF_BODY = ("reset", "truncate", "stall", "short", "drip", "corrupt")
CODES = {404: "RepoNotFound"}


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: One of ``KINDS``.
        method: A regular expression that the method matches as a whole.
        path: A regular expression that is found in the decoded path.
        nth: The first matching request that it hits, from 1.
        times: How many it hits from there on.
        status: The status of ``status``.
        retry_after: Its ``Retry-After`` in seconds.
        seconds: How long ``hang``, ``refuse``, ``stall`` and each pause of ``drip`` take.
        at: Where in the body, as a share of its length.
    """

    kind: str
    method: str = ".*"
    path: str = ""
    nth: int = 1
    times: int = 1
    status: int = 503
    retry_after: int | None = None
    seconds: float = 1.0
    at: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Unknown fault {self.kind!r}")

    def matches(self, scope: Scope) -> bool:
        path = unquote(scope["raw_path"].decode("ascii"))
        return bool(re.fullmatch(self.method, scope["method"]) and re.search(self.path, path))

    def to_dict(self) -> dict[str, Any]:
        """What ``Fault(**...)`` takes."""
        return asdict(self)


class Faults:
    """The armed faults of one Hub, as middleware around its application.

    Attributes:
        happened: What was done so far: (kind, method, path).
    """

    def __init__(self) -> None:
        self.happened: list[tuple[str, str, str]] = []
        self._armed: list[Fault] = []
        self._seen: list[int] = []
        self._transports: dict[Any, asyncio.Transport] = {}
        self._door: Door | None = None
        self._over = asyncio.Event()

    def inject(self, *faults: Fault) -> None:
        """Arm faults; each counts requests from now on. The first one that hits acts."""
        self._armed += faults
        self._seen += [0] * len(faults)

    def clear(self) -> None:
        """End all faults: nothing is armed, what hangs is let go, the port is open."""
        self._armed, self._seen = [], []
        if self._door is not None:
            self._door.call(self._end)

    async def _end(self) -> None:
        self._over.set()
        self._over = asyncio.Event()
        assert self._door is not None
        await self._door.open()

    def attach(self, server: uvicorn.Server, listen: Callable[[], socket.socket]) -> None:
        """Know the server whose port ``refuse`` closes, and how its port is opened again."""
        self._door = Door(server, listen)

    def protocol(self) -> type[H11Protocol]:
        """uvicorn's protocol, which tells of its connections."""
        transports = self._transports

        class Watched(H11Protocol):
            def connection_made(self, transport: Any) -> None:
                super().connection_made(transport)
                transports[self.client] = transport

            def connection_lost(self, exc: Exception | None) -> None:
                transports.pop(self.client, None)
                super().connection_lost(exc)

        return Watched

    def __call__(self, app: ASGIApp) -> ASGIApp:
        async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
            fault = self._next(scope)
            if fault is None:
                await app(scope, receive, send)
                return
            path = unquote(scope["raw_path"].decode("ascii"))
            self.happened.append((fault.kind, scope["method"], path))
            connection = _Connection(self._transports.get(tuple(scope["client"])))
            if fault.kind == "etag":
                await app(scope, receive, _other_etag(send))
            elif fault.kind in OF_BODY:
                body = _Body(fault, connection, send, self._pause)
                with contextlib.suppress(_Over):
                    await app(scope, receive, body)
            else:
                await self._instead(fault, connection, app, scope, receive, send)

        return faulty

    def _next(self, scope: Scope) -> Fault | None:
        """The fault that hits a request; all others that match count it, too."""
        chosen = None
        for index, fault in enumerate(self._armed):
            if fault.matches(scope):
                self._seen[index] += 1
                hits = fault.nth <= self._seen[index] < fault.nth + fault.times
                chosen = chosen or (fault if hits else None)
        return chosen

    async def _instead(
        self,
        fault: Fault,
        connection: _Connection,
        app: ASGIApp,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """What takes the place of an answer."""
        if fault.kind == "status":
            headers = {"X-Error-Message": f"Fault {fault.status} on schedule"}
            if fault.status in CODES:
                headers["X-Error-Code"] = CODES[fault.status]
            if fault.retry_after is not None:
                headers["Retry-After"] = str(fault.retry_after)
            while (await receive()).get("more_body"):  # else the client may never read the answer
                pass
            answer = JSONResponse({"error": "fault"}, status_code=fault.status, headers=headers)
            await answer(scope, receive, send)
            return
        if fault.kind == "lost":

            async def nowhere(message: Message) -> None:
                pass

            await app(scope, receive, nowhere)
        elif fault.kind == "hang":
            await self._pause(fault.seconds)
        elif fault.kind == "refuse" and self._door is not None:
            await self._door.close(fault.seconds)
            for transport in list(self._transports.values()):
                transport.abort()
        await connection.abort()

    async def _pause(self, seconds: float) -> None:
        """Wait, but no longer than the faults last."""
        with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)


class Door:
    """The port of a server, which can be closed for a while.

    Args:
        server: The server.
        listen: Makes another listening socket on its port.
    """

    def __init__(self, server: uvicorn.Server, listen: Callable[[], socket.socket]) -> None:
        self._server = server
        self._listen = listen
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def call(self, act: Callable[[], Any]) -> None:
        """Run a coroutine in the server's loop, if it ever closed or paused anything."""
        loop = self._server.servers[0].get_loop() if self._server.started else None
        if loop is not None and loop.is_running():
            asyncio.run_coroutine_threadsafe(act(), loop).result(10)

    async def close(self, seconds: float) -> None:
        """Refuse connections, and accept them again after some seconds."""
        self._closed = True
        for server in self._server.servers:
            server.close()
        asyncio.get_running_loop().call_later(seconds, lambda: asyncio.ensure_future(self.open()))

    async def open(self) -> None:
        """Accept connections again."""
        if not self._closed or self._server.should_exit:
            return
        self._closed = False
        config, state = self._server.config, self._server.server_state

        def protocol() -> asyncio.Protocol:
            return config.http_protocol_class(config=config, server_state=state, app_state={})  # type: ignore

        loop = asyncio.get_running_loop()
        self._server.servers = [await loop.create_server(protocol, sock=self._listen())]


class _Over(Exception):
    """Nothing more of this response is sent."""


class _Connection:
    """A client's connection, which may be ended in the middle of things."""

    def __init__(self, transport: asyncio.Transport | None) -> None:
        self._transport = transport

    async def abort(self) -> None:
        """Reset it: what was sent and not read is lost."""
        if self._transport is None:
            return
        with contextlib.suppress(OSError, AttributeError):
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
        await self._gone()

    async def end(self) -> None:
        """Close it after what was sent."""
        if self._transport is not None:
            self._transport.close()
            await self._gone()

    async def _gone(self) -> None:
        """Until uvicorn knows, which else would answer for an application that did not."""
        for _ in range(5):
            await asyncio.sleep(0)


class _Body:
    """Sends a response with a fault in its body; one without a body passes unchanged."""

    def __init__(
        self, fault: Fault, connection: _Connection, send: Send, pause: Callable[[float], Any]
    ) -> None:
        self.fault = fault
        self.connection = connection
        self.send = send
        self.pause = pause
        self.turn = 0  # the offset at which it happens
        self.sent = 0
        self.whole = True

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            length = int(MutableHeaders(raw=message["headers"]).get("content-length", "0"))
            self.whole = length < 2
            self.turn = max(1, min(length - 1, int(length * self.fault.at)))
            if self.fault.kind == "short" and not self.whole:
                MutableHeaders(raw=message["headers"])["content-length"] = str(self.turn)
        elif not self.whole:
            message = await self._change(message)
        await self.send(message)

    async def _change(self, message: Message) -> Message:
        body: bytes = message.get("body", b"")
        start, end = self.sent, self.sent + len(body)
        self.sent = end
        kind = self.fault.kind
        if kind == "drip" and body:
            size = max(1, -(-len(body) // 8))
            for offset in range(0, len(body) - size, size):
                await self.send(
                    {**message, "body": body[offset : offset + size], "more_body": True}
                )
                await self.pause(self.fault.seconds)
            return {**message, "body": body[(len(body) - 1) // size * size :]}
        if kind == "corrupt" and start <= self.turn < end:
            changed = bytearray(body)
            changed[self.turn - start] ^= 0xFF
            return {**message, "body": bytes(changed)}
        if kind in ("corrupt", "drip") or end < self.turn:
            return message
        head = body[: max(0, self.turn - start)]
        if kind == "short":
            return {
                **message,
                "body": head,
                "more_body": False if head else message.get("more_body"),
            }
        await self.send({**message, "body": head, "more_body": True})
        if kind == "stall":
            await self.pause(self.fault.seconds)
        await (self.connection.end() if kind == "truncate" else self.connection.abort())
        raise _Over


def _other_etag(send: Send) -> Send:
    async def changed(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            for name in ("etag", "x-linked-etag"):
                if name in headers:
                    headers[name] = '"' + headers[name].strip('"')[::-1] + '"'
        await send(message)

    return changed
