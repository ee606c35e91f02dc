"""A checker's own errors, measured from what people say of the same outputs, and carried into every rate that uses it.

People label some outputs that the checker flagged and some that it passed.
How often a flag is right, and a pass wrong, then turns the share of flags
into a failure rate.  The share of flags alone is never one.

These intervals are for one planned look.  A certificate that holds at
every look, and needs a person for the flags only, is in `adjudicate`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from reroll.beta import (
    SURELY_0,
    SURELY_1,
    Beta,
    Floats,
    check_alpha,
    jeffreys,
    jeffreys_interval,
    spread_limits,
)
from reroll.evidence import Est, Evidence, interval_of

__all__ = [
    "Agreement",
    "Labelled",
    "Measured",
    "agreement",
    "corrected_rate",
    "labels_needed",
    "measure",
    "transported_rate",
    "which_to_label",
]

_NONE = Evidence()
_Counts = tuple[float, float, float]  # bad, unsure, labels; fractions in forecasts


@dataclass(frozen=True, slots=True)
class Labelled:
    """What a checker said of all outputs, and what people said of some of them.

    judged:  all outputs; `failures` are flags, `invalid` those on which the checker could not tell.
    flagged, passed: labels on flagged and on passed outputs; `failures` are
             outputs that a person calls bad, `invalid` those where they were unsure.

    Raises:  ValueError: more labels on a side than outputs there.
    Assumes: within each side the labelled outputs are a random choice (`which_to_label`).
    """

    judged: Evidence
    flagged: Evidence = _NONE
    passed: Evidence = _NONE

    def __post_init__(self) -> None:
        for side, labels, outputs in (
            ("flagged", self.flagged.n, self.judged.failures),
            ("passed", self.passed.n, self.judged.passes),
        ):
            if labels > outputs:
                raise ValueError(
                    f"there are {labels} labels on {outputs} {side} outputs; count only outputs that were judged, "
                    "each once"
                )

    @property
    def labels(self) -> int:
        """Labels on both sides together."""
        return self.flagged.n + self.passed.n


@dataclass(frozen=True, slots=True)
class Measured:
    """How far a checker can be believed, and the failure rate that follows.

    rate:          the corrected failure rate; `n` is the number of judged outputs.
    flag_rate:     how often the checker flags. NOT a failure rate.
    sensitivity:   the share of bad outputs that it flags; specificity: of good ones that it passes.
    flag_right:    the share of its flags that are right; pass_wrong: of its passes that are wrong.
    n of the four: labels behind them.
    """

    rate: Est
    flag_rate: Est
    sensitivity: Est
    specificity: Est
    flag_right: Est
    pass_wrong: Est
    alpha: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often a checker says the same of the same output again.

    same:          the share of equal verdicts; its interval holds at every look.
    beyond_chance: 1: always the same; 0: as often as two coins of its flag
                   rate; below: less. None where it says the same of everything.
    """

    same: Est
    beyond_chance: Est


# ---------------------------------------------------------------- the checker's errors


@lru_cache(maxsize=1024)
def measure(labelled: Labelled, alpha: float = 0.05) -> Measured:
    """How good the checker is and how often the outputs are bad, each with the range that the labels leave open.

    At one planned look each range covers about 1 - alpha (docs/statistics.md
    has the coverage measured).  A side with outputs but without a label may
    hold anything, and the ranges say so.

    Args:    alpha: chance of a miss, half a side.
    Raises:  ValueError: alpha out of range.
    Assumes: the labels are right, and random within flags and within passes.
    Source:  Tenenbein 1970, double sampling; Jeffreys priors, propagated.

    >>> found = measure(Labelled(Evidence(180, 2000), Evidence(46, 100), Evidence(1, 100)))
    >>> round(found.rate.value, 4), round(found.rate.low, 3), round(found.rate.high, 3)
    (0.0505, 0.037, 0.085)
    """
    check_alpha(alpha)
    return Measured(
        rate=corrected_rate(labelled, alpha),
        flag_rate=_share(labelled.judged, alpha),
        sensitivity=_sensitivity(labelled, alpha),
        specificity=_sensitivity(_mirrored(labelled), alpha),
        flag_right=_share(labelled.flagged, alpha),
        pass_wrong=_share(labelled.passed, alpha),
        alpha=alpha,
    )


