"""Which factors of a request carry a failure, or that none does: what to call next, and what is known so far.

As reported first, then the load-bearing map on passing cases, then the screen; what it
suspects is tried on fresh, interleaved calls, and only that can name a factor.  No
clock, no calls, no randomness but the generator that is passed: the same outcomes in,
the same questions out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Literal

import numpy as np

from reroll.confirm import Trial
from reroll.evidence import Est, Evidence
from reroll.finding import Ask, Found, Phase, Verdict
from reroll.loadbearing import LoadBearingMap
from reroll.race import Race, first_crossing
from reroll.screen import Bools, Logic, Screen

__all__ = ["Ask", "Found", "Inquiry", "Verdict"]

_SHARES = (0.6, 0.2, 0.1, 0.06, 0.04)  # of alpha, for one candidate after the other: they sum to 1
_LIKELY = 0.9  # posterior chance at which a set is tried
_WORTH = 0.35  # and where nothing more may be spent on screening; between the two it falls evenly
_EASE = 120  # screening calls from which it falls
_NOTHING = 0.9  # posterior chance of nothing at which it is looked whether that may be said
_VISIBLE = 0.25  # a drop that must have shown first: at a high failure rate few calls make "nothing" likely too early
_ALWAYS = 0.5  # the same, where no call ever passed
_ALIKE = 0.02  # chance to break the request, of a factor that the map has cleared
_UNMAPPABLE = 0.06  # the same, of one that control cases do not have
_UNMAPPED = 0.5  # where no control cases say what breaks: at .06 three parts that do hid causes of 50 points
_BROKEN = 0.2  # without a map: chance to survive below which a factor is said to be load-bearing, wrongly in 0 of 200
_DOUBTFUL = 0.8  # chance to survive below which a factor is left out where many are made neutral together
_SCREEN_MOST = 300  # calls with screening designs
_MAP_MOST = 30
# Most blocks of one trial, the same for every budget: with a higher one the same blocks are looked at again.
_BLOCKS = 112
_SEVERAL = 64  # the same, of a set of several: what more of them would tell, pairs of runs without all of a kind do
_LEAST_BLOCKS = 8  # without calls for so many, and for as many as could show anything, no trial is begun
_UNDOUBTED = 0.7  # posterior chance of nothing with what neutral factors break left open
_SWEEP = 8  # calls with everything neutral at once, before it is said that nothing carries the failure
_CURED = 3.0  # nats by which they must look cured
_USUAL = 150  # calls of an inquiry into one strong factor among thirty
_SEEN = 0.5  # posterior chance that counts as having shown
_MORE = 64  # screening calls after a find that leaves failures behind
_PATCHY = 200  # screening calls before `nothing` where neutral factors break the request and no map says which
_BASE_MOST = 160
_NONE = "every factor was screened and none carries the failure"
_LOGICS: dict[str, Logic] = {"one": "one", "and": "and", "or": "or", "additive": "additive"}


class Inquiry:
    """A stateful inquiry: ask `next`, make the calls, `add` their outcomes, until `done`.

    Args:    factors: how many there are; alpha: chance of ever naming a wrong set; rng: draws
             designs and orders; budget: calls in all, control calls included, base outcomes
             already drawn not; width: calls per batch; prior: relative suspicion of each factor
             (1 the usual), changes the order of work and nothing that is required; load_bearing:
             the map where it is known; controls: whether control cases can be drawn to make one;
             mappable: factors that control cases have, too (None: all); a map says nothing of others;
             tolerable: a failure rate shown to be below this is `not_reproduced`; None: not asked;
             base: fresh outcomes of the case as reported, drawn before.
    Raises:  ValueError: an argument out of range; an outcome that no open call awaits.
    Assumes: calls independent given the design; control cases pass as a rule.
    """

    def __init__(
        self,
        factors: int,
        *,
        alpha: float,
        rng: np.random.Generator,
        budget: int,
        width: int = 8,
        prior: Sequence[float] | None = None,
        load_bearing: Collection[int] | None = None,
        controls: bool = False,
        mappable: Collection[int] | None = None,
        tolerable: float | None = 0.05,
        base: Sequence[str] = (),
    ) -> None:
        _check(factors, alpha, budget, width, prior, load_bearing, tolerable)
        self.factors, self.alpha, self.budget, self.width = factors, alpha, budget, width
        self._rng, self._tolerable = rng, tolerable
        self._prior = np.ones(factors) if prior is None else np.asarray(prior, np.float64)
        self._base = list(base)
        self._reported = Evidence.of(list(base))
        self._calls: Counter[str] = Counter()
        self._open: list[Ask] = []
        self._got: list[str | None] = []
        self._map = LoadBearingMap(factors, rng, _MAP_MOST) if controls and load_bearing is None else None
        self._pinned = tuple(sorted(load_bearing or ()))
        self._mapped = load_bearing is not None
        self._mappable = frozenset(range(factors) if mappable is None else mappable)
        self._screen: Screen | None = None
        self._free: list[int] = []
        self._screened = 0
        self._swept: list[bool] = []
        self._whole: frozenset[int] = frozenset()
        self._sweeping: frozenset[int] | None = None
        self._swept_at = 0
        self._hidden = False
        self._held: Trial | None = None
        self._held_at = 0
        self._trials: list[Trial] = []
        self._block = 0
        self._end: tuple[Verdict, str] | None = None
        self._phase: Phase | Literal["done"] = "base"
        self._advance()

    # ------------------------------------------------------------ the caller's side

    @property
    def done(self) -> bool:
        """Whether nothing more will be asked."""
        return self._end is not None

    @property
    def mapped(self) -> tuple[int, ...] | None:
        """The load-bearing factors, once this inquiry has mapped them itself; else None."""
        return None if self._map is None or self._phase in ("base", "map") else tuple(self._pinned)

    def next(self) -> list[Ask]:
        """The calls to make now; the same open ones again until every outcome is in; [] when done."""
        if self._open:
            return [ask for ask, got in zip(self._open, self._got, strict=True) if got is None]
        if self.done:
            return []
        self._open = self._batch()
        self._got = [None] * len(self._open)
        return list(self._open)

    def add(self, ask: Ask, outcome: str) -> None:
        """The outcome of one call that `next` asked for: `pass`, `fail` or `invalid`, in any order."""
        if outcome not in ("pass", "fail", "invalid"):
            raise ValueError(f"an outcome is pass, fail or invalid, got {outcome!r}")
        at = next(
            (i for i, (a, g) in enumerate(zip(self._open, self._got, strict=True)) if g is None and a == ask), None
        )
        if at is None:
            raise ValueError(f"no open call awaits this outcome: {ask}")
        self._got[at] = outcome
        self._calls[ask.phase] += 1
        if ask.on == "case" and not ask.neutral:
            self._reported = self._reported.add(outcome)
        if None not in self._got:
            settled = [(a, str(g)) for a, g in zip(self._open, self._got, strict=True)]
            self._open, self._got = [], []
            self._absorb(settled)
            self._advance()

    def cede(self, calls: int) -> None:
        """So many of the calls that it might make were made for another question."""
        self.budget = max(self.asked, self.budget - calls)
        if not self._end and self.left < self._least():
            self._finish_spent()

    @property
    def asked(self) -> int:
        """Calls so far."""
        return sum(self._calls.values())

    @property
    def left(self) -> int:
        """Calls that it may still make."""
        return self.budget - self.asked

    @property
    def screened(self) -> int:
        """Screening calls so far."""
        return self._screened

    @property
    def trying(self) -> bool:
        """Whether a set is being tried, or was."""
        return bool(self._trials)

    @property
    def likeliest(self) -> float:
        """The posterior chance of the likeliest set of factors."""
        ranked = self._screen.by_set() if self._screen else []
        return ranked[0][1] if ranked else 0.0

    def leans(self, members: Sequence[int]) -> float:
        """By how many standard errors fewer calls failed with these factors neutral, all or some: what many carry
        together shows so, and no hypothesis about few has to fit. A hint, no test: the larger of two is taken."""
        if self._screen is None or not set(members) <= set(self._free):
            return 0.0
        return self._screen.leans([self._free.index(i) for i in members])

    def fragile(self, *, sure: bool = False) -> tuple[int, ...]:
        """What breaks the request when it is made neutral: more likely than not, or as surely as may be said of it."""
        least = _BROKEN if sure and self._map is None and not self._mapped else 0.5
        learned = zip(self._free, self._screen.survival, strict=True) if self._screen else ()
        return tuple(sorted({*self._pinned, *(i for i, s in learned if s < least)}))

    def doubtful(self) -> tuple[int, ...]:
        """What may well break the request when it is made neutral: all that breaks it, and what looks more like it than
        at first. What hardly ever was neutral is known no better."""
        screen = self._screen
        frail = zip(self._free, screen.survival, screen.breaks, strict=True) if screen else ()
        return tuple(sorted({*self.fragile(), *(i for i, s, b in frail if s < min(_DOUBTFUL, 1 - b))}))

    # ------------------------------------------------------------ what to ask

    def _batch(self) -> list[Ask]:
        k = min(self.width, self.left)
        if self._phase == "base":
            return [Ask("case", frozenset(), "base")] * min(k, max(1, self._base_wanted()))
        if self._phase == "map":
            assert self._map is not None
            return [Ask("control", group, "map") for group in self._map.groups(k)]
        if self._phase == "screen":
            assert self._screen is not None
            if self._sweeping is not None:
                return [Ask("case", self._sweeping, "screen")] * min(k, _SWEEP)
            k = min(k, max(1, _SCREEN_MOST - self._screened))
            return [Ask("case", self._neutral(row), "screen") for row in self._screen.designs(k, self._rng)]
        return self._blocks()

    def _neutral(self, present: Bools) -> frozenset[int]:
        return frozenset(self._free[int(j)] for j in np.flatnonzero(~present))

    def _blocks(self) -> list[Ask]:
        """As many whole blocks as the width holds, at least one, each in random order."""
        trial = self._trials[-1]
        cells = trial.cells
        left = min(self.left // len(cells), trial.blocks - len(trial.outcomes))
        asks: list[Ask] = []
        for _ in range(max(1, min(self.width // len(cells), left))):
            self._block += 1
            order = self._rng.permutation(len(cells))
            asks += [
                Ask("case", cells[i], "verify" if i in (0, len(cells) - 1) else "together", self._block) for i in order
            ]
        return asks

    def _base_wanted(self) -> int:
        """How many more calls as reported are wanted before anything else; 0: enough."""
        e = self._reported
        # So rare a failure tells a screen nothing; it may be shown to be rarer than anybody minds.
        rare = self._tolerable is not None and e.failures < self._tolerable * e.n
        if not rare and ((e.failures >= 3 and e.n >= 12) or e.n >= _BASE_MOST):
            return 0
        return min(self.width, 12 - e.n) if e.n < 12 else self.width

    # ------------------------------------------------------------ what came back

    def _absorb(self, settled: list[tuple[Ask, str]]) -> None:
        rows, failed = [], []
        for ask, outcome in settled:
            if ask.phase == "base":
                self._base.append(outcome)
            elif ask.phase == "map" and self._map is not None:
                self._map.add(ask.neutral, outcome)
            elif ask.phase == "screen":
                self._screened += 1
                if self._sweeping is not None and outcome != "invalid":
                    self._swept.append(outcome == "fail")
            elif ask.pair is not None:
                self._trials[-1].outcomes.setdefault(ask.pair, {})[ask.neutral] = outcome
            if self._screen is not None and outcome != "invalid":
                rows.append([i not in ask.neutral for i in self._free])
                failed.append(outcome == "fail")
        if rows and self._screen is not None:
            self._screen.add(np.array(rows), np.array(failed))

    # ------------------------------------------------------------ where to go

    def _advance(self) -> None:
        """Move on to the phase that the outcomes call for, or end."""
        while not self._end:
            before = self._phase
            getattr(self, f"_after_{self._phase}")()
            if self._phase == before:
                break
        if not self._end and self.left < self._least():
            self._finish_spent()

    def _least(self) -> int:
        return len(self._trials[-1].cells) if self._phase in ("verify", "together") else 1

    def _after_base(self) -> None:
        if not self.factors:
            self._stop("undecided", "there is no part that could be changed")
            return
        tolerable = self._tolerable
        if tolerable is not None and self._base and first_crossing(Race(tolerable, None, self.alpha), self._base):
            self._stop("not_reproduced", f"the failure rate as reported is shown to be below {tolerable:.3g}")
        elif not self._base_wanted():
            if self._map is not None:
                self._phase = "map"
            else:
                self._start_screen()

    def _after_map(self) -> None:
        assert self._map is not None
        self._map.settle()
        if self._map.done:
            self._pinned = tuple(i for i in self._map.load_bearing if i in self._mappable)
            self._start_screen()

    def _start_screen(self) -> None:
        self._free = [i for i in range(self.factors) if i not in self._pinned]
        if not self._free:
            self._stop("undecided", "every factor is load-bearing: none could be put to neutral")
            return
        if self._map is not None:
            breaks = np.clip(self._map.chance[self._free], _ALIKE, 0.5)
            breaks = np.where([i in self._mappable for i in self._free], breaks, _UNMAPPABLE)
        else:
            breaks = np.full(len(self._free), _ALIKE if self._mapped else _UNMAPPED)
        self._screen = Screen(len(self._free), self._prior[self._free], breaks)
        e = self._reported
        failed = np.repeat([True, False], [e.failures, e.passes])
        self._screen.add(np.ones((len(failed), len(self._free)), bool), failed)
        self._phase = "screen"

    def _after_screen(self) -> None:
        screen = self._screen
        assert screen is not None
        screen.settle()
        tried = {t.members for t in self._trials}
        ranked = [(self._real(s), p, logic) for s, p, logic in screen.by_set()]
        spent = self._screened >= _SCREEN_MOST
        if self._held is not None:
            self._after_find(ranked)
            return
        self._sweeping = None
        open_ = [(s, p, logic) for s, p, logic in ranked if s not in tried]
        eased = max(0.0, min(1.0, (self._screened - _EASE) / (_SCREEN_MOST - _EASE)))
        bar = _LIKELY - eased * (_LIKELY - _WORTH)
        if open_ and open_[0][1] >= bar and self._may_try(open_[0][0]):
            self._try(open_[0][0], open_[0][2])
        elif screen.nothing >= _NOTHING and not self._hidden:
            self._say_nothing(screen)
        if spent and self._phase == "screen" and not self._end:
            best = ranked[0][1] if ranked else 0.0
            if _looked_closely(screen) and not self._hidden and screen.nothing >= 0.5 and best <= 0.25:
                self._stop("nothing", _NONE)
            elif self._hidden:
                self._stop(
                    "undecided", "with all factors neutral the failure goes, but no few of them were found to carry it"
                )
            else:
                self._stop("undecided", f"{self._screened} screening calls did not settle on a set of factors")

    def _say_nothing(self, screen: Screen) -> None:
        """End with `nothing`, unless all factors neutral at once say otherwise."""
        if not _looked_closely(screen) or screen.doubts(_UNDOUBTED):
            return
        word = _swept_says(self._swept, self._reported)
        stale = word == "broken" and self._screened - self._swept_at >= 5 * _SWEEP  # more is known of what breaks
        if self._screened < _SCREEN_MOST and (stale or (word is None and len(self._swept) < 3 * _SWEEP)):
            if stale or not self._swept:
                self._swept, self._swept_at = [], self._screened
                self._whole = frozenset(i for i, s in zip(self._free, screen.survival, strict=True) if s > 0.6)
            self._sweeping = self._whole
        elif word == "cured":
            self._hidden = True
        elif word != "broken" or self._screened >= _PATCHY:
            self._stop("nothing", _NONE)

    def _after_find(self, ranked: list[tuple[tuple[int, ...], float, str]]) -> None:
        """A find is held that leaves failures behind: does a larger set carry them too?"""
        assert self._held is not None
        named = frozenset(self._held.named)
        tried = {t.members for t in self._trials}
        for s, p, logic in ranked[:3]:
            if p < _LIKELY:
                break
            if named < frozenset(s) and s not in tried and self._may_try(s):
                self._try(s, logic)
                return
            if named >= frozenset(s):
                self._found(self._held)
                return
        if self._screened - self._held_at >= _MORE:
            self._found(self._held)

    def _may_try(self, members: tuple[int, ...]) -> bool:
        if len(self._trials) == len(_SHARES):
            return False
        trial = self._trial(members, "one")
        return self.left >= len(trial.cells) * max(_LEAST_BLOCKS, trial.shortest)

    def _found(self, trial: Trial) -> None:
        self._held = trial
        self._stop("systematic", "fresh, interleaved calls show that the failure goes where they are neutral")

    def _real(self, members: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(self._free[j] for j in members)

    def _try(self, members: tuple[int, ...], logic: str) -> None:
        self._trials.append(self._trial(members, logic))
        self._phase = "verify"

    def _trial(self, members: tuple[int, ...], logic: str) -> Trial:
        share = self.alpha * _SHARES[len(self._trials)]
        return Trial(members, _LOGICS[logic], share, _BLOCKS if len(members) == 1 else _SEVERAL)

    def _after_verify(self) -> None:
        trial = self._trials[-1]
        trial.settle()
        if trial.state == "open":
            return
        if trial.state == "shown":
            # A larger set is only tried after a smaller one is held, so it takes its place.
            if self._held is None and trial.leaves_failures():
                self._held, self._held_at, self._phase = trial, self._screened, "screen"
            else:
                self._found(trial)
        elif self._held is not None:
            self._found(self._held)
        else:
            self._phase = "screen"

    def _stop(self, verdict: Verdict, why: str) -> None:
        self._end = (verdict, why)

    def _finish_spent(self) -> None:
        screen = self._screen
        if self._trials:
            self._trials[-1].settle(spent=True)
            if self._trials[-1].state == "shown":
                self._found(self._trials[-1])
                return
        if self._held is not None:
            self._found(self._held)
            return
        if screen is not None and screen.nothing >= _NOTHING and not self._hidden and _looked_closely(screen):
            self._stop("nothing", _NONE)
            return
        self._stop(
            "undecided",
            f"the {self.budget} calls that this search had are spent; with a higher --budget the same command goes on",
        )

    # ------------------------------------------------------------ what is known

    def found(self) -> Found:
        """What is known now, also before the end."""
        verdict, why = self._end or ("undecided", "not finished")
        screen = self._screen
        trial = self._held if verdict == "systematic" else None
        named = trial.named if trial else ()
        joint, logic = None, None
        factors: tuple[tuple[int, Est], ...] = ()
        if trial:
            joint, logic = trial.effect(frozenset(named), self.alpha), trial.logic
            factors = tuple((i, self._effect(trial, i, joint)) for i in named)
        involved = dict(zip(self._free, screen.involved(), strict=True)) if screen else {}
        broken = [i for i in self.fragile() if i not in named]
        suspected = sorted(((i, float(p)) for i, p in involved.items() if p >= 0.05), key=lambda t: -t[1])
        return Found(
            verdict=verdict,
            logic=logic,
            factors=factors,
            joint=joint,
            cleared=tuple(
                i
                for i, p in involved.items()
                if i not in named and i not in broken and (verdict == "nothing" or p < 0.05)
            )
            if self._screened
            else (),
            load_bearing=tuple(sorted({*self._pinned, *self.fragile(sure=True)} - {*named})),
            suspected=tuple(suspected[:5]) if verdict == "undecided" else (),
            smallest_visible=screen.smallest_visible(_SEEN) if screen else None,
            base=self._reported,
            calls={phase: self._calls[phase] for phase in ("base", "map", "screen", "verify", "together")},
            calls_needed=self._needed() if verdict == "undecided" else None,
            why=why,
        )

    def _effect(self, trial: Trial, i: int, joint: Est) -> Est:
        own = frozenset([i])
        if len(trial.named) == 1:
            return joint
        return trial.effect(own, self.alpha) if own in trial.cells else Est(None, None, None, 0)

    def _needed(self) -> int:
        """About how many more calls would decide, if the evidence goes on growing as it has."""
        if self._screen is None or not self._screened:
            return _USUAL
        last = self._trials[-1] if self._trials else None
        if last is not None and last.state in ("open", "unclear") and (more := last.blocks_needed()) is not None:
            return more * len(last.cells)
        gained, missing = self._screen.progress(_LIKELY)
        if gained <= 0:
            return 2 * self._screened
        trial = 4 * _LEAST_BLOCKS
        return min(4 * self._screened, round(self._screened * max(0.0, missing) / gained)) + trial


def _looked_closely(screen: Screen) -> bool:
    """Whether one factor that carries much of the failure would have shown."""
    visible = screen.smallest_visible(_SEEN)
    return visible is not None and visible <= (_ALWAYS if screen.failed.all() else _VISIBLE)


def _swept_says(failed: Sequence[bool], reported: Evidence) -> Literal["cured", "same", "broken"] | None:
    """What calls with every factor neutral are like: the failure gone, as reported, a broken request; None: unclear."""
    rate = (reported.failures + 0.5) / (reported.n - reported.invalid + 1)
    k, n = sum(failed), len(failed)

    def fit(p: float) -> float:
        return k * math.log(p) + (n - k) * math.log1p(-p)

    same, cured = fit(rate), fit(rate / 4)
    if cured - same >= _CURED:
        return "cured"
    if fit(max(rate, 0.5 * rate + 0.5)) - same >= 1:
        return "broken"
    return "same" if same - cured >= 1 else None


def _check(
    factors: int,
    alpha: float,
    budget: int,
    width: int,
    prior: Sequence[float] | None,
    load_bearing: Collection[int] | None,
    tolerable: float | None,
) -> None:
    if factors < 0 or budget < 0 or width < 1:
        raise ValueError(f"factors and budget must be at least 0 and width 1, got {factors}, {budget}, {width}")
    for name, value in (("alpha", alpha), ("tolerable", tolerable)):
        if value is not None and not 0 < value < 1:
            raise ValueError(f"{name} must lie strictly between 0 and 1, got {value!r}")
    if prior is not None and (len(prior) != factors or not all(0 < p < math.inf for p in prior)):
        raise ValueError(f"prior needs one positive number for each of {factors} factors, got {list(prior)!r}")
    if load_bearing and not all(0 <= i < factors for i in load_bearing):
        raise ValueError(f"load_bearing holds factor numbers from 0 to {factors - 1}, got {sorted(load_bearing)}")
