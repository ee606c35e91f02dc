"""Where the variation of one case's outcome comes from, out of runs under changed circumstances: claims and shares."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from reroll.compare import Compared, CompareVerdict, compare_path
from reroll.evidence import Est, Evidence, interval_of

__all__ = [
    "AuditVerdict",
    "Claim",
    "Drawn",
    "Seed",
    "Share",
    "Source",
    "by_turns",
    "chance_alike",
    "claims",
    "flips_of",
    "leans",
    "seed_honoured",
    "shares_of",
    "smallest_seen",
    "verdict_of",
    "worth_more",
]

AuditVerdict = Literal[
    "checker",
    "load",
    "cold_cache",
    "replica",
    "model",
    "parameter",
    "nondeterminism",
    "sampling",
    "steady",
    "undecided",
]
Source = Literal["load", "cold_cache", "replica", "model", "parameter"]
Seed = Literal["honoured", "ignored", "not_known"]

FEWEST = 8  # runs: fewer that are alike say nothing of what varies
MOSTLY = 0.5  # of the variance: from here on the check, or what is left at temperature 0, is what it mostly is
# When a comparison is worth more pairs, fitted by simulation to planted faults at rates of 5 to 35 % and 300 calls:
FAR = 96  # pairs: what is open then is left open
DOUBT = 12  # pairs that get the benefit of the doubt once two differ
DOUBT_COLD = 36  # for a cold cache, which no other arm tells anything about, and which strikes some calls only
LEAN = 0.6  # standard errors from no difference: what leans less is left open
LATE, LEAN_LATE = 24, 1.4  # and by how much it must lean after so many pairs
LEAN_AFTER = 2.5  # and once another difference was shown
CROWDED = 20  # pairs after which a comparison gives way to those that lean more, if the calls do not reach for all
CHOOSE = ("temperature", "top_p", "top_k", "min_p", "typical_p")  # they set how much is left to chance: no fault


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the runs of one arm came to, in the order drawn: outcome words, and what each answered (None: nothing)."""

    outcomes: tuple[str, ...] = ()
    said: tuple[str | None, ...] = ()

    @property
    def evidence(self) -> Evidence:
        return Evidence.of(list(self.outcomes))

    @property
    def distinct(self) -> int:
        """How many different answers there were."""
        return len({text for text in self.said if text is not None})

    @property
    def varies(self) -> bool:
        """Whether it both passed and failed."""
        return {"pass", "fail"} <= set(self.outcomes)


@dataclass(frozen=True, slots=True)
class Claim:
    """One arm held against what it differs from in one thing only.

    shown:      whether the two fail differently often; of all claims of an audit together, any is wrong with chance
                at most its alpha.
    difference: failure rate under the changed circumstance minus that without it; its range holds at every look.
    ruled_out:  a worsening by this much or more is excluded; None where the circumstance is worse.
    """

    arm: str
    against: str
    source: Source
    verdict: CompareVerdict
    difference: Est
    ruled_out: float | None
    pairs: int
    differing: int
    pairs_needed: int | None

    @property
    def shown(self) -> bool:
        return self.verdict in ("better", "worse")


@dataclass(frozen=True, slots=True)
class Share:
    """About how much of the variance of the outcome comes from a source. The range is a rough one, in 0...1."""

    source: str
    value: float
    low: float
    high: float


def claims(
    drawn: Mapping[str, Drawn], compared: Sequence[tuple[str, str, Source]], alpha: float = 0.05
) -> tuple[Claim, ...]:
    """Each arm against its other, by the coin test on interleaved pairs, valid at every look.

    Alpha is shared: each of k comparisons has two directions of alpha / 2k, so that one of all that are shown is
    wrong with chance at most alpha (Bonferroni).

    Args:    drawn: runs by arm; compared: (arm, against, source): the k-th runs of both are a pair.
    Assumes: runs of a pair were made near each other, in an order that no outcome decided.

    >>> runs = {"P": Drawn(("pass",) * 14), "L": Drawn(("fail",) * 14)}
    >>> [(c.arm, c.verdict, c.shown) for c in claims(runs, [("L", "P", "load")])]
    [('L', 'worse', True)]
    """
    out = []
    for arm, against, source in compared:
        pairs = list(zip(drawn[against].outcomes, drawn[arm].outcomes, strict=False))
        found: Compared = compare_path(pairs, alpha / (2 * len(compared)))
        differing = sum(a != b for a, b in pairs)
        out.append(
            Claim(
                arm,
                against,
                source,
                found.verdict,
                found.difference,
                found.smallest_drop,
                len(pairs),
                differing,
                found.pairs_needed,
            )
        )
    return tuple(out)