@lru_cache(maxsize=4096)
def corrected_rate(labelled: Labelled, alpha: float = 0.05) -> Est:
    """The failure rate: flags times how often a flag is right, plus passes times how often a pass is wrong.

    `value` is None while a side with outputs has no label.  Outputs that the
    checker could not judge, and labels of the unsure, count as good in `low`
    and as bad in `high`.

    Raises, Assumes, Source: as `measure`.

    >>> corrected_rate(Labelled(Evidence(failures=10, n=100)))
    Est(value=None, low=0.0, high=1.0, n=100)
    """
    check_alpha(alpha)
    judged = labelled.judged
    decided = judged.failures + judged.passes
    right, wrong = labelled.flagged.estimate, labelled.passed.estimate
    value = None
    if decided and (right is not None or not judged.failures) and (wrong is not None or not judged.passes):
        q = judged.failures / decided
        value = q * (right or 0.0) + (1 - q) * (wrong or 0.0)
    if not labelled.labels:
        return Est(value, 0.0, 1.0, judged.n)
    low, high = _rate_ends(judged, _counts(labelled.flagged), _counts(labelled.passed), alpha)
    return Est(value, low, high, judged.n)


def labels_needed(labelled: Labelled, width: float, alpha: float = 0.05) -> int | None:
    """How many more labels, half on flags, make the interval of the corrected rate about this narrow; None if none do.

    A forecast: it takes the labels to come to be like those seen, so there
    must be one on each side that has outputs.  The outputs are given: where
    labelling all of them leaves a wider interval, more must be judged.

    Args:    width: high - low, in (0, 1).
    Raises:  ValueError: width or alpha out of range.

    >>> labelled = Labelled(Evidence(180, 2000), Evidence(12, 25), Evidence(1, 25))
    >>> 200 < labels_needed(labelled, width=0.05) < 400
    True
    """
    check_alpha(alpha)
    if not 0 < width < 1:
        raise ValueError(f"width is high - low of a rate, between 0 and 1, got {width!r}")

    def narrow(more: int) -> bool:
        return _width(labelled, more, alpha) <= width

    if corrected_rate(labelled, alpha).value is None:
        return None
    if narrow(0):
        return 0
    most = labelled.judged.failures + labelled.judged.passes - labelled.labels
    if most < 1 or not narrow(most):
        return None
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if narrow(middle) else (middle, high)
    return high


def which_to_label(
    flagged: Collection[str], passed: Collection[str], have: Collection[str], k: int, seed: str = ""
) -> list[str]:
    """The next k outputs to show a person: half of all labels on flags, random within flags and within passes.

    The order is fixed by the ids and the seed alone, so a session that
    breaks off goes on where it stopped; nothing about the outputs decides it.

    Args:    flagged, passed: ids; have: those labelled already; k: at most so many more.
    Raises:  ValueError: k below 1, or an id that is flagged and passed.

    >>> len(which_to_label({"a", "b"}, {"c", "d", "e"}, have={"c"}, k=2))
    2
    """
    if k < 1:
        raise ValueError(f"k is how many to label, at least 1, got {k}")
    if both := set(flagged) & set(passed):
        raise ValueError(f"an output is flagged or passed, not both; got {min(both)!r} in both")
    have = set(have)
    sides = [sorted(set(side) - have, key=lambda id: _shuffled(seed, id)) for side in (flagged, passed)]
    had = [len(have & set(side)) for side in (flagged, passed)]
    on_flags = _on_flags(had[0], had[1], k, len(sides[0]), len(sides[1]))
    chosen = sides[0][:on_flags] + sides[1][: k - on_flags]
    return sorted(chosen, key=lambda id: _shuffled(f"shown {seed}", id))  # mixed anew: the order gives no flag away


