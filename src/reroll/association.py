"""Which words of a failing completion go with failure among fresh samples, where nothing can be continued or forced.

This is an association: samples with the word at that place fail more often than those without.  It does not say
that the word is to blame, because what came before the word differs too.  Samples are aligned to the failing
completion; all positions are tested at once, at one error chance for all of them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np
import numpy.typing as npt

from reroll.evidence import Est

__all__ = ["Association", "aligned", "associations"]

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_LEAST = 5  # samples with and without a word, to say anything about it
_PERMUTED = 2000


@dataclass(frozen=True, slots=True)
class Association:
    """One word of the failing completion and how it goes with failure.

    having, lacking: success rate of samples with the word there, and of those without (90 % interval of a
                     normal approximation for the difference is in `difference`, lacking minus having).
    lost:            the difference times the share of samples without the word: what having the word goes with,
                     set against all samples. It stands where a fork's drop would, and is no such drop.
    p_value:         chance that the strongest of ALL words looks this strong if none goes with failure.
    """

    position: int
    token: str
    having: Est
    lacking: Est
    difference: Est
    lost: Est
    p_value: float


def aligned(failing: Sequence[str], sample: Sequence[str]) -> Bools:
    """(L,): which tokens of the failing completion the sample has too, in the same order.

    >>> aligned(["on", "the", "9th"], ["so", "on", "9th"]).tolist()
    [True, False, True]
    """
    found = np.zeros(len(failing), np.bool_)
    for block in SequenceMatcher(None, failing, sample, autojunk=False).get_matching_blocks():
        found[block.a : block.a + block.size] = True
    return found


def associations(
    failing: Sequence[str],
    samples: Sequence[tuple[Sequence[str], str]],
    rng: np.random.Generator,
    alpha: float = 0.05,
    least: float = 0.3,
) -> tuple[Association, ...]:
    """The words that go with failure, strongest first; empty where none is shown at `alpha` for all together.

    Args:    samples: (tokens, outcome) of fresh samples; invalid ones are left out, they neither pass nor fail;
             rng: for the permutations that set the bar for the strongest of all words; least: of `lost`. A dud
             is looked for from 0.2 on, but words after a slide go with failure too: 0.2 named one in 28 % of
             cases without a dud, 0.3 in 8 % (benchmarks/tokens.py).
    Assumes: samples drawn independently, the failing completion not among them.
    Source:  Westfall & Young 1993, largest statistic under permuted outcomes.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha!r}")
    judged = [(tokens, outcome == "pass") for tokens, outcome in samples if outcome in ("pass", "fail")]
    if not judged or not failing:
        return ()
    has = np.array([aligned(failing, tokens) for tokens, _ in judged])
    passed = np.array([ok for _, ok in judged])
    tested = np.flatnonzero((has.sum(axis=0) >= _LEAST) & ((~has).sum(axis=0) >= _LEAST))
    if not len(tested) or passed.all() or not passed.any():
        return ()
    table = has[:, tested].astype(np.float64)
    seen = _scores(table, passed.astype(np.float64)[None, :])[0]
    shuffled = rng.permuted(np.tile(passed.astype(np.float64), (_PERMUTED, 1)), axis=1)
    strongest = _scores(table, shuffled).max(axis=1)
    # The observed order counts as one of the permutations, so that no p-value is 0.
    p_values = (1 + (strongest[None, :] >= seen[:, None] - 1e-12).sum(axis=1)) / (_PERMUTED + 1)
    found = []
    for i in np.argsort(-seen):
        k = int(tested[i])
        one = _association(k + 1, failing[k], has[:, k], passed, float(p_values[i]))
        if p_values[i] <= alpha and (one.lost.value or 0.0) >= least:
            found.append(one)
    return tuple(found)


# ---------------------------------------------------------------- helpers


def _scores(has: Floats, passed: Floats) -> Floats:
    """(P, T): standardised lack of success among the samples with each word, for each order of outcomes (P, N)."""
    n = len(has)
    share = has.mean(axis=0)
    rate = passed.mean(axis=1, keepdims=True)
    expected = n * share * rate
    spread = np.sqrt(n * share * (1 - share) * rate * (1 - rate)) + 1e-12
    scores: Floats = (expected - passed @ has) / spread
    return scores


def _association(position: int, token: str, has: Bools, passed: Bools, p_value: float) -> Association:
    having, lacking = _rate(passed[has]), _rate(passed[~has])
    assert having.value is not None
    assert lacking.value is not None
    gap = lacking.value - having.value
    spread = 1.645 * float(np.sqrt(_variance(passed[has]) + _variance(passed[~has])))
    low, high, without = max(-1.0, gap - spread), min(1.0, gap + spread), float((~has).mean())
    lost = Est(without * gap, without * low, without * high, len(passed))
    return Association(position, token, having, lacking, Est(gap, low, high, len(passed)), lost, p_value)


def _rate(passed: Bools) -> Est:
    rate = float(passed.mean())
    spread = 1.645 * float(np.sqrt(_variance(passed)))
    return Est(rate, max(0.0, rate - spread), min(1.0, rate + spread), len(passed))


def _variance(passed: Bools) -> float:
    n = len(passed)
    rate = (float(passed.sum()) + 1) / (n + 2)  # never 0: all of five may pass by chance
    return rate * (1 - rate) / n
