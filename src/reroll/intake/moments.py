"""Points in time as files write them: seconds, milli-, micro- and nanoseconds since 1970, and ISO 8601."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

__all__ = ["lasted", "moment"]

EARLIEST, LATEST = 631_152_000.0, 4_102_444_800.0  # 1990 and 2100: what lies outside is no time of a call
SKEWED = "Its end lies before its start, so how long it took is not known."


def moment(value: Any) -> float | None:
    """Unix time in seconds; None for what is no time of a call.

    >>> moment("2026-11-27T12:00:00Z") == moment(1795780800000) == moment("1795780800000000000")
    True
    >>> moment(10**400)
    """
    if type(value) in (int, float) and EARLIEST <= value <= LATEST:
        return float(value)
    if isinstance(value, str):
        text = value.strip()
        if text.isascii() and text.isdigit() and len(text) < 25:
            return moment(int(text))
        try:
            found = datetime.fromisoformat(text)
            return _inside((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
        except (ValueError, OverflowError):
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LATEST * 1e9:
        return None
    for unit in (1, 1e3, 1e6, 1e9):
        if (seconds := _inside(value / unit)) is not None:
            return seconds
    return None


def _inside(seconds: float) -> float | None:
    return seconds if EARLIEST <= seconds <= LATEST else None


def lasted(start: float | None, end: float | None) -> tuple[float | None, tuple[str, ...]]:
    """Seconds between, and a sentence where a clock was wrong."""
    if start is None or end is None:
        return None, ()
    return (end - start, ()) if end >= start else (None, (SKEWED,))