def agreement(first: Sequence[str], again: Sequence[str], alpha: float = 0.05) -> Agreement:
    """How often judging the same outputs again gives the same verdict, and how much of that is not chance.

    Args:    first, again: outcomes of the same outputs, in the same order; an
             `invalid` one counts as different in `low` and as the same in `high`.
    Raises:  ValueError: different lengths, an unknown outcome, or alpha out of range.
    Source:  Scott 1955 (pi), the two judgements having one flag rate; Dirichlet(1/2) propagated.

    >>> agreement(["pass", "fail", "fail"], ["pass", "fail", "pass"]).same.n
    3
    """
    check_alpha(alpha)
    if len(first) != len(again):
        raise ValueError(f"the two judgements must be of the same outputs, got {len(first)} and {len(again)}")
    Evidence.of(first), Evidence.of(again)  # every outcome is a known one
    pairs = [p for p in zip(first, again, strict=True) if "invalid" not in p]
    differ, both = sum(a != b for a, b in pairs), pairs.count(("fail", "fail"))
    counted = Evidence(differ, len(first), len(first) - len(pairs))
    low, high = interval_of(counted, alpha)
    same = Est(1 - differ / len(pairs) if pairs else None, 1 - high, 1 - low, len(first))
    return Agreement(same, _beyond_chance(differ, both, len(pairs), alpha))


# ---------------------------------------------------------------- rates from other people's labels


def transported_rate(judged: Evidence, on_bad: Evidence, on_good: Evidence, alpha: float = 0.05) -> Est:
    """The failure rate by a checker whose errors were measured on OTHER outputs.

    Only for that: with labels on these outputs `corrected_rate` is right
    under weaker assumptions, and narrower.  Where the checker may be no
    better than a coin, everything stays possible.

    Args:    judged: `failures` are flags; on_bad: outputs known to be bad, `failures`
             are those it flagged; on_good: known to be good, `failures` are those it passed.
    Raises:  ValueError: alpha out of range.
    Assumes: the same sensitivity and specificity there and here.
    Source:  Rogan & Gladen 1978; Lang & Reiczigel 2014 for why the priors must be carried.

    >>> round(transported_rate(Evidence(90, 1000), Evidence(45, 50), Evidence(96, 100)).value, 4)
    0.0581
    """
    check_alpha(alpha)
    value = None
    if (q := judged.estimate) is not None and (se := on_bad.estimate) is not None:
        sp = on_good.estimate
        if sp is not None and se + sp > 1:
            value = min(1.0, max(0.0, (q + sp - 1) / (se + sp - 1)))
    ends = []
    for high in (False, True):

        def rate(q: Floats, se: Floats, sp: Floats, *, high: bool = high) -> Floats:
            useful = se + sp - 1
            with np.errstate(divide="ignore", invalid="ignore"):
                solved = np.clip((q + sp - 1) / useful, 0, 1)
            return np.where(useful > 0, solved, float(high))

        # More flags mean a higher rate; a checker that catches less, or passes good outputs more often, too.
        shapes = [_side(judged, high), _side(on_bad, not high), _side(on_good, high)]
        ends.append(spread_limits(rate, shapes, alpha)[high])
    return Est(value, ends[0], ends[1], judged.n)


# ---------------------------------------------------------------- helpers


def _share(evidence: Evidence, alpha: float) -> Est:
    """The failures' share, at one planned look, invalid ones taken both ways."""
    low, _ = jeffreys_interval(evidence.failures, evidence.n, alpha)
    _, high = jeffreys_interval(evidence.at_worst, evidence.n, alpha)
    return Est(evidence.estimate, low, high, evidence.n)


def _counts(labels: Evidence) -> _Counts:
    return labels.failures, labels.invalid, labels.n


def _shape(labels: _Counts, high: bool) -> Beta:
    """What is open about the share of bad ones on a side; without a label it may be anything."""
    bad, unsure, n = labels
    bad = min(bad + unsure, n) if high else bad
    # Where no bad one was seen, the prior alone must not raise `low`: a sum of two such priors lies above
    # a rate of 1 % in up to 12 % of all runs. Likewise `high` where all were bad.
    if bad == (n if high else 0):
        return SURELY_1 if high else SURELY_0
    return jeffreys(bad, n)


def _side(labels: Evidence, high: bool) -> Beta:
    return _shape(_counts(labels), high)


