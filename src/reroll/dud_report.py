"""What a search for a dud found, as one value: the verdict first, then the token and what could be done about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from reroll.beta import clopper_pearson
from reroll.dud import DudRule, DudSearch, DudVerdict, begin, curves_of, next_step, observe
from reroll.evidence import Est
from reroll.fork_certificate import certified_drop
from reroll.fork_search import drop_at
from reroll.forking import Draw, Failing, Forks, Outcome, Place, Rollout
from reroll.success_curve import Curves, Floats

__all__ = ["Alternative", "CurvePoint", "Dud", "DudPrice", "conclude", "doubted", "price", "replay", "run_draws"]

_BAND = 0.9  # of the posterior, for rates along the curve: measured to hold that often (benchmarks/tokens.py)


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another token that the model might have said there: how probable it was, how often it then succeeds.

    success: an exact interval at 1 - alpha from a fixed number of fresh rollouts.
    effect:  what steering to it at this place would add to the success rate there, in 0...1.
    """

    token: str
    prob: float
    success: Est
    effect: Est


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The success rate after the first `prefix` tokens, with its 90 % band."""

    prefix: int
    success: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Dud:
    """The answer of one search. Rates are success rates; everything after `reason` is None without a dud.

    tier:       A: probabilities and prefixes; B: prefixes only, then `first`...`last` is a window.
    position:   1-based; first, last: the positions that it cannot be told from, certified as one.
    kind:       `unlucky`: sampled against the odds (p <= 1/2); `trap`: the model prefers it.
    drop:       its interval holds at any time of looking, each end wrong with chance `alpha_spent` at most.
    share_of_failures: the drop's share of all that the completion lost; the shares of its tokens sum to 1.
    banning:    what forbidding the token there would add to the success rate there.
    regret:     how much better the best alternative does.
    half_life:  for a slide: the fewest tokens that together cost half of the success rate at the start.
    largest:    without a dud, the largest drop that is left possible, with its 90 % band.
    """

    verdict: DudVerdict
    tier: Literal["A", "B"]
    unit: str
    reason: str
    success_at_start: Est
    position: int | None
    first: int | None
    last: int | None
    token: str | None
    prob: float | None
    kind: Literal["unlucky", "trap"] | None
    success_before: Est | None
    success_after: Est | None
    drop: Est | None
    share_of_failures: Est | None
    alternatives: tuple[Alternative, ...]
    banning: Est | None
    regret: Est | None
    half_life: int | None
    largest: Est | None
    curve: tuple[CurvePoint, ...]
    alpha_spent: float
    places_tried: int
    pairs: int
    rollouts: int
    reused: int
    invalid: int
    tokens_spent: int
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DudPrice:
    """What a search will take: about so much, and at the very most so much. Generated tokens; prompts come on top."""

    rollouts: int
    tokens: int
    most_rollouts: int
    most_tokens: int


def conclude(search: DudSearch, rng: np.random.Generator) -> Dud:
    """What the search shows now; `unsure` while it is not done.

    Args:    rng: for the curves that estimates and bands are read from.
    """
    rule, failing = search.rule, search.failing
    curves = curves_of(search, rng)
    verdict = search.verdict if search.phase == "done" and search.verdict else "unsure"
    nodes = search.model.nodes
    certificate = search.certificates[-1] if search.certificates else None
    found = verdict == "dud" and certificate is not None and search.position is not None
    place = certificate.place if found and certificate else None
    position = search.position if found else None
    before = after = drop = share = banning = regret = None
    rows: tuple[Alternative, ...] = ()
    prob = None
    if place is not None and certificate is not None and position is not None:
        n = len(certificate.pairs)
        before = _est(curves.success[:, search.model.step_of[place.first]], n)
        after = _est(curves.success[:, search.model.step_of[place.last] + 1], n)
        lost = drop_at(search.model, curves, place)
        low, high = certified_drop(certificate, failing, rule.grader)
        drop = Est(float(np.clip(lost.mean(), low, high)), low, high, n)
        start = curves.success[:, 0]
        share = _est(np.divide(lost, start, out=np.ones_like(lost), where=start > 0), n)
        prob = None if failing.probs is None else failing.probs[position - 1]
        if prob is not None and place.first == place.last:
            banning = _scaled(drop, prob / max(1 - prob, 1e-9))
            rows = _alternatives(search, before)
            regret = _regret(search, rows, after)
    return Dud(
        verdict=verdict,
        tier=failing.tier,
        unit=failing.unit,
        reason=search.reason,
        success_at_start=_est(curves.success[:, 0], len(search.triage)),
        position=position,
        first=place.first if place else None,
        last=place.last if place else None,
        token=failing.tokens[position - 1] if position else None,
        prob=prob,
        kind=None if prob is None else "unlucky" if prob <= 0.5 else "trap",
        success_before=before,
        success_after=after,
        drop=drop,
        share_of_failures=share,
        alternatives=rows,
        banning=banning,
        regret=regret,
        half_life=_half_life(search, curves) if verdict == "slide" else None,
        largest=None if found else _largest(search, curves),
        curve=tuple(CurvePoint(int(i), *_band(curves.success[:, j])) for j, i in enumerate(nodes)),
        alpha_spent=certificate.alpha if found and certificate else 0.0,
        places_tried=len(search.certificates),
        pairs=sum(len(c.pairs) for c in search.certificates),
        rollouts=search.rollouts,
        reused=search.reused,
        invalid=search.invalid,
        tokens_spent=search.tokens,
        caveats=_caveats(search, place),
    )


def doubted(dud: Dud, reason: str) -> Dud:
    """The same, `unsure`: what was shown may have another cause than the token."""
    return replace(
        dud,
        verdict="unsure",
        reason=reason,
        position=None,
        first=None,
        last=None,
        token=None,
        prob=None,
        kind=None,
        success_before=None,
        success_after=None,
        drop=None,
        share_of_failures=None,
        alternatives=(),
        banning=None,
        regret=None,
    )


def price(failing: Failing, rule: DudRule | None = None) -> DudPrice:
    """What a search of this completion will take, before it starts.

    The expectation is what benchmarks/tokens.py measured on average, at the mean length of a tail; a case
    without a dud takes more of it than one with. The most is reached only where nothing ever becomes clear.
    """
    rule = rule or DudRule()
    whole = failing.cost(0)
    tail = float(np.mean([failing.cost(i) for i in range(failing.length + 1)]))
    rows = rule.table * rule.rows if failing.probs is not None else 0
    search, pairs, table = (_TYPICAL_A if failing.probs is not None else _TYPICAL_B), 2 * _TYPICAL_PAIRS, rows // 2
    most = rule.cap + 2 * rule.pairs_cap * rule.places + rows
    return DudPrice(
        rollouts=4 + search + pairs + table,
        tokens=round(4 * whole + (search + pairs + table) * tail),
        most_rollouts=most,
        most_tokens=round(most * whole),
    )


_TYPICAL_A, _TYPICAL_B, _TYPICAL_PAIRS = 60, 120, 16  # rollouts of a search, pairs: means of the benchmark


def replay(
    forks: Forks,
    failing: Failing,
    rng: np.random.Generator,
    rule: DudRule | None = None,
    stored: Sequence[Rollout] = (),
) -> Dud:
    """The verdict of a whole search whose rollouts come from `forks`, one batch after the other.

    For recordings of forks, worlds whose truth is known, and tests; a runner does the same with real calls.
    """
    search = begin(failing, rule, stored)
    while True:
        search, draws = next_step(search, rng)
        if not draws:
            return conclude(search, rng)
        search = observe(search, draws, run_draws(forks, draws))


def run_draws(forks: Forks, draws: Sequence[Draw]) -> list[Rollout]:
    """The rollouts of one batch, in the order of its draws."""
    rollouts: list[Rollout] = []
    for draw in draws:
        if draw.token is None:
            for outcome, left_at, tokens in forks.continue_from(draw.prefix, draw.count):
                rollouts.append(Rollout(draw.prefix, outcome, draw.why, None, left_at, tokens))
        else:
            for outcome, tokens in forks.force(draw.prefix + 1, draw.token, draw.count):
                rollouts.append(Rollout(draw.prefix, outcome, draw.why, draw.token, draw.prefix + 1, tokens))
    return rollouts


# ---------------------------------------------------------------- helpers


def _band(values: Floats) -> tuple[float, float, float]:
    low, high = np.quantile(values, [(1 - _BAND) / 2, (1 + _BAND) / 2])
    return float(values.mean()), float(low), float(high)


def _est(values: Floats, n: int) -> Est:
    return Est(*_band(values), n)


def _scaled(est: Est, factor: float) -> Est:
    assert est.value is not None
    assert est.low is not None
    assert est.high is not None
    return Est(min(1.0, est.value * factor), max(-1.0, est.low * factor), min(1.0, est.high * factor), est.n)


def _largest(search: DudSearch, curves: Curves) -> Est:
    return _est(curves.drop[:, search.model.single | ~np.array(search.model.known)].max(axis=1, initial=0.0), 0)


def _half_life(search: DudSearch, curves: Curves) -> int:
    """A step of several tokens spreads its loss over them by how surprising they were; evenly if nothing is known."""
    model, failing = search.model, search.failing
    lost: list[float] = []
    for i, mean in enumerate(curves.drop.mean(axis=0)):
        k = np.arange(model.first[i], model.last[i] + 1)
        weight = (
            np.ones(len(k)) if failing.probs is None else 1e-9 - np.log([min(1.0, failing.probs[j - 1]) for j in k])
        )
        lost += list(float(mean) * weight / weight.sum())
    falling = np.cumsum(np.sort(lost)[::-1])
    half = float(curves.success[:, 0].mean()) / 2
    return int(np.searchsorted(falling, half - 1e-12)) + 1


def _alternatives(search: DudSearch, before: Est) -> tuple[Alternative, ...]:
    assert search.position is not None
    assert before.value is not None
    assert before.low is not None
    assert before.high is not None
    probs = dict(search.failing.others[search.position - 1])
    rows = []
    for token, outcomes in search.table:
        if len(outcomes) < search.rule.table:
            continue
        success = _exact(outcomes, search.rule.alpha / 2, search.rule)
        assert success.low is not None
        assert success.high is not None
        gain = None if success.value is None else success.value - before.value
        effect = Est(gain, success.low - before.high, success.high - before.low, success.n)
        rows.append(Alternative(token, probs[token], success, effect))
    return tuple(sorted(rows, key=lambda row: -row.prob))


def _exact(outcomes: Sequence[Outcome], side: float, rule: DudRule) -> Est:
    """The success rate from a fixed number of rollouts, each end wrong with chance `side`; invalid ones both ways."""
    n, passed, invalid = len(outcomes), outcomes.count("pass"), outcomes.count("invalid")
    low, high = clopper_pearson(passed, n, side)[0], clopper_pearson(passed + invalid, n, side)[1]
    grader = rule.grader

    def true(rate: float) -> float:
        return float(np.clip((rate - grader.false_pass) / grader.sharpness, 0, 1))

    return Est(true(passed / (n - invalid)) if n > invalid else None, true(low), true(high), n)


def _regret(search: DudSearch, rows: Sequence[Alternative], after: Est) -> Est | None:
    """The best of several looks better than it is: the interval is for all of them at once."""
    assert after.value is not None
    assert after.low is not None
    assert after.high is not None
    if not rows:
        return None
    side = search.rule.alpha / 2 / len(rows)
    ests = [_exact(dict(search.table)[row.token], side, search.rule) for row in rows]
    values = [e.value for e in ests if e.value is not None]
    low, high = max(e.low or 0.0 for e in ests), max(1.0 if e.high is None else e.high for e in ests)
    return Est(max(values) - after.value if values else None, low - after.high, high - after.low, search.rule.table)


def _caveats(search: DudSearch, place: Place | None) -> tuple[str, ...]:
    said = []
    if search.failing.probs is None and search.failing.unit == "token":
        said.append("without probabilities that can be read, the place is a window, not a token")
    if place is not None and search.failing.probs is not None:
        missing = sum(search.failing.unlisted(k) for k in range(place.first, place.last + 1))
        if missing > 0.005:
            said.append(f"alternatives of probability {missing:.3f} were not listed; the interval allows for them")
    if place is not None and place.first < place.last and search.failing.probs is not None:
        said.append(f"positions {place.first} to {place.last} could not be told apart, and share the drop")
    if search.invalid:
        said.append(f"{search.invalid} rollouts could not be judged; the certified interval holds whatever they were")
    grader = search.rule.grader
    if grader.sharpness < 1:
        said.append("the grader's error rates were taken as known, and their effect was removed")
    return tuple(said)
