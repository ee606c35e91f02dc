"""What trying a fix showed: cure, generalisation and harm on four sets of pairs, the verdict, and what is still needed.

Every claim is a bet on pairs (the same input before and after, side by side), valid at every look.  `accept` needs
all of them, so that a wrong one has chance at most alpha for whichever claim is wrong; `reject` needs one of five
refuted, each at a fifth of alpha.  The scorecard takes no side: a hard-coded patch that does all this is accepted.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from reroll.evidence import Est, first_reached
from reroll.paired import better_log_e, difference_interval, difference_limit, pair_threshold
from reroll.reduction import (
    Pairs,
    difference_log_e,
    generalisation,
    generalisation_log_e,
    reduction,
    reduction_log_e,
)

__all__ = [
    "CLAIMS",
    "SETS",
    "Claim",
    "ClaimState",
    "ClaimWord",
    "FixVerdict",
    "Net",
    "Rules",
    "Scored",
    "SetWord",
    "claim_states",
    "expected",
    "more_needed",
    "net_effect",
    "next_pairs",
    "score",
    "until_refuted",
    "verdict_of",
]

SetWord = Literal["case", "neighbour", "lookalike", "control"]
SETS: tuple[SetWord, ...] = ("case", "neighbour", "lookalike", "control")
FixVerdict = Literal["accept", "reject", "undecided"]
ClaimWord = Literal["cures", "helps", "generalises", "spares_lookalikes", "spares_control"]
CLAIMS: tuple[ClaimWord, ...] = ("cures", "helps", "generalises", "spares_lookalikes", "spares_control")
ClaimState = Literal["shown", "refuted", "open", "not_examined"]

_DIFFERENT = 2  # neighbours, at least
_FEW = 32  # pairs
_FIRST = 8  # pairs of a set before anything is said of it
_SHARE = 8  # a batch may waste an eighth of what was drawn
_BATCH, _BATCH_SHARE = 3, 24  # while it may still be a special case: smaller ones, so that few runs are wasted on it
_CASE_FIRST = 16
_LOOK_BATCH, _LOOK_FIRST, _BREAKS = 4, 40, 0.25  # more than the first look-alikes only where so many of them break


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of a fix. Rates and margins in 0...1.

    margin:           a rise of the control cases' failure rate by this much or more is harm.
    lookalike_margin: the same for look-alikes, which are few in real traffic and nearest to what a fix touches.
    least_gain:       a failure rate that falls by less than this share of itself is no gain worth having.
    generalises:      neighbours must gain at least this part of what the case gains; below it is a special case.
    fewest:           pairs on held-out neighbours, at least, before anything is called fixed.
    held_out:         different neighbours that no choice was made on: repeats of one do not stand for others.
    phases:           how many times the claims may be refuted, each with an equal share of alpha.
    """

    alpha: float = 0.05
    margin: float = 0.02
    lookalike_margin: float = 0.10
    least_gain: float = 0.25
    generalises: float = 0.5
    fewest: int = 60
    phases: int = 1
    held_out: int = 2

    def __post_init__(self) -> None:
        for name in ("alpha", "margin", "lookalike_margin", "least_gain", "generalises"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie strictly between 0 and 1, got {getattr(self, name)!r}")


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that `accept` needs. `needed`: further pairs if all goes on as so far; None: no end in sight."""

    word: ClaimWord
    state: ClaimState
    needed: int | None


@dataclass(frozen=True, slots=True)
class Scored:
    """The scorecard's statistics.

    case_gain, neighbour_gain: by what share of itself the failure rate falls.
    generalisation:            neighbour_gain over case_gain; below `Rules.generalises` it is a special case.
    lookalike_harm, control_harm: by how much the failure rate rises; `high` holds at every look, alpha one-sided.
    reasons:                   the claims that are refuted.
    """

    verdict: FixVerdict
    claims: Mapping[ClaimWord, Claim]
    case_gain: Est
    neighbour_gain: Est
    generalisation: Est
    lookalike_harm: Est
    control_harm: Est
    reasons: tuple[ClaimWord, ...] = ()

    @property
    def open(self) -> tuple[ClaimWord, ...]:
        return tuple(word for word, claim in self.claims.items() if claim.state == "open")


def score(
    pairs: Mapping[SetWord, Pairs], rules: Rules = Rules(), there: Collection[str] = SETS, alike: Collection[str] = ()
) -> Scored:
    """The scorecard of these pairs; a set that is not `there` is not examined, and its harm stays unknown.

    Args:    pairs: by set; `neighbour` holds only pairs that no choice between fixes was made on;
             alike: sets on which the fix provably changes nothing, so that no pair is needed: no harm there, no gain.
    Raises:  ValueError: without a case or neighbours nothing can be accepted.
    Assumes: pairs of one set are drawn from its cases at random, before and after side by side.

    >>> from reroll.reduction import pairs_of
    >>> pairs = {"case": pairs_of([("fail", "pass")] * 20), "neighbour": pairs_of([("fail", "pass")] * 60)}
    >>> score(pairs, alike=("lookalike", "control")).verdict, score(pairs, there=("case", "neighbour")).verdict
    ('accept', 'undecided')
    """
    if not {"case", "neighbour"} <= set(there):
        raise ValueError("a scorecard needs the case and neighbours of it")
    of = {name: pairs.get(name, Pairs()) for name in SETS}
    states = claim_states(of, rules, there, alike)
    claims = {
        word: Claim(word, state, _needed(word, of, rules) if state == "open" else 0) for word, state in states.items()
    }
    return Scored(
        verdict_of(states),
        claims,
        reduction(of["case"], rules.alpha),
        reduction(of["neighbour"], rules.alpha),
        generalisation(of["case"], of["neighbour"], rules.alpha),
        _harm(of["lookalike"], rules.alpha, "lookalike" in alike),
        _harm(of["control"], rules.alpha, "control" in alike),
        tuple(word for word, state in states.items() if state == "refuted"),
    )


def claim_states(
    pairs: Mapping[SetWord, Pairs], rules: Rules = Rules(), there: Collection[str] = SETS, alike: Collection[str] = ()
) -> dict[ClaimWord, ClaimState]:
    """How each claim stands: what a look between two batches needs, and no more."""
    of = {name: pairs.get(name, Pairs()) for name in SETS}
    special = "neighbour" in alike
    return {
        "cures": "refuted" if "case" in alike else _gain_state(of["case"], rules, 0),
        "helps": "refuted" if special else _gain_state(of["neighbour"], rules, rules.fewest),
        "generalises": "refuted" if special else _general_state(of["case"], of["neighbour"], rules),
        "spares_lookalikes": _harm_state("lookalike", of, rules, there, alike),
        "spares_control": _harm_state("control", of, rules, there, alike),
    }


def verdict_of(states: Mapping[ClaimWord, ClaimState]) -> FixVerdict:
    """One refuted claim rejects; all shown accept. Look-alikes may be wanting, ordinary requests may not."""
    if "refuted" in states.values():
        return "reject"
    unknown = "open" in states.values() or states["spares_control"] == "not_examined"
    return "undecided" if unknown else "accept"


def _gain_state(pairs: Pairs, rules: Rules, fewest: int) -> ClaimState:
    """Whether the failure rate falls at all, on enough pairs; or by less than is worth having."""
    if pairs.n < _FIRST:
        return "open"
    if reduction_log_e(pairs, rules.least_gain, "below") >= _refute(rules):
        return "refuted"
    enough = pairs.n >= fewest and (not fewest or rules.held_out >= _DIFFERENT)
    return "shown" if _better(pairs, rules) and enough else "open"


def _better(pairs: Pairs, rules: Rules) -> bool:
    return better_log_e(pairs.harsh[2], pairs.harsh[1]) >= pair_threshold(rules.alpha)


def _general_state(case: Pairs, neighbour: Pairs, rules: Rules) -> ClaimState:
    """Whether the neighbours surely gain at least a given part of what the case gains; or surely do not."""
    if min(case.n, neighbour.n) < _FIRST:
        return "open"
    if generalisation_log_e(case, neighbour, rules.generalises, "below") >= _refute(rules):
        return "refuted"
    return "shown" if _generalises(case, neighbour, rules) else "open"


def _generalises(case: Pairs, neighbour: Pairs, rules: Rules) -> bool:
    return generalisation_log_e(case, neighbour, rules.generalises, "above") >= -math.log(rules.alpha)


def _harm_state(
    name: SetWord, of: Mapping[SetWord, Pairs], rules: Rules, there: Collection[str], alike: Collection[str]
) -> ClaimState:
    if name not in there:
        return "not_examined"
    if name in alike:
        return "shown"
    pairs = of[name]
    margin = _margin(name, rules)
    if pairs.n < _FIRST:
        return "open"
    if difference_log_e(pairs, margin, "above") >= _refute(rules):
        return "refuted"
    return "shown" if difference_log_e(pairs, margin, "below") >= -math.log(rules.alpha) else "open"


def _margin(name: str, rules: Rules) -> float:
    return rules.margin if name == "control" else rules.lookalike_margin


def _refute(rules: Rules) -> float:
    return math.log(len(CLAIMS) * rules.phases / rules.alpha)


def _harm(pairs: Pairs, alpha: float, alike: bool) -> Est:
    if alike:
        return Est(0.0, 0.0, 0.0, pairs.n)
    if not pairs.n:
        return Est(None, -1.0, 1.0, 0)
    before, after = pairs.before, pairs.after
    assert before is not None
    assert after is not None
    low, _ = difference_interval(pairs.kind[2], pairs.kind[1], pairs.n, alpha)
    return Est(after - before, low, difference_limit(pairs.harsh[2], pairs.harsh[1], pairs.n, alpha), pairs.n)


# ---------------------------------------------------------------- what is still needed


def expected(n: int, before: float, after: float) -> Pairs:
    """So many pairs as they come about if these are the rates and runs are independent; cells are rounded.

    >>> expected(100, 0.5, 0.1).kind
    (45, 5, 45, 5)
    """
    cells = [(1 - before) * (1 - after), (1 - before) * after, before * (1 - after), before * after]
    broken, cured, both = (round(n * cell) for cell in cells[1:])
    found = (n - broken - cured - both, broken, cured, both)
    return Pairs(found, found)


def more_needed(
    pairs: Mapping[SetWord, Pairs],
    rules: Rules,
    still: Collection[ClaimWord],
    usual: Mapping[SetWord, tuple[float, float]],
) -> dict[SetWord, int] | None:
    """Further pairs by set until all open claims are shown, if all goes on as so far; None where no end is in sight.

    Args:    still: the claims that are open;
             usual: (before, after) failure rates to reckon with for a set of which too little is known.
    """
    out: dict[SetWord, int] = {}
    known: dict[SetWord, Pairs] = {}
    for name in SETS:
        have, rates = pairs.get(name, Pairs()), usual.get(name)
        # Of few pairs not much can be reckoned on: they are made up with what is usual.
        made_up = 0 if rates is None else 1000 if not have.n else max(0, _FEW - have.n)
        known[name] = have + expected(made_up, *rates) if rates is not None else have
    for word in still:
        found = _needed(word, known, rules, from_none=pairs)
        if found is None:
            return None
        for name in _SETS_OF[word]:
            out[name] = max(out.get(name, 0), found)
    return out


def until_refuted(pairs: Mapping[SetWord, Pairs], rules: Rules) -> int | None:
    """Further pairs of neighbours until it is shown that it helps too little, or too few, if all goes on as so far.

    The case grows in proportion beside them.
    """
    case, neighbour = pairs.get("case", Pairs()), pairs.get("neighbour", Pairs())
    if not neighbour.n:
        return None

    def refuted(more: int) -> bool:
        near = _grown(neighbour, neighbour.n + more)
        here = _grown(case, round(case.n * (neighbour.n + more) / neighbour.n))
        return "refuted" in (
            _gain_state(near, rules, 0),
            _gain_state(here, rules, 0),
            _general_state(here, near, rules),
        )

    return first_reached(refuted)


_SETS_OF: dict[ClaimWord, tuple[SetWord, ...]] = {
    "cures": ("case",),
    "helps": ("neighbour",),
    "generalises": ("neighbour",),  # the case takes its share beside it
    "spares_lookalikes": ("lookalike",),
    "spares_control": ("control",),
}


def _needed(
    word: ClaimWord, of: Mapping[SetWord, Pairs], rules: Rules, from_none: Mapping[SetWord, Pairs] | None = None
) -> int | None:
    """Further pairs of the claim's set until it is shown, if they come as so far; `from_none`: what there really is."""
    name = _SETS_OF[word][0]
    pairs = of[name]
    if not pairs.n:
        return None
    have = pairs.n if from_none is None else from_none.get(name, Pairs()).n

    def shown(more: int) -> bool:
        grown = _grown(pairs, have + more)
        if word in ("cures", "helps"):
            return _better(grown, rules) and (word == "cures" or have + more >= rules.fewest)
        if word == "generalises":
            case_n = (of if from_none is None else from_none).get("case", Pairs()).n
            return _generalises(_grown(of["case"], round(case_n * (have + more) / max(1, have))), grown, rules)
        return difference_log_e(grown, _margin(name, rules), "below") >= -math.log(rules.alpha)

    return first_reached(shown)


def _grown(pairs: Pairs, n: int) -> Pairs:
    """So many pairs in the same proportions."""
    if not pairs.n:
        return pairs

    def scaled(cells: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
        broken, cured, both = (round(cell * n / pairs.n) for cell in cells[1:])
        return max(0, n - broken - cured - both), broken, cured, both

    return Pairs(scaled(pairs.kind), scaled(pairs.harsh))


# ---------------------------------------------------------------- what to draw next


def next_pairs(pairs: Mapping[SetWord, Pairs], states: Mapping[ClaimWord, ClaimState]) -> dict[SetWord, int]:
    """How many more pairs of which sets to draw now; none once the verdict has fallen.

    First whether it helps at all and helps others, which is cheap and refutes a special case, with a few look-alikes
    beside; where those seem to break, more of them come first, since that end is the nearest. Control cases, which take
    by far the most to bound a harm, only for a fix that helps.
    """
    if verdict_of(states) != "undecided":
        return {}
    n = {name: pairs.get(name, Pairs()).n for name in SETS}
    out: dict[SetWord, int] = {}
    step = max(_BATCH, (n["case"] + n["neighbour"]) // _BATCH_SHARE)
    if "open" in (states["cures"], states["helps"], states["generalises"]):
        looking = states["spares_lookalikes"] == "open"
        if looking and _FIRST <= n["lookalike"] < _LOOK_FIRST and _breaks(pairs["lookalike"]):
            return {"lookalike": _LOOK_BATCH}
        if n["case"] < _CASE_FIRST or 3 * n["case"] < 2 * n["neighbour"]:
            out["case"] = step
        if "open" in (states["helps"], states["generalises"]):
            out["neighbour"] = step
        elif not out:
            out["case"] = step
        if looking and n["lookalike"] < min(_FIRST, 2 * n["neighbour"] // 5):
            out["lookalike"] = _LOOK_BATCH
    elif states["spares_lookalikes"] == "open":
        out["lookalike"] = max(_FIRST, n["lookalike"] // _SHARE)
    elif states["spares_control"] == "open":
        out["control"] = max(2 * _FIRST, n["control"] // _SHARE)
    return out


def _breaks(pairs: Pairs) -> bool:
    _, broken, cured, _ = pairs.kind
    return broken - cured >= _BREAKS * pairs.n


# ---------------------------------------------------------------- what it comes to


@dataclass(frozen=True, slots=True)
class Net:
    """Failures avoided per 10,000 requests, on balance, where this share of them is like the case.

    break_even: the share below which the fix does more harm than good; None: it does no harm, or no good, at any.
    """

    prevalence: float
    per_10k: Est
    break_even: float | None
    break_even_at_worst: float | None = field(default=None)


def net_effect(gain: Est, harm: Est, prevalence: float) -> Net:
    """Gain on requests like the case minus harm on all others; the limits take both at their worst and best.

    Args:    gain: by how much (not by what share) the neighbours' failure rate falls; harm: by how much that of
             control cases rises; prevalence: share of the traffic that is like the case.

    >>> net_effect(Est(0.4, 0.3, 0.5, 100), Est(0.01, -0.01, 0.02, 1000), 0.02).per_10k.value
    -18.0
    """
    if not 0 <= prevalence <= 1:
        raise ValueError(f"prevalence must lie in 0...1, got {prevalence!r}")

    def net(g: float | None, h: float | None) -> float | None:
        return None if g is None or h is None else round(1e4 * (prevalence * g - (1 - prevalence) * h), 9)

    def even(g: float | None, h: float | None) -> float | None:
        return None if g is None or h is None or h <= 0 or g <= 0 else h / (g + h)

    return Net(
        prevalence,
        Est(net(gain.value, harm.value), net(gain.low, harm.high), net(gain.high, harm.low), min(gain.n, harm.n)),
        even(gain.value, harm.value),
        even(gain.low, harm.high),
    )
