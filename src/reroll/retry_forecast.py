"""What a retry step would deliver, foretold from runs without it: before any call is paid for.

Each input fails with a chance of its own, and retries help only where that chance is well below one.
So the counts are taken by input, and how much inputs differ is weighed along with the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from reroll.beta import Floats, check_alpha
from reroll.evidence import Est
from reroll.population import densest_iccs, posterior

__all__ = ["Flags", "RetryForecast", "after_retries", "foretell_retry"]

MOST_TIMES = 20
_DRAWS = 8_192  # quantiles at 2.5 % then rest on 200 draws
_SEED = 20_261

Ends = dict[str, Floats]  # what may come of it, by name: (S,) each


@dataclass(frozen=True, slots=True)
class Flags:
    """Runs of one input without the step: bad or good, and whether the step would have asked again (flagged)."""

    bad_flagged: int = 0
    bad_through: int = 0
    good_flagged: int = 0
    good_through: int = 0

    def __post_init__(self) -> None:
        if min(self.bad_flagged, self.bad_through, self.good_flagged, self.good_through) < 0:
            raise ValueError(f"counts are 0 or more, got {self}")

    @classmethod
    def of(cls, runs: Iterable[tuple[bool, bool]]) -> Flags:
        """The counts of these runs, each as (bad, flagged).

        >>> Flags.of([(True, True), (False, False), (False, False)])
        Flags(bad_flagged=1, bad_through=0, good_flagged=0, good_through=2)
        """
        seen = Counter(runs)
        return cls(seen[True, True], seen[True, False], seen[False, True], seen[False, False])

    @property
    def bad(self) -> int:
        return self.bad_flagged + self.bad_through

    @property
    def n(self) -> int:
        return self.bad + self.good_flagged + self.good_through


@dataclass(frozen=True, slots=True)
class RetryForecast:
    """What users would get, on average over inputs like these; each with the range that the counts leave open.

    before:  share of bad answers without the step.
    after:   share of bad answers with it; where the last try is flagged, too, it is delivered all the same.
    blocked: share of bad answers where a guard behind the step withholds what is still flagged.
    refused: share that such a guard would withhold.
    calls:   mean calls for one answer.
    spread:  how much inputs differ: 0 all alike, 1 each always or never bad. None where no input ran twice.
    """

    times: int
    before: Est
    after: Est
    blocked: Est
    refused: Est
    calls: Est
    spread: float | None
    alpha: float


def after_retries(p: float, tpr: float, fpr: float, times: int, icc: float = 0.0) -> float:
    """The share of bad answers that a retry step delivers, the last try included whatever it looks like.

    Args:    p: chance that a try is bad; tpr, fpr: chance of a flag on a bad and on a good one; icc: share of the
             variance that is between inputs, whose chances follow a Beta distribution.
    Raises:  ValueError: a chance outside 0...1, or times outside 1...20.

    >>> [round(after_retries(0.1, 1, 0, times=2, icc=icc), 4) for icc in (0, 0.5, 1)]
    [0.001, 0.0385, 0.1]
    """
    for name, chance in (("p", p), ("tpr", tpr), ("fpr", fpr), ("icc", icc)):
        if not 0 <= chance <= 1:
            raise ValueError(f"{name} is a chance in 0...1, got {chance!r}")
    _check_times(times)
    one = [np.array([chance], np.float64) for chance in (p, icc, tpr, fpr)]
    return float(_ends(one[0], one[1], one[2], one[3], times)["after"][0])


def foretell_retry(inputs: Sequence[Flags], times: int, alpha: float = 0.05) -> RetryForecast:
    """What a retry step of so many `times` would deliver, out of stored runs of these inputs without it.

    Of several inputs it speaks of the population that they are drawn from, and so of them; of one input, of that one.

    Args:    inputs: the runs of each; alpha: the ranges hold with 1 - alpha each.
    Raises:  ValueError: no runs, alpha or times out of range.
    Assumes: given the input, tries are independent, and flags err alike on all inputs.
    Source:  Beta-binomial population as `population.posterior`; Jeffreys priors for the flags, propagated.

    >>> found = foretell_retry([Flags(bad_flagged=10, good_through=0)] + [Flags(good_through=10)] * 9, times=3)
    >>> round(found.after.value, 2), found.spread > 0.8  # one input that always fails: trying again does not help
    (0.09, True)
    """
    check_alpha(alpha)
    _check_times(times)
    counted = [one for one in inputs if one.n]
    if not counted:
        raise ValueError("no runs, so nothing can be foretold; give runs of one input at least")
    rng = np.random.default_rng(_SEED)  # the same counts are always told the same
    bad, runs = sum(one.bad for one in counted), sum(one.n for one in counted)
    mean, icc, spread, alike = _population(counted, alpha, rng)
    tpr, fpr = _flag_rates(counted, rng, "middle")
    middle = _ends(mean, icc, tpr, fpr, times)
    # What was never seen may never be: the low ends have no false alarms and inputs that are all alike, where the
    # counts allow it. Averages over what may be would leave the likeliest truths out. Misses let bad answers through,
    # and save calls: so each end is taken with the fewest and with the most of them.
    sharp, quiet = _flag_rates(counted, rng, "low")
    blunt, loud = _flag_rates(counted, rng, "high")
    least = np.zeros(_DRAWS) if not bad else mean
    low = [_ends(least, np.zeros(_DRAWS) if alike else icc, caught, quiet, times) for caught in (sharp, blunt)]
    high = [_ends(mean, icc, caught, loud, times) for caught in (sharp, blunt)]
    if len(counted) > 1 and (not bad or spread is None):
        # No run tells how much inputs differ: each may be always or never bad, and then counts once.
        each = rng.beta(1.0 + sum(one.bad == one.n for one in counted), len(counted), _DRAWS)
        high += [_ends(np.maximum(mean, each), np.ones(_DRAWS), caught, loud, times) for caught in (sharp, blunt)]
    said = {name: _est(name, middle, low, high, runs, alpha) for name in middle}
    return RetryForecast(times=times, spread=spread, alpha=alpha, **said)


def _population(
    counted: Sequence[Flags], alpha: float, rng: np.random.Generator
) -> tuple[Floats, Floats, float | None, bool]:
    """Mean and spread of the inputs, as the counts leave them open: (S,) each; the spread to be shown; and whether
    the inputs may be all alike."""
    bad, runs = sum(one.bad for one in counted), sum(one.n for one in counted)
    if len(counted) == 1 or max(one.n for one in counted) < 2:
        known_spread = 0.0 if len(counted) == 1 else None
        return rng.beta(0.5 + bad, 0.5 + runs - bad, _DRAWS), np.zeros(_DRAWS), known_spread, True
    known = posterior([(one.bad, one.n) for one in counted])
    chosen = rng.choice(len(known.weight), _DRAWS, p=known.weight)
    alike = densest_iccs(known, alpha)[0] == 0
    return known.mean[chosen], known.icc[chosen], float(known.weight @ known.icc), alike


def _flag_rates(counted: Sequence[Flags], rng: np.random.Generator, side: str) -> tuple[Floats, Floats]:
    """How often bad and good tries are flagged, as the counts leave it open; on a side, what was not seen is not, or
    (high) may be as often as Clopper and Pearson allow."""
    caught, missed = sum(o.bad_flagged for o in counted), sum(o.bad_through for o in counted)
    false, right = sum(o.good_flagged for o in counted), sum(o.good_through for o in counted)

    def share(hits: int, rest: int) -> Floats:
        if side == "low" and not hits:
            return np.zeros(_DRAWS)
        prior = 1.0 if side == "high" and not hits else 0.5
        return rng.beta(hits + prior, rest + (0.0 if prior == 1.0 and rest else 0.5), _DRAWS)

    return 1 - share(missed, caught), share(false, right)


def _est(name: str, middle: Ends, low: Sequence[Ends], high: Sequence[Ends], n: int, alpha: float) -> Est:
    least = min(float(np.quantile(one[name], alpha / 2)) for one in (middle, *low))
    most = max(float(np.quantile(one[name], 1 - alpha / 2)) for one in (middle, *high))
    return Est(float(middle[name].mean()), least, most, n)


def _ends(mean: Floats, icc: Floats, tpr: Floats, fpr: Floats, times: int) -> Ends:
    """What is delivered, for every (S,) population and detector: exact, since all of it is polynomials in p.

    A try is flagged with f = fpr + p (tpr - fpr), and bad and let through with b = p (1 - tpr).
    """
    moments = _moments(mean, icc, times + 1)
    flagged = np.stack([fpr, tpr - fpr], axis=1)
    through = np.stack([np.zeros_like(tpr), 1 - tpr], axis=1)
    held = np.stack([np.zeros_like(tpr), tpr], axis=1)
    power = np.ones((len(tpr), 1))
    bad, calls = np.zeros(len(tpr)), np.zeros(len(tpr))
    for k in range(times + 1):
        bad += _expected(_times(power, through), moments)
        calls += _expected(power, moments)
        if k < times:
            power = _times(power, flagged)
    last = _expected(_times(power, held), moments)
    refused = _expected(_times(power, flagged), moments)
    clip = np.clip
    return {
        "before": moments[:, 1],
        "after": clip(bad + last, 0, 1),
        "blocked": clip(bad, 0, 1),
        "refused": clip(refused, 0, 1),
        "calls": calls,
    }


def _times(a: Floats, b: Floats) -> Floats:
    """The products of two polynomials, row by row: coefficients from the constant on."""
    out: Floats = np.zeros((len(a), a.shape[1] + b.shape[1] - 1))
    for j in range(b.shape[1]):
        out[:, j : j + a.shape[1]] += a * b[:, j : j + 1]
    return out


def _expected(polynomial: Floats, moments: Floats) -> Floats:
    total: Floats = (polynomial * moments[:, : polynomial.shape[1]]).sum(axis=1)
    return total


def _moments(mean: Floats, icc: Floats, most: int) -> Floats:
    """The moments 0 to `most` of Beta populations: (S, most + 1). Source: Skellam 1948."""
    out: Floats = np.ones((len(mean), most + 1))
    for j in range(most):
        at = mean if j == 0 else (mean * (1 - icc) + j * icc) / (1 - icc + j * icc)
        out[:, j + 1] = out[:, j] * at
    return out


def _check_times(times: int) -> None:
    if not 1 <= times <= MOST_TIMES:
        raise ValueError(f"times must lie in 1...{MOST_TIMES}, got {times}")
