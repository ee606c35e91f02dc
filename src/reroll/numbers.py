"""Numbers as people say them: one place, so that no two screens or sentences differ.

The law: never say more than is known. A rate below 1 is never "100 %", one above 0 never "0 %",
and the ends of an interval are rounded outward.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Literal

__all__ = ["bits", "counts", "in_ten", "interval_words", "money", "percent", "seconds_words"]

Toward = Literal["nearest", "down", "up"]
MODES = {"nearest": ROUND_HALF_UP, "down": ROUND_FLOOR, "up": ROUND_CEILING}

# Denominators that people use. Between two of them the nearer by ratio is taken.
ROUND_ODDS = (4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80)


def _digits(rate: float, toward: Toward = "nearest") -> str:
    """The rate in percent, without the sign: as many decimals as its distance to 0 or 100 % needs."""
    if not 0 <= rate <= 1:
        raise ValueError(f"a rate lies in 0...1, got {rate!r}")
    exact = Decimal(f"{rate:.12g}")  # 1 - 0.99 is 0.010000000000000009: that is noise, not a digit to round up
    distance = min(exact, 1 - exact)
    steps = ((Decimal("0.1"), 0), (Decimal("0.001"), 1), (Decimal("0.0001"), 2))
    decimals = next((d for least, d in steps if distance >= least), 3)
    shown = (exact * 100).quantize(Decimal(1).scaleb(-decimals), rounding=MODES[toward])
    text = f"{shown:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(rate: float, toward: Toward = "nearest") -> str:
    """The rate in percent. `toward` "up" is for "at most", "down" for "at least".

    Raises: ValueError: the rate is not in 0...1.

    >>> [percent(r) for r in (0, 0.4213, 0.036, 0.004, 0.999, 1)]
    ['0 %', '42 %', '3.6 %', '0.4 %', '99.9 %', '100 %']
    >>> percent(0.0004), percent(1e-7), percent(1 - 1e-7)
    ('0.04 %', 'less than 0.001 %', 'more than 99.999 %')
    >>> percent(0.0361, "up"), percent(0.319, "down")
    ('3.7 %', '31 %')
    """
    text = _digits(rate, toward)
    if text == "0" and rate > 0:
        return "less than 0.001 %"
    if text == "100" and rate < 1:
        return "more than 99.999 %"
    return f"{text} %"


def interval_words(low: float, high: float) -> str:
    """An interval in percent, its ends rounded outward, so that it says no more than it holds.

    >>> interval_words(0.193, 0.688), interval_words(0, 0.0355), interval_words(0, 1)
    ('19–69 %', '0–3.6 %', '0–100 %')
    """
    return f"{_digits(low, 'down')}–{_digits(high, 'up')} %"


def money(usd: float | None) -> str:
    """US dollars; small sums keep the digits that matter.

    >>> [money(x) for x in (None, 0, 0.00042, 0.015, 1.5, 1234.5)]
    ['price unknown', '$0.00', '$0.0004', '$0.015', '$1.50', '$1,234.50']
    """
    if usd is None:
        return "price unknown"
    if not 0 <= usd < float("inf"):
        raise ValueError(f"a sum of money is 0 or more, got {usd!r}")
    if 0 < usd < 0.0001:
        return "less than $0.0001"
    if 0 < usd < 0.01:
        return f"${usd:.4f}"
    if usd < 1:
        text = f"${usd:.3f}"
        return text[:-1] if text.endswith("0") else text
    return f"${usd:,.2f}"


def counts(thing: str, n: int) -> str:
    """A number of things, the noun in its plural where English wants it.

    >>> counts("call", 3), counts("control call", 1), counts("try", 1204), counts("fix", 2)
    ('3 calls', '1 control call', '1,204 tries', '2 fixes')
    """
    if n == 1:
        return f"1 {thing}"
    if thing.endswith("y") and thing[-2:-1] not in "aeiou":
        return f"{n:,} {thing[:-1]}ies"
    return f"{n:,} {thing}{'es' if thing.endswith(('s', 'x', 'ch', 'sh')) else 's'}"


def bits(low: float, high: float) -> str:
    """Where an entropy lies, given in nats and said in bits.

    >>> bits(0.6931, 0.6932), bits(-0.01, 1.0)
    ('1.00 bits', '0.00–1.44 bits')
    """
    ends = [f"{max(0.0, nats) / math.log(2):.2f}" for nats in (low, high)]
    return "–".join(dict.fromkeys(ends)) + " bits"


def in_ten(rate: float) -> str:
    """A rate as "so many times in 10", a small one as "1 time in so many".

    >>> [in_ten(r) for r in (0.42, 0.15, 0.021, 0.0011)]
    ['about 4 times in 10', 'about 1 time in 7', 'about 1 time in 50', 'about 1 time in 900']
    >>> in_ten(0), in_ten(0.97), in_ten(1)
    ('not once', 'more than 9 times in 10', 'every time')
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"a rate lies in 0...1, got {rate!r}")
    if rate in (0, 1):
        return "every time" if rate else "not once"
    if rate >= 0.95:
        return "more than 9 times in 10"
    if rate >= 0.28:
        return f"about {round(rate * 10)} times in 10"
    if rate < 1e-6:
        return "less than 1 time in 1,000,000"
    odds = 1 / rate
    if odds < 90:
        return f"about 1 time in {min(ROUND_ODDS, key=lambda d: max(d / odds, odds / d))}"
    size = 10 ** (len(str(int(odds))) - 1)  # 909 -> 900, 1830 -> 2,000: one digit that counts
    return f"about 1 time in {max(100, round(odds / size) * size):,}"


def seconds_words(seconds: float) -> str:
    """A time span in the unit that suits it.

    >>> [seconds_words(s) for s in (0.04, 2.13, 59.96, 75, 5400)]
    ['0.0 s', '2.1 s', '1 min 0 s', '1 min 15 s', '1 h 30 min']
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"
