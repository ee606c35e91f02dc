"""Shared by all tests: Hypothesis draws the same examples every time, and no clock decides a test."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize=True)
settings.load_profile("house")
