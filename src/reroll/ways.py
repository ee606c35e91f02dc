"""Which way to a failure rate, or to a verdict on it, is the cheapest: enumerating on, drawing, or plain sampling.

The worst case is a long flat distribution, of which enumeration explores nothing.  So it may spend a
twelfth of what plain sampling would spend at least, and beyond that no more than what it has saved already:
exploring the share x of a distribution saves x of the draws (law of total variance).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

from reroll.enumeration import Enumeration
from reroll.evidence import interval_array
from reroll.race import Race, side_shown

__all__ = ["Decision", "Move", "calls_for_width", "calls_left", "next_move", "next_move_to_decide"]

Decision = Literal["enumerate", "sample", "done"]
"""Complete one more prefix; sample plainly; stop, as what is known decides."""
Move = Literal["enumerate", "draw", "sample", "done"]
"""Complete one more prefix; freeze, and draw from the stratum; sample plainly, as the error term is too large; stop."""

_ADVANCE = 0.08  # of plain sampling's tokens, spent before anything is known to be saved
_SAVED = 0.9  # of what was saved may be spent on; the rest stays saved
_READING = 0.1  # of the runs that sampling takes, spent before what is read decides
_LEAST_CALLS = 3
_RECENT = 8  # calls from which the next one is foretold
_MOST = 10**8  # calls; nothing is foretold beyond


def calls_for_width(width: float, rate: float, alpha: float = 0.05) -> int:
    """About how many samples make the interval this narrow, if they fail at this rate; to a few percent.

    >>> calls_for_width(0.05, 0.0), calls_for_width(0.02, 0.3)
    (88, 33308)
    """
    if not width > 0:
        raise ValueError(f"a width is above 0, got {width!r}")
    if width >= 1:
        return 0
    calls = _widths(alpha)
    logs = [float(np.interp(-math.log(width), widths, _LOG_N, right=math.log(_MOST))) for widths in calls]
    return math.ceil(math.exp(float(np.interp(min(rate, 1 - rate), _RATES, logs))))


_RATES = (0.0, 3e-4, 1e-3, 3e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
_LOG_N = np.linspace(0, math.log(_MOST), 150)


@lru_cache(maxsize=16)
def _widths(alpha: float) -> list[npt.NDArray[np.float64]]:
    """For each of _RATES the intervals' widths at each of _LOG_N, as rising -log(width).

    The bets stand at fixed odds ratios, so no interval is ever narrower than about a thirtieth of its rate.
    """
    n = np.exp(_LOG_N)
    low, high = interval_array(np.array(_RATES)[:, None] * n, n, alpha)
    return list(np.maximum.accumulate(-np.log(high - low), axis=1))


def next_move(search: Enumeration, width: float, alpha: float = 0.05) -> Move:
    """What to do next to know the failure rate to this width with few tokens; costs at most a tenth more than
    plain sampling for the same width, and less wherever the distribution has likely completions.

    Once it says `draw` the stratum is frozen: do not ask again.

    Args:    width: of the interval in the end, high - low; in flight calls are not counted, settle them first.
    """
    if search.unknown <= width:
        return "done"
    if not search.history:
        return "enumerate"
    recent = search.history[-_RECENT:]
    call = max(1.0, sum(c.tokens for c in recent) / len(recent))
    failure, success, left = search.known("fail"), search.known("pass"), search.unexplored
    explored = failure + success
    room = width - max(0.0, search.unknown - left)
    if room <= 0:
        return "sample"  # what is not listed alone is more than that, and only grows
    rate = min(0.5, max(0.02, (failure + 0.25 * left) / (explored + 0.5 * left)))
    dearer = _dearer(search, room / left, rate, width, alpha, call)
    # Plain sampling's tokens at least, at either end of the bracket; what was found is shorter than the rest.
    least = min(calls_for_width(width, min(end, 1 - end), alpha) for end in (failure, 1 - success))
    plain = least * search.mean_tokens()
    saved = 0.0 if dearer else _SAVED * min(1.0, explored) * plain
    free = search.next_ends()
    may = search.next_probability() >= search.floor and (free or search.tokens + call <= _ADVANCE * plain + saved)
    drawing = min(16 * plain, call * calls_for_width(room / left, rate, alpha))
    gain = search.next_probability() * sum(c.gained for c in recent) / max(sum(c.prefix for c in recent), 1e-300)
    # The draws grow with the mass at least in proportion, at most with its square.
    worth = 1.5 * drawing * min(1.0, gain / left) >= call
    if may and (free or worth):
        return "enumerate"
    return "sample" if dearer else "draw"


def _dearer(search: Enumeration, room: float, rate: float, width: float, alpha: float, call: float) -> bool:
    """Whether drawing from the stratum takes more than sampling plainly, at the likely rate or where nothing fails.

    It does where the error term eats up what the smaller mass saves. A draw is taken to be as long as the
    latest calls, and a plain sample to be one of them where it falls into the stratum.
    """
    failure, left = search.known("fail"), search.unexplored
    sample = (1 - left) * search.mean_tokens() + left * call
    return any(
        call * calls_for_width(room, q, alpha) > 1.02 * sample * calls_for_width(width, failure + left * q, alpha)
        for q in (rate, 0.0)
    )


def next_move_to_decide(search: Enumeration, race: Race, instead: int) -> Decision:
    """Whether to read on, so that a claim of the race is shown without any draw; `sample` once that is too dear.

    Reading costs at most a tenth of what sampling takes, and ends as soon as what is still likely could not decide.

    Args:    instead: runs that sampling takes at least until a claim is shown.
    """
    low, high = search.bracket()
    if side_shown(race, low, high) is not None:
        return "done"
    if not search.history:
        return "enumerate"
    if search.next_probability() < search.floor:
        return "sample"
    if search.next_ends():
        return "enumerate"  # known without a call
    left = calls_left(search, instead)
    if left <= 0:
        return "sample"
    # What so many calls could still bring, if each brings the share of its prefix that the latest did, times four.
    recent = search.history[-_RECENT:]
    kept = min(1.0, 4 * sum(c.gained for c in recent) / max(sum(c.prefix for c in recent), 1e-300))
    may = left * search.next_probability() * kept
    if side_shown(race, low, high - may) is None and side_shown(race, low + may, high) is None:
        return "sample"
    met, not_met = (race.met_rate or 0.0) - low, high - (race.not_met_rate or 1.0)  # how little may be open for each
    likelier = met if low <= (race.met_rate or 0.0) * (1 - high + low) else not_met
    further = _further_calls(search, likelier)
    return "enumerate" if further is None or further <= left else "sample"


def calls_left(search: Enumeration, instead: int) -> int:
    """How many more calls reading may take, where sampling takes so many."""
    return max(_LEAST_CALLS, int(_READING * instead)) - search.calls


def _further_calls(search: Enumeration, tolerance: float) -> int | None:
    """Calls until less than this is unknown, if it goes on falling as a power of the calls, as it did; None: no end."""
    if search.unknown <= tolerance:
        return 0
    history = search.history
    if len(history) < 4 or tolerance <= 0:
        return None
    half = max(1, len(history) // 3)
    fell = math.log(history[half - 1].unknown / max(history[-1].unknown, 1e-300))
    slope = fell / math.log(len(history) / half)
    if slope < 0.05:
        return None
    calls = len(history) * math.exp(min(40.0, math.log(search.unknown / tolerance) / slope)) - len(history)
    return None if calls > _MOST else max(1, math.ceil(calls))
