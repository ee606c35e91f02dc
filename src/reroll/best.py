"""Of many variants: which beat a baseline, and which one fails least often.

Every verdict stands from the first look at which it was shown, and is wrong
with chance at most alpha over all looks.  The bets are in `paired`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reroll.compare import in_range
from reroll.paired import below_log_e, better_log_e, pair_threshold

__all__ = ["Best", "best_of", "better_than_baseline", "family_better"]

OUTCOMES = ("pass", "fail", "invalid")
_MOST = 700.0  # nats; exp() of more would overflow, and less evidence is always valid


@dataclass(frozen=True, slots=True)
class Best:
    """Which variant fails least often, as far as shown.

    best:      the last one standing, or the one that no other survivor beats by the indifference or more.
    surviving: variants not dropped yet; with `best` those it could not be told from.
    dropped:   (variant, the rival it lost to, after so many rounds), in that order.
    decided_at: rounds until the verdict; None if undecided.
    """

    verdict: Literal["best", "undecided"]
    best: str | None
    surviving: tuple[str, ...]
    dropped: tuple[tuple[str, str, int], ...]
    decided_at: int | None = None


def better_than_baseline(log_es: Mapping[str, float], alpha: float = 0.05) -> tuple[str, ...]:
    """The variants better than the baseline, of which on average at most a share alpha is not.

    For exploring: a false discovery rate.  Use the evidence as it stands NOW,
    of all variants at one moment: on running maxima, or on each variant's own
    best moment, the rate is not controlled (Tavyrikov, Goeman & de Heide 2025).
    A claim that must hold is `family_better`.

    Args:    log_es: nats, one e-value per variant, in any way dependent: `better_log_e`, or
             `Compared.log_e_better`, which stops at its own verdict and so stays an e-value.
    Raises:  ValueError: alpha out of range, or evidence that is not a number.
    Source:  closed e-BH, Xu, Fischer & Ramdas 2025, which names all that e-BH
             (Wang & Ramdas 2022) names and sometimes more: R stands if for every set S of
             variants mean(e in S) >= |R & S| / (alpha |R|).  With S the true nulls, the share
             of R that is wrong is at most alpha times an e-value.

    >>> better_than_baseline({"a": 4.0, "b": 3.5, "c": 0.0})
    ('a', 'b')
    """
    in_range(alpha)
    ranked = _ranked(log_es)
    e = np.exp([min(value, _MOST) for value, _ in ranked])
    k = len(e)
    for r in range(k, 0, -1):
        # The hardest sets S hold the weakest of R and the weakest of the others.
        inside = np.cumsum(e[:r][::-1])
        outside = np.concatenate([[0.0], np.cumsum(e[r:][::-1])])
        a, b = np.arange(1, r + 1), np.arange(k - r + 1)
        mean = (inside[:, None] + outside) / (a[:, None] + b)
        if np.all(mean * alpha * r >= a[:, None]):
            return tuple(name for _, name in ranked[:r])
    return ()


def family_better(log_es: Mapping[str, float], alpha: float = 0.05) -> tuple[str, ...]:
    """The variants better than the baseline; any of them is wrong with chance at most alpha.

    Running maxima are allowed here: what was shown once stays shown.  Of k
    variants the first must reach k / alpha, the next (k - 1) / alpha, ...

    Args, Raises: as `better_than_baseline`.
    Source:  Holm 1979 on Ville's bound: before the first wrong one is named, only
             right ones were, so it would need (number of true nulls) / alpha.

    >>> family_better({"a": 4.5, "b": 3.8, "c": 0.0})
    ('a', 'b')
    """
    in_range(alpha)
    ranked = _ranked(log_es)
    named: list[str] = []
    for i, (value, name) in enumerate(ranked):
        if value < math.log((len(ranked) - i) / alpha):
            break
        named.append(name)
    return tuple(named)


def best_of(rounds: Sequence[Mapping[str, str]], alpha: float = 0.05, indifference: float = 0.0) -> Best:
    """The variant that fails least often, the others dropped one by one; wrong with chance at most alpha.

    In each round every surviving variant runs on the same case, drawn at
    random.  A variant is bet against as one that nothing beats: in every round
    its rival is the survivor with the fewest failures so far.  For the truly
    best one no choice of rivals made beforehand can win, so there is ONE test
    per variant, and no alpha is divided among the rivals.

    With an indifference, half of alpha goes into dropping and half into stopping
    early: a survivor is named once no other survivor can be better by so much.

    Args:    rounds: outcome by variant, of the first round for all; those dropped may be
             missing from then on (or stay: they are ignored); an invalid outcome
             counts against whoever would gain by it;
             indifference: failure rate by which the named one may miss the best, in [0, 1).
    Raises:  ValueError: an argument out of range, fewer than 2 variants, a round that lacks
             a survivor or has a newcomer, an unknown outcome.
    Assumes: given the past, the best fails the next case at most as probably as each other variant.
    Source:  successive elimination (Even-Dar, Mannor & Mansour 2006) with the coin test of `paired`.

    >>> best_of([{"a": "pass", "b": "fail", "c": "fail"}] * 6).best
    'a'
    """
    in_range(alpha)
    if not 0 <= indifference < 1:
        raise ValueError(f"indifference is a failure rate in 0...1 (1 excluded), got {indifference!r}")
    names = list(rounds[0]) if rounds else []
    if rounds and len(names) < 2:
        raise ValueError(f"it takes at least 2 variants to find the best, got {', '.join(names) or 'none'}")
    threshold = pair_threshold(alpha / 2 if indifference else alpha)
    near = math.log(2 * max(1, len(names) - 1) / alpha)  # one of so many rivals may be named wrongly
    alive = names
    failed = dict.fromkeys(names, 0)
    coin = {name: [0, 0] for name in names}  # wins and losses of the rivals that it was held against
    pairs = {(a, b): [0, 0] for a in names for b in names if a != b}  # a won, a lost, against b
    dropped: list[tuple[str, str, int]] = []
    for i, outcomes in enumerate(rounds):
        _check_round(i + 1, outcomes, names, alive)
        beaten: dict[str, str] = {}
        for a in alive:
            rival = min((b for b in alive if b != a), key=failed.__getitem__)
            coin[a][0] += _beats(outcomes[rival], outcomes[a])
            coin[a][1] += _loses(outcomes[rival], outcomes[a])
            if better_log_e(*coin[a]) >= threshold:
                beaten[a] = rival
        if indifference:
            for a in alive:
                for b in alive:
                    if a != b:
                        pairs[a, b][0] += _beats(outcomes[a], outcomes[b])
                        pairs[a, b][1] += _loses(outcomes[a], outcomes[b])
        for a in alive:
            failed[a] += outcomes[a] != "pass"
        # Never all at once: whoever is dropped in a round failed where a survivor passed.
        dropped += [(a, rival, i + 1) for a, rival in beaten.items()]
        alive = [a for a in alive if a not in beaten]
        if len(alive) == 1:
            return Best("best", alive[0], tuple(alive), tuple(dropped), i + 1)
        if indifference:
            for a in sorted(alive, key=failed.__getitem__):
                rivals = [pairs[a, b] for b in alive if b != a]
                if all(below_log_e(won, lost, i + 1, indifference) >= near for won, lost in rivals):
                    return Best("best", a, tuple(alive), tuple(dropped), i + 1)
    return Best("undecided", None, tuple(alive), tuple(dropped))


def _beats(a: str, b: str) -> bool:
    """Whether a passed and b failed for certain."""
    return a == "pass" and b == "fail"


def _loses(a: str, b: str) -> bool:
    """Whether a may have failed while b may have passed."""
    return a != "pass" and b != "fail"


def _ranked(log_es: Mapping[str, float]) -> list[tuple[float, str]]:
    for name, value in log_es.items():
        if math.isnan(value):
            raise ValueError(f"the evidence for {name!r} is not a number")
    return sorted(((value, name) for name, value in log_es.items()), key=lambda pair: -pair[0])


def _check_round(i: int, outcomes: Mapping[str, str], names: Sequence[str], alive: Sequence[str]) -> None:
    for name in alive:
        if name not in outcomes:
            raise ValueError(f"round {i} lacks {name!r}, which still runs; draw every survivor on the same case")
    for name, outcome in outcomes.items():
        if name not in names:
            raise ValueError(f"round {i} has {name!r}, which was not in the first round; start again with it")
        if outcome not in OUTCOMES:
            raise ValueError(f"an outcome is pass, fail or invalid, got {outcome!r} for {name!r} in round {i}")
