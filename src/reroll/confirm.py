"""Whether a named set of factors carries the failure, and which of its members: fresh, interleaved blocks.

A block holds one call as reported, one with the whole set neutral and, where the set
has several members, one per question about each member.  Every claim is a bet on the
pairs within the blocks (`paired`), so it may be looked at after every block.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from reroll.evidence import Est
from reroll.paired import better_log_e, difference_interval, pair_threshold
from reroll.screen import Logic

__all__ = ["Trial", "drop_of", "logic_of"]

Floats = npt.NDArray[np.float64]
Cell = frozenset[int]

_RATES = np.array([0.01, 0.03, 0.06, 0.1, 0.16, 0.24, 0.33, 0.43, 0.55, 0.67, 0.78, 0.88, 0.95, 0.985])
_LOG, _LOG_NOT = np.log(_RATES), np.log1p(-_RATES)
_LOWER = _RATES[:, None] * 1.5 + 0.02 < _RATES[None, :]
_CURES = 0.6  # what is named must leave at most this share of the failures, by its estimate
_HOPELESS = 2.4  # nats by which "no drop" must beat "half of the failures or more"
_LOGIC_SURE = 0.8
_PATIENT = 8  # blocks after all else is shown that may go into telling how the members act
_ADDS = 0.1  # prior share of "additive", which can imitate the others
# Of the bet that a member matters, the part on its own removal; the rest is on putting it back.
_LEAN: dict[Logic, float] = {"one": 0.5, "and": 0.8, "or": 0.2, "additive": 0.5}


@dataclass
class Trial:
    """One candidate set under test.

    members: the set; screened: how the screen says they act; alpha: this trial's share;
    blocks: most blocks, a binding end; outcomes: by block, by cell (the factors made neutral).
    """

    members: tuple[int, ...]
    screened: Logic
    alpha: float
    blocks: int
    outcomes: dict[int, dict[Cell, str]] = field(default_factory=dict)
    named: tuple[int, ...] = ()
    logic: Logic | None = None
    state: str = "open"  # open | shown | refuted | unclear

    @property
    def cells(self) -> tuple[Cell, ...]:
        """What each block runs: none neutral, all, and each member's own question."""
        every = frozenset(self.members)
        own = [frozenset([i]) for i in self.members]
        others = [every - {i} for i in self.members]
        if len(self.members) == 1:
            middle: list[Cell] = []
        elif len(self.members) == 2:
            middle = own
        else:  # with three, only what the supposed logic asks
            middle = others if self.screened == "or" else own
        return (frozenset(), *middle, every)

    @property
    def shortest(self) -> int:
        """The fewest blocks after which the set can be shown."""
        need = _threshold(self.alpha, self.blocks)
        return next(n for n in itertools.count(1) if better_log_e(n, 0) >= need)

    def settle(self, *, spent: bool = False) -> None:
        """Judge all complete blocks, in order; sets `state`, and once shown `named` and `logic`.

        spent: no call is left for another block. What is shown by then is said; what is not stays open, and another
        time may go on from there.
        """
        if self.state != "open":
            return
        every = frozenset(self.members)
        joint = self._path(frozenset(), every)
        pair = len(self.members) > 1
        shown = max(joint, default=-math.inf) >= _threshold(self.alpha, self.blocks)
        n = len(joint)
        if shown and not self._cures(every):
            shown = False
        if not pair:
            if shown:
                self.state, self.named, self.logic = "shown", self.members, "one"
            elif self._hopeless(every):
                self.state = "refuted"
            elif n >= self.blocks:
                self.state = "unclear"
            return
        if not shown and (self._hopeless(every) or n >= self.blocks):
            self.state = "refuted" if self._hopeless(every) else "unclear"
        elif shown:
            self._members(n, spent=spent)

    def _members(self, n: int, *, spent: bool) -> None:
        """Which members matter, once all of them together are shown to.

        Where calls are spent only what bets show is said. What estimates say is said once, at the declared end: each
        further budget would be another look.
        """
        need = self._need
        matter, alone, all_at = [], [], 0
        for i in self.members:
            own, bets = self._bets(i)
            first = next((k for k, bet in enumerate(bets) if bet >= need), None)
            if first is not None:
                matter.append(i)
                all_at = max(all_at, first + 1)
            if i in matter and own and max(own) >= need + math.log(2) and self._cures(frozenset([i])):
                alone.append(i)
        (logic, kept), sure = self._logic()
        ended, told = n >= self.blocks, sure >= _LOGIC_SURE
        over = spent or ended
        if len(matter) == len(self.members) and len(kept) == len(matter) and (told or over or n >= all_at + _PATIENT):
            self.state, self.named, self.logic = "shown", self.members, logic
        elif len(kept) == 1 and kept[0] in alone and (told or over):
            self.state, self.named, self.logic = "shown", kept, "one"
        elif ended and len(kept) == len(self.members) and logic == "or" and told:
            self.state, self.named, self.logic = "shown", self.members, "or"
        elif over and alone:
            best = min(alone, key=lambda i: self._rate(frozenset([i])))
            self.state, self.named, self.logic = "shown", (best,), "one"
        elif ended:
            self.state = "unclear"

    @property
    def _need(self) -> float:
        """What the bet that a member matters must reach."""
        # A set that matters has a member that does, so of k at most k - 1 can be superfluous,
        # and where none matters the test of all of them stands in the way: alpha is not split further.
        return math.log((len(self.members) - 1) / self.alpha)

    def _bets(self, i: int) -> tuple[list[float], list[float]]:
        """After each block, the bet that this member alone helps, and the one that it matters."""
        every = frozenset(self.members)
        own, rest = self._path(frozenset(), frozenset([i])), self._path(every - {i}, every)
        return own, _either(own, rest, _LEAN[self.screened])

    def _logic(self) -> tuple[tuple[Logic, tuple[int, ...]], float]:
        if len(self.members) > 2:
            return (self.screened, self.members), 1.0
        a, b = self.members
        counts = {c: self._count(c) for c in self.cells}
        ranked = logic_of([counts[c] for c in (frozenset(), frozenset([a]), frozenset([b]), frozenset([a, b]))])
        word, sure = ranked[0]
        if word in ("first", "second"):
            return ("one", (a,) if word == "first" else (b,)), sure
        return (word, (a, b)), sure  # type: ignore[return-value]

    # ------------------------------------------------------------ counting

    def _complete(self) -> list[dict[Cell, str]]:
        cells = self.cells
        return [o for _, o in sorted(self.outcomes.items()) if all(c in o for c in cells)]

    def _wins(self, reported: Cell, neutral: Cell) -> list[int]:
        """Per block 1 where only `reported` failed, -1 where only `neutral` did; invalid counts against the claim."""
        out = []
        for block in self._complete():
            a, b = block[reported] == "fail", block[neutral] != "pass"
            out.append(int(a) - int(b))
        return out

    def _path(self, reported: Cell, neutral: Cell) -> list[float]:
        if reported not in self.cells or neutral not in self.cells:
            return []
        won = lost = 0
        path = []
        for d in self._wins(reported, neutral):
            won, lost = won + (d > 0), lost + (d < 0)
            path.append(better_log_e(won, lost))
        return path

    def _count(self, cell: Cell) -> tuple[int, int]:
        judged = [b[cell] for b in self._complete() if b[cell] != "invalid"]
        return judged.count("fail"), len(judged)

    def _rate(self, cell: Cell) -> float:
        k, n = self._count(cell)
        return k / n if n else 1.0

    def _cures(self, cell: Cell) -> bool:
        return self._rate(cell) <= _CURES * self._rate(frozenset())

    def _hopeless(self, cell: Cell) -> bool:
        (k0, n0), (k1, n1) = self._count(frozenset()), self._count(cell)
        if min(n0, n1) < 6:
            return False
        same = (k0 + k1 + 0.5) / (n0 + n1 + 1)
        flat = _log_like(k0 + k1, n0 + n1, same)
        p = np.linspace(0.01, 0.99, 99)
        q = np.minimum((k1 + 0.5) / (n1 + 1), p / 2)
        half = float(np.max(_log_like(k0, n0, p) + _log_like(k1, n1, q)))
        return bool(flat - half > _HOPELESS)

    def blocks_needed(self) -> int | None:
        """About how many more blocks this trial takes if everything goes on doing what it did, or a new one where it is
        over; None: no end in sight."""
        bets = [(self._path(frozenset(), frozenset(self.members)), _threshold(self.alpha, self.blocks))]
        if len(self.members) > 1:
            bets += [(self._bets(i)[1], self._need) for i in self.members]
        going = [(path, need) for path, need in bets if self.state != "open" or max(path, default=0.0) < need]
        if any(not path or path[-1] <= 0 for path, _ in going):
            return None
        in_all = max((math.ceil(len(path) * need / path[-1]) for path, need in going), default=0)
        return max(1, in_all - len(bets[0][0])) if self.state == "open" else in_all

    def leaves_failures(self) -> bool:
        """Whether what is named leaves a good part of the failures behind."""
        k, n = self._count(frozenset(self.named))
        return k >= 3 and k / n > max(0.1, 0.2 * self._rate(frozenset()))

    def effect(self, cell: Cell, alpha: float) -> Est:
        """The drop of the failure rate with this cell's factors neutral, over the complete blocks."""
        return drop_of([(b[frozenset()], b[cell]) for b in self._complete() if cell in b], alpha)


