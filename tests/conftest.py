"""What every test shares: no network, few threads, and fixtures."""

from __future__ import annotations

import os

import pytest

# Before any Hub client is imported: the tests reach the local Hub and nothing else.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
os.environ.pop("HF_TOKEN", None)
# What fails on purpose fails at once.
os.environ.setdefault("NGF_HUB_RETRIES", "0")
# Before PyTorch is imported: workers side by side that each take every core wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from ngf_hub.tiles import avoid_broken_tiles

# Before PyTorch computes anything, after which it is too late to do without them.
avoid_broken_tiles()

pytest_plugins = ["tests.hub.fixtures"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: a long one that starts last keeps one worker alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
