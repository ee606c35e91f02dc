"""From values to places: straight scales, their ticks, and numbers as one reads them on an axis."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reroll.numbers import percent

__all__ = ["Scale", "points_words", "rate_words", "ticks", "whole_ticks"]


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps `low`..`high` onto `start`..`end`; what lies outside goes to the edge."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.start + min(1.0, max(0.0, share)) * (self.end - self.start)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers between the two, at most so many."""
    if high <= low:
        return [low]
    raw = (high - low) / max(1, most - 1)
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * k for k in (1, 2, 2.5, 5, 10) if size * k >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def whole_ticks(high: float, most: int = 6) -> list[float]:
    """Round whole numbers from 0 on, at most so many."""
    return [tick for tick in ticks(0, high, most) if tick == int(tick)]


def rate_words(value: float) -> str:
    """A rate on an axis: `0 %`, `2.5 %`, `100 %`."""
    return f"{100 * value:g} %" if abs(100 * value - round(100 * value, 1)) < 1e-9 else percent(value)


def points_words(value: float) -> str:
    """A difference of rates in points, with its sign."""
    return f"{100 * value:+.0f}".replace("-", "−") if round(100 * value) else "0"
