"""Shared by all tests: Hypothesis draws the same examples every time, and no clock decides a test."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")


@pytest.fixture(scope="module", autouse=True)
def _no_model_stays_open() -> Iterator[None]:
    """Files of tests share a process, and models of one GGUF file in a process a server: each file ends without."""
    yield
    if (tour := sys.modules.get("reroll.web.pages_learn")) is not None:
        tour.let_go()  # one for the process, opened by whoever looks at /learn, closed where a server ends
    left = []
    if (local := sys.modules.get("reroll.models.local")) is not None:
        while local._servers:  # let go all the same, so that only the file that left it open fails
            (path, _), shared = local._servers.popitem()
            left.append(path)
            shared.server = None
    assert not left, f"this file of tests leaves models open: {left}"
