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
    """Files of tests share a process, and models of one file in a process share a server: each file starts without.

    A page that was opened in this process keeps the bundled model for the next reader; what a command that was cut
    short left is let go.
    """
    yield
    if (learn := sys.modules.get("reroll.web.pages_learn")) is not None:
        learn._play.close()
    if (local := sys.modules.get("reroll.models.local")) is not None:
        while local._servers:
            local._servers.popitem()[1].server = None
