"""Which factors a request cannot do without, found on cases that pass as reported.

Putting a load-bearing factor to its neutral level breaks the task itself, so the
case fails whatever carried its own failure.  Groups of factors are tested at once
on passing cases: a pass clears the whole group, a failure makes its members suspect.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["LoadBearingMap"]

Floats = npt.NDArray[np.float64]

_PRIOR = 0.08  # of a factor being load-bearing: about three in forty
_BROKEN = 0.9  # failure rate once a load-bearing factor is gone
_SOUND = np.array([0.02, 0.06, 0.12, 0.25])  # failure rate of a control with nothing broken
_SOUND_PRIOR = np.array([0.3, 0.4, 0.2, 0.1])
_GROUP = 6
_ALONE = 0.3  # suspected this much, a factor is tested on its own
_SURE = (0.005, 0.95)  # two passes clear a factor: after one, each that breaks every request is missed in twenty


class LoadBearingMap:
    """The chance of each factor to be load-bearing, from calls on control cases with groups made neutral.

    Args:    n: factors; rng: draws the groups; most: calls to spend at most.
    Assumes: a load-bearing factor breaks about every control, and control cases fail seldom as reported.
    """

    def __init__(self, n: int, rng: np.random.Generator, most: int = 30) -> None:
        self.n, self.rng, self.left = n, rng, most
        self.chance = np.full(n, _PRIOR)
        self._sound = _SOUND_PRIOR.copy()
        self._groups: list[list[int]] = []
        self._failed: list[bool] = []

    @property
    def done(self) -> bool:
        """Nothing is left open, or nothing to spend."""
        return self.left <= 0 or not self._open()

    def _open(self) -> list[int]:
        return [i for i in range(self.n) if _SURE[0] < self.chance[i] < _SURE[1]]

    def groups(self, width: int) -> list[frozenset[int]]:
        """The next groups to make neutral, at most `width`: strong suspects alone, the others together."""
        open_ = [int(i) for i in self.rng.permutation(self._open())]
        alone = sorted((i for i in open_ if self.chance[i] >= _ALONE), key=lambda i: -self.chance[i])
        others = [i for i in open_ if self.chance[i] < _ALONE]
        chosen = [frozenset([i]) for i in alone]
        while others:
            group: list[int] = []
            none = 1.0
            # A group that fails about half the time tells most.
            while others and len(group) < _GROUP and none * (1 - self.chance[others[-1]]) > 0.5:
                none *= 1 - self.chance[others[-1]]
                group.append(others.pop())
            chosen.append(frozenset(group or [others.pop()]))
        return chosen[: min(width, self.left)]

    def add(self, group: Sequence[int] | frozenset[int], outcome: str) -> None:
        """One control call with this group neutral; an invalid one is spent and says nothing."""
        self.left -= 1
        if outcome != "invalid":
            self._groups.append(sorted(group))
            self._failed.append(outcome == "fail")

    def settle(self) -> None:
        """Bring `chance` up to date with all calls: mean-field over factors and the controls' own rate."""
        if not self._groups:
            return
        dropped = np.zeros((len(self._groups), self.n))
        for r, group in enumerate(self._groups):
            dropped[r, group] = 1
        failed = np.array(self._failed)
        q = np.full(self.n, _PRIOR)
        for _ in range(30):
            sound = float(self._sound @ _SOUND)
            whole = np.exp(dropped @ np.log1p(-np.minimum(q, 1 - 1e-9)))  # nobody in the group is load-bearing
            rest = np.minimum(whole[:, None] / (1 - q), 1.0)  # nobody else (only read for members of the group)
            fails = rest * sound + (1 - rest) * _BROKEN
            ratio = np.where(failed[:, None], _BROKEN / fails, (1 - _BROKEN) / (1 - fails))
            odds = math.log(_PRIOR / (1 - _PRIOR)) + (dropped * np.log(ratio)).sum(0)
            new = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
            fails_by = whole[:, None] * _SOUND + (1 - whole[:, None]) * _BROKEN
            weight = np.log(_SOUND_PRIOR) + np.log(np.where(failed[:, None], fails_by, 1 - fails_by)).sum(0)
            self._sound = np.exp(weight - weight.max())
            self._sound /= self._sound.sum()
            if np.abs(new - q).max() < 1e-4:
                break
            q = np.minimum(0.5 * (q + new), 1 - 1e-6)
        self.chance = q

    @property
    def load_bearing(self) -> tuple[int, ...]:
        """The factors that more likely are than not."""
        return tuple(int(i) for i in np.flatnonzero(self.chance > 0.5))
