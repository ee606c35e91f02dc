"""The path that evidence took to a verdict: what log e was after each run, by the very code that gives the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reroll.calibrate import Ints
from reroll.evidence import log_e, met_mixture, not_met_mixture
from reroll.outcomes import FAIL, PASS, codes_of
from reroll.race import Race, Side, first_crossing, race_thresholds
from reroll.verdict import certify_race, luck_race

__all__ = ["MOST", "NEAR", "Walk", "Walks", "certify_walks", "luck_walks", "walks_of"]

MOST = 600  # points on a path: more than a picture can show
NEAR = 4  # up to so many times the crossing run, twice as many of them


@dataclass(frozen=True, slots=True)
class Walk:
    """The evidence for one claim. `side` "met": the failure rate is below `rate`; "not_met": above it.

    points: (runs so far, log e in nats), from (0, 0) on; threshold: what log e must reach.
    """

    side: Side
    rate: float
    points: tuple[tuple[int, float], ...]
    threshold: float


@dataclass(frozen=True, slots=True)
class Walks:
    """Two claims raced over the same runs; `crossed` was shown first, after `crossed_at` runs; None: neither by now."""

    sides: tuple[Walk, ...]
    crossed: Side | None
    crossed_at: int | None
    runs: int


def luck_walks(
    outcomes: Sequence[str],
    reference_rate: float | None = None,
    target: float | None = None,
    alpha: float = 0.05,
    horizon: int | None = None,
) -> Walks:
    """The paths behind `verdict.luck_path`, which takes the same arguments; a section's `target` is 1 - `tolerable`.

    >>> luck_walks(["fail", "pass", "fail"], reference_rate=0.02).crossed_at
    3
    """
    return walks_of(luck_race(reference_rate, target, alpha, horizon), outcomes)


def certify_walks(
    outcomes: Sequence[str],
    target: float,
    alpha: float = 0.05,
    horizon: int | None = None,
    round_size: int = 1,
) -> Walks:
    """The paths behind `verdict.certify_path`, which takes the same arguments.

    >>> certify_walks(["fail", "fail"] + ["pass"] * 98, target=0.99).crossed_at
    2
    """
    return walks_of(certify_race(target, alpha, horizon, round_size), outcomes)


def walks_of(race: Race, outcomes: Sequence[str], most: int = MOST) -> Walks:
    """Both paths of a race over outcomes in the order drawn, at `most` runs at most.

    The first, the last and the crossing run are always among them, and so are the runs at which the paths jump, as far
    as there is room.
    """
    crossing = first_crossing(race, outcomes)
    codes, size = codes_of(outcomes), race.round_size
    runs = len(codes) // size * size
    at = _shown(
        np.unique(np.flatnonzero(codes[:runs] != PASS) // size + 1),
        runs // size,
        crossing and crossing[1] // size,
        most,
    )
    n = at * size
    c_met, c_not_met = race_thresholds(race)
    sides: list[Walk] = []
    for side, rate, threshold in (("met", race.met_rate, c_met), ("not_met", race.not_met_rate, c_not_met)):
        if rate is None or threshold is None:
            continue
        counted = codes[:runs] != PASS if side == "met" else codes[:runs] == FAIL
        failures = np.concatenate([[0], np.cumsum(counted)])[n]
        mixture = met_mixture(rate) if side == "met" else not_met_mixture(rate)
        values = log_e(mixture, failures, n - failures)
        points = tuple(zip(n.tolist(), values.tolist(), strict=True))
        sides.append(Walk("met" if side == "met" else "not_met", rate, points, threshold))
    crossed, crossed_at = crossing or (None, None)
    return Walks(tuple(sides), crossed, crossed_at, runs)


def _shown(jumps: Ints, last: int, crossing: int | None, most: int) -> Ints:
    """Which of the looks 0...last are shown: all, or the jumps with the look before each, and others evenly."""
    if last < most:
        return np.arange(last + 1)
    near = last if crossing is None else min(last, NEAR * crossing)
    room = most // 4
    some = np.concatenate([_evenly(jumps, room // 2), _evenly(jumps[jumps <= near], room // 2)])
    ends = [0, last] if crossing is None else [0, crossing - 1, crossing, last]
    even = (most - 2 * room - len(ends)) // 2
    looks = [np.linspace(0, end, even).astype(np.int64) for end in (last, near)]
    return np.unique(np.concatenate([some - 1, some, *looks, np.array(ends)]))


def _evenly(looks: Ints, most: int) -> Ints:
    """At most so many of them, from the first to the last."""
    return looks if len(looks) <= most else looks[np.linspace(0, len(looks) - 1, most).astype(np.int64)]
