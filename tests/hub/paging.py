"""Long answers in pages, each pointing to the next in its ``Link`` header."""

from __future__ import annotations

import base64
from urllib.parse import urlencode

from .errors import bad_request
from .routing import Call


def paginate(call: Call, keys: list[str], size: int) -> tuple[list[str], dict[str, str]]:
    """One page of unique keys, and the header that points to the next page.

    The cursor is the last key that was sent, so that a page stays right when
    something is added in between.

    Args:
        call: The request, whose ``limit`` and ``cursor`` are heeded.
        keys: All keys, in their order.
        size: How many a page holds at most.
    """
    query = call.request.query_params
    if query.get("limit", "").isdigit():
        size = max(1, min(size, int(query["limit"])))
    if "cursor" in query:
        last = base64.urlsafe_b64decode(query["cursor"]).decode()
        if last not in keys:
            raise bad_request("Invalid cursor")
        keys = keys[keys.index(last) + 1 :]
    page = keys[:size]
    if len(keys) <= size:
        return page, {}
    items = [(key, value) for key, value in query.multi_items() if key != "cursor"]
    items.append(("cursor", base64.urlsafe_b64encode(page[-1].encode()).decode()))
    path = call.request.scope["raw_path"].decode("ascii")
    return page, {"Link": f'<{call.base_url}{path}?{urlencode(items)}>; rel="next"'}
