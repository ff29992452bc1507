"""Readers of files, fuzzed: only errors of this package come out, and round trips hold."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from .fuzzing import PROPERTIES

pytestmark = pytest.mark.filterwarnings("ignore")
EXAMPLES = {"config.json of timm": 15, "config.json of transformers": 15}


@pytest.mark.parametrize("name", PROPERTIES)
def test_readers(name):
    strategy, check = PROPERTIES[name]

    @settings(
        max_examples=EXAMPLES.get(name, 40),
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(example):
        check(example, folder)

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run()
