"""The ASGI application: every part of the interface, and what becomes of errors."""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from . import cards, commits, discussions, files, info, lfs, refs, repos, tree_pages, upload_modes
from .accounts import Accounts
from .errors import HttpError
from .request_log import RequestLog, RequestLogMiddleware
from .routing import Call, Router
from .store import Store

_PARTS = (cards, commits, discussions, files, info, lfs, refs, repos, tree_pages, upload_modes)
Middleware = Callable[[ASGIApp], ASGIApp]


@dataclass
class HubState:
    """What all handlers share.

    Attributes:
        store: The repositories.
        accounts: The users and their tokens.
        uploads: Objects that may be uploaded, by the secret in their link: (sha256, size).
        crashes: Tracebacks of handlers that failed unexpectedly.
    """

    store: Store
    accounts: Accounts
    uploads: dict[str, tuple[str, int]] = field(default_factory=dict)
    crashes: list[str] = field(default_factory=list)


class HubApp:
    """Finds the handler of each request and answers for its errors."""

    def __init__(self, state: HubState) -> None:
        self.state = state
        self.router = Router()
        for part in _PARTS:
            self.router.include(part.router)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.respond(Request(scope, receive))
        response.headers["X-Request-Id"] = str(uuid.uuid4())
        await response(scope, receive, send)

    async def respond(self, request: Request) -> Response:
        try:
            raw_path = request.scope["raw_path"].decode("ascii")
            if request.method != "PUT":
                # Before anything can be refused: a client that is still sending
                # would find its connection broken and never read the refusal.
                await request.body()
            caller = self.state.accounts.caller(request.headers.get("authorization"))
            handler, params = self.router.match(request.method, raw_path)
            return await handler(Call(request, params, self.state, caller))
        except HttpError as error:
            return error.response()
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception:
            self.state.crashes.append(traceback.format_exc())
            return JSONResponse({"error": self.state.crashes[-1]}, status_code=500)


def build_app(state: HubState, log: RequestLog, middleware: Sequence[Middleware] = ()) -> ASGIApp:
    """The application, inside ``middleware`` (outermost first), inside the request log."""
    app: ASGIApp = HubApp(state)
    for wrap in reversed(middleware):
        app = wrap(app)
    return RequestLogMiddleware(app, log)