def drop_of(pairs: list[tuple[str, str]], alpha: float) -> Est:
    """As reported minus neutral: by how much the failure rate falls, true at every look.

    Args:    pairs: outcomes as reported and neutral; an invalid one widens the interval on both sides.

    >>> drop = drop_of([("fail", "pass")] * 12 + [("pass", "pass")] * 8, 0.05)
    >>> drop.value, round(drop.low, 2), round(drop.high, 2)
    (0.6, 0.2, 0.89)
    """
    least = [int(a == "fail") - int(b != "pass") for a, b in pairs]
    most = [int(a != "pass") - int(b == "fail") for a, b in pairs]
    judged = [int(a == "fail") - int(b == "fail") for a, b in pairs if "invalid" not in (a, b)]
    n = len(pairs)
    _, high = difference_interval(least.count(1), least.count(-1), n, alpha)
    low, _ = difference_interval(most.count(1), most.count(-1), n, alpha)
    return Est(sum(judged) / len(judged) if judged else None, -high, -low, n)


def logic_of(cells: list[tuple[int, int]]) -> list[tuple[str, float]]:
    """How two factors act, from (failures, runs) with none, the first, the second and both neutral; likeliest first.

    `first` or `second`: that one alone; `and`: both are needed, so either alone cures;
    `or`: one is enough, so only both cure; `additive`: each takes a part away.  Posterior
    shares, `additive` a little less likely beforehand, unknown rates averaged over a grid.

    >>> logic_of([(12, 20), (1, 20), (0, 20), (1, 20)])[0][0]
    'and'
    """
    like = [k * _LOG + (n - k) * _LOG_NOT for k, n in cells]
    none, first, second, both = like
    two = {
        "first": (first + both, none + second),
        "second": (second + both, none + first),
        "and": (first + second + both, none),
        "or": (both, none + first + second),
    }
    logs = {word: _mean_exp((low[:, None] + high[None, :])[_LOWER]) for word, (low, high) in two.items()}
    cube = both[:, None, None] + (first + second)[None, :, None] + none[None, None, :]
    rising = _LOWER[:, :, None] & _LOWER[None, :, :]
    logs = {word: v + math.log((1 - _ADDS) / 4) for word, v in logs.items()}
    logs["additive"] = _mean_exp(cube[rising]) + math.log(_ADDS)
    top = max(logs.values())
    total = sum(math.exp(v - top) for v in logs.values())
    return sorted(((w, math.exp(v - top) / total) for w, v in logs.items()), key=lambda t: -t[1])


def _either(own: list[float], rest: list[float], weight: float) -> list[float]:
    """One bet on either question, `weight` of the stake on the first; the one that was asked where only one was."""
    if not own or not rest:
        return own or rest
    a, b = math.log(weight), math.log1p(-weight)
    return [float(np.logaddexp(a + x, b + y)) for x, y in zip(own, rest, strict=True)]


def _mean_exp(x: Floats) -> float:
    top = float(x.max())
    return top + math.log(float(np.exp(x - top).mean()))


def _log_like(k: float, n: float, p: float | Floats) -> Floats:
    return np.asarray(k * np.log(p) + (n - k) * np.log1p(-np.asarray(p)))


def _threshold(alpha: float, blocks: int) -> float:
    """What the bet on so many pairs must reach: exact for the declared end, where one is long enough."""
    if blocks < math.ceil(-math.log2(alpha)) + 1:
        return -math.log(alpha)
    return pair_threshold(alpha, horizon=blocks)