def by_turns(others: Sequence[Drawn]) -> Drawn:
    """Of the k-th runs always one, of each arm by turns, as far as it has one: what an arm like any of them is held
    against.

    >>> by_turns([Drawn(("pass", "pass", "fail")), Drawn(("fail", "fail"))]).outcomes
    ('pass', 'fail', 'fail')
    >>> by_turns([])
    Drawn(outcomes=(), said=())
    """
    taken: list[tuple[str, str | None]] = []
    for k in itertools.count():
        one = others[k % len(others)] if others else Drawn()
        if k >= len(one.outcomes):
            break
        taken.append((one.outcomes[k], one.said[k] if one.said else None))
    return Drawn(tuple(word for word, _ in taken), tuple(said for _, said in taken))


def worth_more(claims: Sequence[Claim], room: int) -> tuple[str, ...]:
    """The open comparisons that are worth more pairs, by arm, the one that leans most first.

    The first pairs get the benefit of the doubt, later ones must lean to one side by more than chance usually makes
    them. Where the calls that are left do not reach for all, by forecast, those that lean most get them.

    Args:    room: calls that are left. A pair costs two where it is held against an arm of its own, else one.

    >>> runs = {"P": Drawn(("pass", "fail") * 6), "L": Drawn(("fail",) * 12), "V": Drawn(("fail", "pass") * 6)}
    >>> found = claims(runs, [("L", "P", "load"), ("V", "P", "model")])
    >>> worth_more(found, 100)
    ('L',)
    """
    shown = any(claim.shown for claim in claims)
    chosen: list[Claim] = []
    cost = shared = 0.0
    for claim in sorted((c for c in claims if not c.shown), key=leans, reverse=True):
        doubt = DOUBT_COLD if claim.source == "cold_cache" else DOUBT
        least = max(LEAN if claim.pairs < LATE else LEAN_LATE, LEAN_AFTER if shown else 0.0)
        if claim.pairs >= FAR or not claim.differing or (claim.pairs >= doubt and leans(claim) < least):
            continue
        more = math.inf if claim.pairs_needed is None else claim.pairs_needed
        alone = claim.source == "cold_cache"
        both, together = cost + more * (2 if alone else 1), shared if alone else max(shared, more)
        if chosen and both + together > room and claim.pairs >= CROWDED:
            continue
        chosen.append(claim)
        cost, shared = both, together
    return tuple(claim.arm for claim in chosen)


def leans(claim: Claim) -> float:
    """How far a comparison lies from no difference, in standard errors."""
    return abs(claim.difference.value or 0.0) * claim.pairs / math.sqrt(max(1, claim.differing))


def flips_of(judged: Sequence[Sequence[str]]) -> tuple[int, float]:
    """Of how many outputs the same check said both pass and fail, and the variance that this adds to an outcome.

    The variance inside one output, unbiased: the mean over outputs judged at least twice.

    >>> flips_of([["pass", "fail"], ["pass", "pass"], ["fail", "fail"], ["pass", "pass"]])
    (1, 0.125)
    """
    flips, inside = 0, []
    for said in judged:
        known = [word == "fail" for word in said if word != "invalid"]
        flips += len(set(known)) > 1
        if len(known) > 1:
            rate = sum(known) / len(known)
            inside.append(rate * (1 - rate) * len(known) / (len(known) - 1))
    return flips, sum(inside) / len(inside) if inside else 0.0


def chance_alike(production: Drawn, others: Drawn) -> float:
    """How likely so many answers would all be equal if they were answers like the others, drawn in any order.

    Exact, given all the answers together: sum over texts of C(count, m) / C(N, m). 1 where they are not all equal.

    >>> round(chance_alike(Drawn(said=tuple("abcdefgh")), Drawn(said=("a",) * 6)), 4)
    0.0023
    >>> chance_alike(Drawn(said=("a",) * 8), Drawn(said=("a",) * 6)), chance_alike(Drawn(), Drawn(said=("a", "b")))
    (1.0, 1.0)
    """
    alike = [text for text in others.said if text is not None]
    texts = [text for text in production.said if text is not None] + alike
    m = len(alike)
    if m < 2 or others.distinct > 1:
        return 1.0
    return sum(math.comb(texts.count(text), m) for text in set(texts)) / math.comb(len(texts), m)


def seed_honoured(production: Drawn, seeded: Drawn, alpha: float = 0.05) -> Seed:
    """Whether one seed brought one answer. Two different answers refute it; that all are equal only shows it where
    that has a chance of at most alpha among answers like those without it.

    >>> seed_honoured(Drawn(said=tuple("abcdefgh")), Drawn(said=("a",) * 6))
    'honoured'
    >>> seed_honoured(Drawn(said=("a",) * 8), Drawn(said=("a",) * 6)), seed_honoured(Drawn(), Drawn(said=("a", "b")))
    ('not_known', 'ignored')
    """
    if seeded.distinct > 1:
        return "ignored"
    return "honoured" if chance_alike(production, seeded) <= alpha else "not_known"


