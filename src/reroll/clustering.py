"""Whether failures come in stretches, as if runs hung on one another, which verdicts take for independent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reroll.outcomes import PASS, codes_of

__all__ = ["Stretches", "stretches_of"]

Floats = npt.NDArray[np.float64]

FEWEST = 5  # of each kind: with fewer no order of them is strange enough


@dataclass(frozen=True, slots=True)
class Stretches:
    """How runs that failed, or could not be judged, lie among the others.

    failures: of them; stretches: of such runs one after the other; usual: as many as there are on average where the
    order is chance; chance: that there are so few or fewer.
    """

    failures: int
    stretches: int
    usual: float
    chance: float


def stretches_of(outcomes: Sequence[str]) -> Stretches | None:
    """The stretches of failures in the order drawn; None where there are too few of either kind to tell.

    Given how many there are, every order is equally likely where runs do not depend on one another and have one rate.

    Source:  Wald & Wolfowitz 1940 (number of runs), exact.

    >>> stretches_of(["pass"] * 40 + ["fail"] * 10 + ["pass"] * 40).stretches
    1
    >>> stretches_of(["pass", "fail"] * 4) is None
    True
    """
    bad = codes_of(outcomes) != PASS
    n, failures = len(bad), int(bad.sum())
    passes = n - failures
    if min(failures, passes) < FEWEST:
        return None
    stretches = int(bad[0]) + int((bad[1:] & ~bad[:-1]).sum())
    # Failures in k stretches: cut them into k parts, and choose k of the gaps before, between and after the passes.
    k = range(1, stretches + 1)
    ways = _choose(failures - 1, range(stretches)) + _choose(passes + 1, k)
    chance = float(np.exp(ways - _choose(n, [failures])).sum())
    return Stretches(failures, stretches, failures * (passes + 1) / n, min(1.0, chance))


def _choose(n: int, k: Sequence[int]) -> Floats:
    """log of n over k, for each k; -inf where there is no way."""
    whole = math.lgamma(n + 1)
    return np.array([whole - math.lgamma(c + 1) - math.lgamma(n - c + 1) if c <= n else -math.inf for c in k])