def _sensitivity(labelled: Labelled, alpha: float) -> Est:
    """The share of bad outputs that are flagged: labels were not drawn among the bad, so each side is weighed."""
    flagged, passed, judged = labelled.flagged, labelled.passed, labelled.judged
    if not labelled.labels:
        return Est(None, 0.0, 1.0, 0)

    def share(q: Floats, p: Floats, f: Floats) -> Floats:
        found = q * p
        return found / np.maximum(found + (1 - q) * f, 1e-300)

    q = jeffreys(judged.failures, judged.failures + judged.passes)
    low, _ = spread_limits(share, [q, _side(flagged, False), _side(passed, True)], alpha)
    _, high = spread_limits(share, [q, _side(flagged, True), _side(passed, False)], alpha)
    rate, right = corrected_rate(labelled, alpha).value, flagged.estimate or 0.0
    flags = judged.failures / max(1, judged.failures + judged.passes)
    return Est(flags * right / rate if rate else None, low, high, flagged.failures + passed.failures)


def _mirrored(labelled: Labelled) -> Labelled:
    """Good for bad and pass for flag: its sensitivity is the specificity."""

    def turned(evidence: Evidence) -> Evidence:
        return replace(evidence, failures=evidence.passes)

    return Labelled(turned(labelled.judged), turned(labelled.passed), turned(labelled.flagged))


def _rate_ends(judged: Evidence, flagged: _Counts, passed: _Counts, alpha: float) -> tuple[float, float]:
    """The interval of the corrected rate from labels on both sides."""
    q = jeffreys(judged.failures, judged.failures + judged.passes)
    shapes = [[q, _shape(flagged, high), _shape(passed, high)] for high in (False, True)]
    if not judged.invalid:
        if shapes[0] == shapes[1]:
            return spread_limits(_mixed, shapes[0], alpha)
        return spread_limits(_mixed, shapes[0], alpha)[0], spread_limits(_mixed, shapes[1], alpha)[1]
    unjudged = jeffreys(judged.invalid, judged.n)
    low, _ = spread_limits(lambda q, p, f, v: (1 - v) * _mixed(q, p, f), [*shapes[0], unjudged], alpha)
    _, high = spread_limits(lambda q, p, f, v: v + (1 - v) * _mixed(q, p, f), [*shapes[1], unjudged], alpha)
    return low, high


def _mixed(q: Floats, p: Floats, f: Floats) -> Floats:
    return q * p + (1 - q) * f


def _width(labelled: Labelled, more: int, alpha: float) -> float:
    """The width of the corrected rate's interval if so many more labels came out like those there are."""
    judged, flagged, passed = labelled.judged, labelled.flagged, labelled.passed
    on_flags = _on_flags(flagged.n, passed.n, more, judged.failures - flagged.n, judged.passes - passed.n)
    low, high = _rate_ends(judged, _grown(flagged, on_flags), _grown(passed, more - on_flags), alpha)
    return high - low


def _grown(labels: Evidence, more: int) -> _Counts:
    """The counts after more labels like these: of the shares that they leave open the middle one (Kerman 2011)."""
    if not labels.n:
        return 0, 0, 0
    bad = (labels.failures + 1 / 6) / (labels.n + 1 / 3)
    return labels.failures + more * bad, labels.invalid * (1 + more / labels.n), labels.n + more


def _on_flags(on_flags: int, on_passes: int, k: int, flags_left: int, passes_left: int) -> int:
    """How many of k more labels go to flags, so that half of all labels lie there, as far as outputs are left."""
    wanted = math.ceil((on_flags + on_passes + k) / 2) - on_flags
    return min(max(wanted, k - passes_left, 0), k, flags_left)


def _beyond_chance(differ: int, both: int, n: int, alpha: float) -> Est:
    flags = (both + differ / 2) / n if n else 0.0
    value = 1 - differ / n / (2 * flags * (1 - flags)) if 0 < flags < 1 else None
    if not n:
        return Est(None, None, None, 0)

    def corrected(d: Floats, b: Floats) -> Floats:
        p = (1 - d) * b + d / 2
        return 1 - d / np.maximum(2 * p * (1 - p), 1e-300)

    shapes = [(differ + 0.5, n - differ + 1.0), jeffreys(both, n - differ)]  # Dirichlet(1/2) over the three ends
    low, high = spread_limits(corrected, shapes, alpha)
    return Est(value, low, high if differ else 1.0, n)


def _shuffled(seed: str, id: str) -> bytes:
    return hashlib.blake2b(f"{seed}\0{id}".encode(), digest_size=16).digest()