def smallest_seen(n: int, chance: float = 0.95) -> float:
    """The smallest rate that shows itself at least once in n runs with this chance: what fewer could hide.

    >>> round(smallest_seen(59), 3), round(smallest_seen(20), 3), smallest_seen(0)
    (0.05, 0.139, 1.0)
    """
    return float(1 - (1 - chance) ** (1 / n)) if n else 1.0


def shares_of(
    production: Drawn, zero: Drawn | None, inside_check: float, shown: Sequence[Claim], alpha: float = 0.05
) -> tuple[Share, ...]:
    """About how the variance of the outcome divides: check, what is left at temperature 0, chance, and circumstances.

    A circumstance that was shown to matter is taken to be met by half of the calls, so that a difference d of its two
    rates adds d^2 / 4. What is not shown gets no share. The shares add up to 1; empty where nothing varies.

    Args: zero: the runs at temperature 0; inside_check: the variance inside one output, `flips_of`.

    >>> half = Drawn(("pass", "fail") * 10)
    >>> [(s.source, s.value) for s in shares_of(half, Drawn(("pass",) * 8), 0.0, ())]
    [('sampling', 1.0)]
    """
    seen = production.evidence
    rate = seen.estimate or 0.0
    low, high = interval_of(seen, alpha)
    parts: dict[str, tuple[float, float, float]] = {}
    for claim in shown:
        d, ends = claim.difference.value or 0.0, (claim.difference.low or 0.0, claim.difference.high or 0.0)
        near = 0.0 if ends[0] <= 0 <= ends[1] else min(abs(ends[0]), abs(ends[1]))
        part = (d * d / 4, near**2 / 4, max(abs(ends[0]), abs(ends[1])) ** 2 / 4)
        parts[claim.source] = max(parts.get(claim.source, part), part)
    alone = _variance(rate)
    ends_of_alone = (
        min(_variance(low), _variance(high)),
        0.25 if low <= 0.5 <= high else max(_variance(low), _variance(high)),
    )
    check = min(inside_check, alone) if production.varies else inside_check
    if inside_check and production.distinct == 1:
        check = alone  # one answer throughout: whatever varies is the check
    left = 0.0
    if zero is not None and zero.varies and zero.distinct > 1:
        left = min(max(0.0, _variance(zero.evidence.estimate or 0.0) - check), max(0.0, alone - check))
    chance = max(0.0, alone - check - left)
    for name, part_of in (("checker", check), ("nondeterminism", left), ("sampling", chance)):
        if part_of > 0:
            scale = part_of / alone if alone else 1.0
            parts[name] = (part_of, scale * ends_of_alone[0], scale * ends_of_alone[1])
    total = sum(value for value, _, _ in parts.values())
    if not total:
        return ()
    found = []
    for name, (value, least, most) in parts.items():
        rest = total - value
        found.append(Share(name, value / total, least / (least + rest) if least else 0.0, most / (most + rest)))
    return tuple(sorted(found, key=lambda share: -share.value))


def _variance(rate: float) -> float:
    return rate * (1 - rate)


def verdict_of(
    production: Drawn, zero: Drawn | None, flips: int, shares: Sequence[Share], shown: Sequence[Claim]
) -> AuditVerdict:
    """The one word. What was shown comes before what is left over.

    `checker`: the same output was judged both ways, and that is at least half of the variance. A circumstance: the
    one shown with the largest difference (parameters that only set how much is left to chance do not count).
    `nondeterminism`: at temperature 0 it still both passed and failed. `sampling`: none of these, it varies, and at
    temperature 0 its outcome did not. `steady`: nothing varied in 8 runs or more. `undecided`: the rest.
    """
    of = {share.source: share.value for share in shares}
    if flips and of.get("checker", 0.0) >= MOSTLY:
        return "checker"
    faults = [c for c in shown if not (c.source == "parameter" and _only_chance(c.arm))]
    if faults:
        return max(faults, key=lambda c: abs(c.difference.value or 0.0)).source
    if flips and of.get("checker", 0.0) >= max(of.values()):
        return "checker"
    # A check that flips would make one and the same answer vary too.
    if (
        zero is not None
        and zero.varies
        and zero.distinct > 1
        and (not flips or of.get("nondeterminism", 0.0) >= MOSTLY)
    ):
        return "nondeterminism"
    if production.varies:
        return "sampling" if zero is not None and zero.evidence.n > zero.evidence.invalid else "undecided"
    judged = production.evidence.n - production.evidence.invalid
    return "steady" if judged >= FEWEST and not flips else "undecided"


def _only_chance(arm: str) -> bool:
    return arm.partition("=")[0].removeprefix("params.") in CHOOSE
