"""Which words of a failing completion go with failure among fresh samples, where nothing can be continued or forced.

This is an association: samples with the word at that place fail more often than those without.  It does not say
that the word is to blame, because what came before the word differs too.  Samples are aligned to the failing
completion; all positions are tested at once, at one error chance for all of them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Literal

import numpy as np
import numpy.typing as npt

from reroll.evidence import Est
from reroll.verdict import certify_path

__all__ = [
    "FIRST_LOOK",
    "LAST_LOOK",
    "Association",
    "AssociationVerdict",
    "WordTest",
    "aligned",
    "associations",
    "look_alpha",
    "look_at",
    "look_from",
    "word_test",
]

AssociationVerdict = Literal["associated", "weak", "doomed", "undecided"]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

FIRST_LOOK, LAST_LOOK = 32, 2048
_LEAST = 5  # samples with and without a word, to say anything about it
_PERMUTED = 2000
_EARLY = (0.05, 0.1, 0.6)  # shares of alpha for the looks at 32, 64 and 128 samples; later ones halve what is left
_FAR = 16  # times as many samples: who needs more than that is told that there is no end in sight


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


@dataclass(frozen=True, slots=True)
class WordTest:
    """All words of one failing completion, tested together on the samples of one look.

    verdict:   `associated`: the strongest word goes with failure, by `least` of success or more; `weak`: it does, by
               less; `doomed`: the request is shown to succeed in less than `doomed` of runs, whatever it says;
               `undecided`: none of these.
    words:     every word that could be tested, the strongest first; untested: how many could not, because nearly all
               samples have them or nearly none.
    p_value:   chance that the strongest of all words looks this strong if none goes with failure; None: none tested.
    alpha:     this look's share of the error chance, which over all looks sums to the one asked for. `doomed` is
               ever wrong with as much again.
    more:      samples more until the look that would show the strongest word, if what is seen stays as it is; None:
               no end in sight. 0 where it is decided.
    """

    verdict: AssociationVerdict
    words: tuple[Association, ...]
    untested: int
    p_value: float | None
    alpha: float
    success: Est
    samples: int
    invalid: int
    more: int | None

    def shown(self, word: Association) -> bool:
        """Whether this word itself is shown to go with failure, among all that were tested."""
        return self.verdict in ("associated", "weak") and word.p_value <= self.alpha


def look_at(samples: int) -> int:
    """How many of so many samples are looked at: 32, 64, 128 and so on, 0 for fewer.

    Looks lie at fixed numbers, so that asking again after a few more samples is no new chance to be wrong.

    >>> look_at(31), look_at(32), look_at(200), look_at(10_000)
    (0, 32, 128, 2048)
    """
    return 0 if samples < FIRST_LOOK else min(LAST_LOOK, 1 << (samples.bit_length() - 1))


def look_from(samples: int) -> int:
    """The first look that takes in so many samples, the last one for more.

    >>> look_from(1), look_from(128), look_from(129)
    (32, 128, 256)
    """
    return FIRST_LOOK if samples <= FIRST_LOOK else min(LAST_LOOK, 1 << (samples - 1).bit_length())


def look_alpha(alpha: float, look: int) -> float:
    """The error chance of one look; over all looks it sums to alpha.

    >>> [round(look_alpha(0.05, n), 5) for n in (32, 64, 128, 256, 512)]
    [0.0025, 0.005, 0.03, 0.00625, 0.00313]
    """
    number = (look // FIRST_LOOK).bit_length() - 1
    late = number - len(_EARLY) + 1
    return alpha * (_EARLY[number] if late <= 0 else (1 - sum(_EARLY)) / 2**late)


def word_test(
    failing: Sequence[str],
    samples: Sequence[tuple[Sequence[str], str]],
    rng: np.random.Generator,
    alpha: float = 0.05,
    least: float = 0.3,
    doomed: float = 0.15,
) -> WordTest:
    """What the samples of the newest look say of the words of a failing completion.

    Args:    samples: (words, outcome) in the order drawn; those after the look are not used, invalid ones neither pass
             nor fail; rng, least: as in `associations`.
    Assumes: samples drawn independently, the failing completion not among them.
    """
    look = look_at(len(samples))
    here = samples[:look]
    spent = look_alpha(alpha, look) if look else 0.0
    passed = sum(outcome == "pass" for _, outcome in here)
    invalid = sum(outcome not in ("pass", "fail") for _, outcome in here)
    seen = _tested(failing, here, rng)
    first = seen.words[0] if seen.words else None
    verdict: AssociationVerdict = "undecided"
    if certify_path([outcome for _, outcome in here], doomed, alpha).verdict == "not_met":
        verdict = "doomed"
    elif first is not None and first.p_value <= spent:
        strong = any(w.p_value <= spent and (w.lost.value or 0.0) >= least for w in seen.words)
        verdict = "associated" if strong else "weak"
    judged = look - invalid
    rate = np.repeat([True, False], [passed, judged - passed])
    return WordTest(
        verdict=verdict,
        words=seen.words,
        untested=len(failing) - len(seen.words),
        p_value=None if first is None else first.p_value,
        alpha=spent,
        success=_rate(rate) if judged else Est(None, 0.0, 1.0, 0),
        samples=look,
        invalid=invalid,
        more=_more(seen, alpha, look, len(samples)) if verdict == "undecided" else 0,
    )


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
    words = _tested(failing, samples, rng).words
    return tuple(one for one in words if one.p_value <= alpha and (one.lost.value or 0.0) >= least)


# ---------------------------------------------------------------- helpers


@dataclass(frozen=True, slots=True)
class _Tested:
    """words: strongest first; strongest: the best score seen; shuffled: the best ones of shuffled outcomes, sorted."""

    words: tuple[Association, ...] = ()
    strongest: float = 0.0
    shuffled: Floats = field(default_factory=lambda: np.zeros(0))


def _tested(failing: Sequence[str], samples: Sequence[tuple[Sequence[str], str]], rng: np.random.Generator) -> _Tested:
    """Every word that enough samples have and lack, with its p-value among all of them."""
    judged = [(tokens, outcome == "pass") for tokens, outcome in samples if outcome in ("pass", "fail")]
    if not judged or not failing:
        return _Tested()
    has = np.array([aligned(failing, tokens) for tokens, _ in judged])
    passed = np.array([ok for _, ok in judged])
    tested = np.flatnonzero((has.sum(axis=0) >= _LEAST) & ((~has).sum(axis=0) >= _LEAST))
    if not len(tested) or passed.all() or not passed.any():
        return _Tested()
    table = has[:, tested].astype(np.float64)
    seen = _scores(table, passed.astype(np.float64)[None, :])[0]
    shuffled = rng.permuted(np.tile(passed.astype(np.float64), (_PERMUTED, 1)), axis=1)
    strongest = np.sort(_scores(table, shuffled).max(axis=1))
    # The observed order counts as one of the permutations, so that no p-value is 0.
    p_values = (1 + _PERMUTED - np.searchsorted(strongest, seen - 1e-12)) / (_PERMUTED + 1)
    words = []
    for i in np.argsort(-seen, kind="stable"):
        k = int(tested[i])
        words.append(_association(k + 1, failing[k], has[:, k], passed, float(p_values[i])))
    return _Tested(tuple(words), float(seen.max()), strongest)


def _more(seen: _Tested, alpha: float, look: int, have: int) -> int | None:
    """Samples until the first look that would show the strongest word; a score grows with the root of the samples."""
    if not look:
        return FIRST_LOOK - have
    if not seen.words or seen.strongest <= 0:
        return None
    later = look * 2
    while later <= min(LAST_LOOK, _FAR * look):
        bar = float(np.quantile(seen.shuffled, 1 - look_alpha(alpha, later)))
        if seen.strongest * (later / look) ** 0.5 >= bar:
            return later - have
        later *= 2
    return None


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
