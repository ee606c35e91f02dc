"""What enumeration left unexplored, sampled: known masses stay exact, chance enters only through the rest.

The unexplored prefixes are frozen as one stratum before the first draw from it.  A draw picks a prefix in
proportion to its least probability and lets the model go on from there as it does.  Its failure rate q is
that of a plain Bernoulli stream, so the bets of evidence.py apply, and with them

    known failure + mass * q  <=  failure rate  <=  1 - known success - mass * (1 - q).

What lies between the two ends for one q (not listed, noise, not judged) is an error term in both directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from reroll.enumeration import Enumeration
from reroll.evidence import Est, Evidence, interval_of
from reroll.race import Race

__all__ = ["Stratum", "freeze", "hybrid_rate", "stratum_race"]

_LEAST_RATE = 1e-4
"""No smaller rate is raced inside a stratum: its exact thresholds would take seconds, and calls beyond any purse."""


@dataclass(frozen=True, slots=True)
class Stratum:
    """The unexplored prefixes at one moment, and what was known then. Never changed: draws refer to it.

    nodes, places: (N,) where the prefixes are in the enumeration (`Enumeration.prefix`).
    cumulative:    (N,) their least probabilities added up; mass: all of them together.
    known_failure, known_success: of completions that are not in the stratum, at least.
    """

    nodes: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    cumulative: npt.NDArray[np.float64]
    known_failure: float
    known_success: float

    @property
    def mass(self) -> float:
        return float(self.cumulative[-1]) if len(self.cumulative) else 0.0

    @property
    def error(self) -> float:
        """How probable all is together that is neither known nor in the stratum, at most."""
        return max(0.0, 1 - self.known_failure - self.known_success - self.mass)

    def pick(self, u: float) -> tuple[int, int]:
        """Node and place of one prefix, in proportion to probability if u is uniform in [0, 1)."""
        if not len(self.cumulative):
            raise ValueError("nothing is left unexplored, so there is nothing to draw from")
        at = int(np.searchsorted(self.cumulative, u * self.mass, "right"))
        at = min(at, len(self.nodes) - 1)
        return int(self.nodes[at]), int(self.places[at])


def freeze(search: Enumeration) -> Stratum:
    """The stratum of all that is unexplored now. Freeze before the first draw, and draw from no later one.

    Measure the server's noise before: a stratum keeps the masses that it was frozen with.
    """
    search.widen()
    rows = list(search.frontier())
    return Stratum(
        np.array([node for node, _, _ in rows], dtype=np.int64),
        np.array([place for _, place, _ in rows], dtype=np.int64),
        np.cumsum([mass for _, _, mass in rows], dtype=np.float64),
        search.known("fail"),
        search.known("pass"),
    )


def hybrid_rate(stratum: Stratum, evidence: Evidence, alpha: float = 0.05) -> Est:
    """The failure rate from what is known and draws from the rest; true after every look, except with chance alpha.

    Args:    evidence: outcomes of draws from this stratum, in any number; `n` of the result counts them.
    Assumes: the server's probabilities are those that it draws with, within the noise that the masses hold.
    """
    low, high = interval_of(evidence, alpha) if evidence.n else (0.0, 1.0)
    mass, covered = stratum.mass, 1 - stratum.error
    estimate = evidence.estimate if mass else 0.0
    value = None if estimate is None or not covered else (stratum.known_failure + mass * estimate) / covered
    return Est(
        value,
        stratum.known_failure + mass * low,
        min(1.0, max(stratum.known_failure, 1 - stratum.known_success - mass * (1 - high))),
        evidence.n,
    )


def stratum_race(
    stratum: Stratum, target: float, alpha: float = 0.05, horizon: int | None = None
) -> Race | Literal["met", "not_met"] | None:
    """What draws from the stratum must show to certify the call; the verdict itself where they are not needed.

    None: no number of draws can show either, the error term is too large; sample plainly, or enumerate on.

    >>> at = np.array([0])
    >>> left = Stratum(at, at, np.array([0.05]), known_failure=0.001, known_success=0.949)
    >>> race = stratum_race(left, target=0.99)
    >>> race.met_rate is not None and round(race.met_rate, 3)  # 0.1 % + 5 % * 0.18 = 1 %
    0.18
    """
    if not 0 < target < 1:
        raise ValueError(f"a target is a success rate between 0 and 1, got {target!r}")
    if stratum.known_success > target:
        return "met"
    if stratum.known_failure > 1 - target:
        return "not_met"
    if not stratum.mass:
        return None
    met = 1 - (target - stratum.known_success) / stratum.mass
    # Claiming more than is needed is allowed: a rate above a larger one is above this one too.
    not_met = max(_LEAST_RATE, (1 - target - stratum.known_failure) / stratum.mass)
    met_rate = met if _LEAST_RATE <= met < 1 else None
    not_met_rate = not_met if not_met < 1 else None
    if met_rate is None and not_met_rate is None:
        return None
    return Race(met_rate, not_met_rate, alpha, horizon)
