"""What a process has freed goes back to the machine: the C library keeps it, one heap for each thread, unless told."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

__all__ = ["HEAPS", "few_heaps", "give_back"]

HEAPS = 2
M_ARENA_MAX = -8  # malloc.h


def few_heaps(most: int = HEAPS) -> None:
    """The threads that are started from now on share so many heaps; nothing happens where there is no glibc.

    glibc gives each thread a heap of its own, up to eight for each core, and what is freed in one is used again in that
    one alone. A server's threads come and go, so each page is drawn in each heap some time, and all of them keep room
    for the largest: the server seems to grow for hours. Python's threads take turns anyway, so few heaps cost no time.
    Source: mallopt(3).
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # musl has no such heaps
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, most)


def give_back() -> None:
    """Whole pages of memory that nothing uses any more are the machine's again; nothing happens without glibc.

    By itself glibc gives back what lies at a heap's end alone: one small block above keeps all below it.
    Source: malloc_trim(3).
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
