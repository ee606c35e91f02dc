"""What "detect it, then try again or block it" delivers: bad answers, refusals and attempts, computed and measured.

One attempt is bad with chance p, differently for different inputs.  A
detector flags a bad one with chance TPR and a good one with chance FPR;
what it flags is tried again, k times at most, and then refused.  Tries
remove refusals.  They never remove misses: what the detector lets
through is delivered at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from reroll.beta import SURELY_0, SURELY_1, Beta, Floats, check_alpha, clopper_pearson, jeffreys, spread_limits
from reroll.evidence import Est, Evidence, interval_of, upper_limit

__all__ = [
    "Beside",
    "Delivered",
    "DeliveredRange",
    "beside",
    "deliver",
    "deliver_range",
    "ever_more",
    "floor",
    "next_try_works",
    "passes_within",
]

MOST_RETRIES = 200
_MANY_NODES = 150  # for the limit of ever more retries, which is no polynomial
_GRID, _FEW_NODES = 128, 24  # for the spread inside of ranges: values of p, and inputs that stand for each


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one request ends with, on average over inputs; `bad + good + refused` is 1.

    bad, good:        chance that an answer is delivered and is bad, or good.
    refused:          chance that every attempt was flagged.
    attempts:         mean attempts per request.
    bad_if_delivered: share of bad ones among delivered answers; None if nothing ever is.
    """

    bad: float
    good: float
    refused: float
    attempts: float
    bad_if_delivered: float | None


@dataclass(frozen=True, slots=True)
class DeliveredRange:
    """The same from counts, each with the range that they leave open at one planned look.

    bad_at_most: `bad` is below this with chance 1 - alpha at least, whatever the
                 chances are: every ingredient at its worst at once.
    """

    bad: Est
    refused: Est
    attempts: Est
    bad_at_most: float
    alpha: float


@dataclass(frozen=True, slots=True)
class Beside:
    """Arithmetic beside direct measurement of the same pipeline, and which of them to believe.

    agree: whether a rate exists that both allow; None while nothing was measured.
    words: what to make of it, in a sentence or two.
    """

    computed: Est
    measured: Est
    agree: bool | None
    words: str


# ---------------------------------------------------------------- known chances


def deliver(p: float, tpr: float, fpr: float, retries: int, icc: float = 0.0) -> Delivered:
    """What `retries` more tries deliver, exact for a Beta spread of p over inputs.

    With icc 0 every input is alike; with icc 1 an input is always or never bad.

    Args:    p: chance that an attempt is bad; tpr, fpr: chance of a flag on a bad and
             on a good one; icc: share of the variance that is between inputs.
    Raises:  ValueError: a chance outside 0...1, or retries outside 0...200.
    Assumes: given the input, attempts are independent, and the detector errs alike on all inputs.
    Source:  docs/statistics.md; Gauss-Jacobi quadrature (Golub & Welsch 1969), exact for these polynomials.

    >>> d = deliver(p=0.05, tpr=0.8, fpr=0.05, retries=3)
    >>> round(d.bad, 4), round(d.refused, 5), round(d.attempts, 3)
    (0.011, 6e-05, 1.096)
    """
    _check_chances(p=p, tpr=tpr, fpr=fpr, icc=icc)
    _check_retries(retries)
    nodes, weights = _inputs(p, icc, retries // 2 + 2)
    bad, refused, attempts = (float(weights @ part) for part in _one_input(nodes, tpr, fpr, retries))
    delivered = 1 - refused
    good = max(0.0, delivered - bad)
    return Delivered(bad, good, refused, attempts, bad / delivered if delivered > 1e-15 else None)


def floor(p: float, tpr: float, fpr: float, icc: float = 0.0) -> float:
    """The share of bad ones among delivered answers that no number of retries gets below.

    For a detector that flags bad answers more often than good ones it is
    p (1 - TPR) / (p (1 - TPR) + (1 - p) (1 - FPR)), and already reached without any retry.

    Raises:  ValueError: a chance outside 0...1, or a detector that flags everything.

    >>> round(floor(p=0.05, tpr=0.8, fpr=0.05), 4)
    0.011
    """
    limit = ever_more(p, tpr, fpr, icc)
    first = deliver(p, tpr, fpr, 0, icc).bad_if_delivered
    return limit if first is None else min(first, limit)


def ever_more(p: float, tpr: float, fpr: float, icc: float = 0.0) -> float:
    """The share of bad ones among delivered answers to which ever more retries lead.

    Where inputs differ it lies above `floor`: retries deliver answers to
    the very inputs that fail most, and so make the share worse.

    Raises:  ValueError: a chance outside 0...1, or a detector that flags everything.

    >>> round(ever_more(p=0.05, tpr=0.8, fpr=0.05, icc=0.3), 4)
    0.0155
    """
    _check_chances(p=p, tpr=tpr, fpr=fpr, icc=icc)
    nodes, weights = _inputs(p, icc, _MANY_NODES)
    missed, good = nodes * (1 - tpr), (1 - nodes) * (1 - fpr)
    through = missed + good
    if not float(weights @ through):
        raise ValueError("the detector flags every attempt, so nothing is ever delivered; lower tpr or fpr")
    ever = through > 0
    share = np.divide(missed, through, out=np.zeros_like(through), where=ever)
    return float(weights @ share) / float(weights @ ever)


def passes_within(p: float, tries: int, icc: float = 0.0) -> float:
    """The chance that at least one of so many tries is good: what retrying under a perfect check gives.

    The spread between inputs makes it smaller: an input that failed once is
    one of those that fail often.

    Args:    p: chance that one try fails; icc: share of the variance that is between inputs.
    Raises:  ValueError: a chance outside 0...1, or tries outside 1...200.
    Source:  Skellam 1948, beta-binomial.

    >>> [round(passes_within(p=0.2, tries=2, icc=icc), 3) for icc in (0, 0.3, 1)]
    [0.96, 0.912, 0.8]
    """
    _check_chances(p=p, icc=icc)
    if not 1 <= tries <= MOST_RETRIES:
        raise ValueError(f"tries must lie in 1...{MOST_RETRIES}, got {tries}")
    failing = 1.0
    for j in range(tries):
        # The chance that the next one fails after j failures: (s p + j) / (s + j), with s = 1 / icc - 1.
        failing *= (p * (1 - icc) + j * icc) / (1 - icc + j * icc) if j else p
    return 1 - failing


def next_try_works(p: float, icc: float = 0.0, failed: int = 1) -> float:
    """The chance that the next try is good after `failed` bad ones at the same input.

    Raises:  ValueError: a chance outside 0...1, or failed outside 0...200.

    >>> round(next_try_works(p=0.2), 2), round(next_try_works(p=0.2, icc=0.3), 2)
    (0.8, 0.56)
    """
    _check_chances(p=p, icc=icc)
    if not 0 <= failed <= MOST_RETRIES:
        raise ValueError(f"failed must lie in 0...{MOST_RETRIES}, got {failed}")
    return 1 - ((p * (1 - icc) + failed * icc) / (1 - icc + failed * icc) if failed else p)


# ---------------------------------------------------------------- chances known from counts


def deliver_range(
    attempts: Evidence,
    on_bad: Evidence,
    on_good: Evidence,
    retries: int,
    icc: float = 0.0,
    alpha: float = 0.05,
    *,
    planned: bool = False,
) -> DeliveredRange:
    """What retrying delivers as far as counts tell: likely ranges, and a limit that holds for certain chances too.

    More bad attempts, more misses and more false alarms each deliver more
    bad answers, so that the worst corner of three limits bounds them.

    Args:    attempts: `failures` are bad attempts; on_bad: known bad outputs, `failures` are
             those the detector MISSED; on_good: good ones, `failures` are those it flagged;
             planned: each count was fixed before, so that `bad_at_most` may use the
             narrower limits for one look; else it holds at every look.
    Raises:  ValueError: icc, alpha or retries out of range.
    Assumes: as `deliver`, the three counts being of separate outputs, and icc known.
    Source:  Jeffreys priors, propagated; for the limit Bonferroni over Clopper & Pearson
             1934, or over `evidence.upper_limit`.

    >>> found = deliver_range(Evidence(10, 200), Evidence(4, 20), Evidence(9, 180), retries=2, planned=True)
    >>> [round(x, 3) for x in (found.bad.value, found.bad.low, found.bad.high, found.bad_at_most)]
    [0.011, 0.003, 0.028, 0.049]
    """
    _check_chances(icc=icc)
    _check_retries(retries)
    check_alpha(alpha)
    parts = (attempts, on_bad, on_good)
    values: tuple[float | None, ...] = (None, None, None)
    p, missed, fpr = (part.estimate for part in parts)
    if p is not None and missed is not None and fpr is not None:
        point = deliver(p, 1 - missed, fpr, retries, icc)
        values = (point.bad, point.refused, point.attempts)
    ends = [_range(parts, retries, icc, alpha, which) for which in range(3)]
    bad, refused, tries = (Est(value, low, high, attempts.n) for value, (low, high) in zip(values, ends, strict=True))
    limit = _planned_limit if planned else upper_limit
    worst = [limit(part.at_worst, part.n, alpha / 3) if part.n else 1.0 for part in parts]
    return DeliveredRange(bad, refused, tries, deliver(worst[0], 1 - worst[1], worst[2], retries, icc).bad, alpha)


def beside(computed: DeliveredRange, pipeline: Evidence, alpha: float = 0.05) -> Beside:
    """The computed rate of bad deliveries beside the measured one, which needs none of the assumptions.

    Args:    pipeline: whole requests, through detector and retries; `failures`
             are those that were delivered and are bad.
    Raises:  ValueError: alpha out of range.

    >>> found = deliver_range(Evidence(10, 200), Evidence(4, 20), Evidence(9, 180), retries=2)
    >>> beside(found, Evidence(0, 400)).agree
    True
    """
    check_alpha(alpha)
    if not pipeline.n:
        unknown = Est(None, 0.0, 1.0, 0)
        return Beside(
            computed.bad,
            unknown,
            None,
            "This is arithmetic: it takes the attempts at an input to be independent and the detector to err alike "
            "on all inputs. Run the whole pipeline and count what it delivers; that needs neither.",
        )
    low, high = interval_of(pipeline, alpha)
    measured = Est(pipeline.estimate, low, high, pipeline.n)
    assert computed.bad.low is not None
    assert computed.bad.high is not None
    agree = computed.bad.low <= high and low <= computed.bad.high
    if agree:
        words = "Both allow the same rates; where they differ in width, believe the measurement of the whole pipeline."
    else:
        side = "more" if low > computed.bad.high else "fewer"
        words = (
            f"The pipeline delivers {side} bad answers than the arithmetic allows, so one of its assumptions is wrong "
            "(attempts at an input that fail together, or a detector that errs elsewhere); believe the measurement."
        )
    return Beside(computed.bad, measured, agree, words)


# ---------------------------------------------------------------- helpers


def _one_input(p: Floats, tpr: Floats | float, fpr: Floats | float, retries: int) -> tuple[Floats, Floats, Floats]:
    """Bad deliveries, refusals and attempts at inputs of these chances; shapes broadcast."""
    flagged = p * tpr + (1 - p) * fpr
    refused = flagged ** (retries + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        attempts = np.where(flagged < 1, (1 - refused) / (1 - flagged), retries + 1.0)
    return p * (1 - tpr) * attempts, refused, attempts


def _inputs(p: float, icc: float, nodes: int) -> tuple[Floats, Floats]:
    """Chances that stand for the Beta spread of p over inputs, and their weights."""
    if icc == 0 or p in (0.0, 1.0):
        return np.array([p]), np.ones(1)
    if icc == 1:
        return np.array([0.0, 1.0]), np.array([1 - p, p])
    total = 1 / icc - 1
    return _gauss_jacobi(p * total, (1 - p) * total, nodes)


@lru_cache(maxsize=256)
def _gauss_jacobi(a: float, b: float, count: int) -> tuple[Floats, Floats]:
    """Nodes in (0, 1) and weights that integrate polynomials of degree 2 count - 1 against Beta(a, b) exactly."""
    first, second = b - 1, a - 1  # Jacobi's exponents on -1...1
    n = np.arange(count, dtype=np.float64)
    both = 2 * n + first + second
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (second**2 - first**2) / (both * (both + 2))
        beside = 4 * n * (n + first) * (n + second) * (n + first + second)
        beside = beside / (both**2 * (both + 1) * (both - 1))
    middle[0] = (second - first) / (first + second + 2)
    if count > 1:  # n + first + second cancels against both - 1, which may be 0
        beside[1] = 4 * (1 + first) * (1 + second) / ((2 + first + second) ** 2 * (3 + first + second))
    off = np.sqrt(beside[1:])
    values, vectors = np.linalg.eigh(np.diag(middle) + np.diag(off, 1) + np.diag(off, -1))
    nodes: Floats = np.clip((1 + values) / 2, 0, 1)
    return nodes, vectors[0] ** 2


def _range(
    parts: tuple[Evidence, Evidence, Evidence], retries: int, icc: float, alpha: float, which: int
) -> tuple[float, float]:
    """The middle 1 - alpha of bad (0), refused (1) or attempts (2), invalid ones taken for the worse at each end."""
    attempts, on_bad, on_good = parts

    def function(p: Floats, missed: Floats, fpr: Floats) -> Floats:
        return _averaged(p, 1 - missed, fpr, retries, icc)[which]

    ends: tuple[list[float], list[float]] = ([], [])
    for high in (False, True):
        # A missed bad output means more bad deliveries, but fewer refusals and attempts. Whether a bad
        # attempt means more of these depends on the detector, so an invalid one is taken both ways.
        rest = [_shape(on_bad, high == (which == 0)), _shape(on_good, high)]
        for bad in {attempts.failures, attempts.at_worst}:
            shapes = [_shape(Evidence(bad, attempts.n), high), *rest]
            ends[high].append(spread_limits(function, shapes, alpha)[high])
    return min(ends[0]), max(ends[1])


def _shape(counted: Evidence, up: bool) -> Beta:
    """What is open about a chance, in the direction that counts; without any count it may be anything.

    A product of chances is misjudged most where one of them was not seen
    at all: there the upper side takes the prior of Clopper-Pearson.
    """
    if not counted.n:
        return SURELY_1 if up else SURELY_0
    hits = counted.at_worst if up else counted.failures
    return (1.0, float(counted.n)) if up and not hits else jeffreys(hits, counted.n)


def _averaged(p: Floats, tpr: Floats, fpr: Floats, retries: int, icc: float) -> tuple[Floats, Floats, Floats]:
    """`_one_input`, averaged over the inputs of each p of a (P,) array.

    Nodes and weights change smoothly with p: they are made at some values
    of p and read off between them.
    """
    if icc == 0:
        return _one_input(p, tpr, fpr, retries)
    if icc == 1:
        none, all_ = _one_input(np.zeros_like(p), tpr, fpr, retries), _one_input(np.ones_like(p), tpr, fpr, retries)
        bad, refused, attempts = ((1 - p) * a + p * b for a, b in zip(none, all_, strict=True))
        return bad, refused, attempts
    angle = np.arcsin(np.sqrt(p))
    grid = np.linspace(angle.min(), angle.max() + 1e-9, _GRID)
    made = [_inputs(min(1 - 1e-9, max(1e-9, math.sin(g) ** 2)), icc, min(retries // 2 + 2, _FEW_NODES)) for g in grid]
    sums = [np.zeros_like(p) for _ in range(3)]
    for j in range(len(made[0][0])):
        node = np.interp(angle, grid, [nodes[j] for nodes, _ in made])
        weight = np.interp(angle, grid, [weights[j] for _, weights in made])
        for total, part in zip(sums, _one_input(node, tpr, fpr, retries), strict=True):
            total += weight * part
    return sums[0], sums[1], sums[2]


def _planned_limit(hits: int, n: int, alpha: float) -> float:
    return clopper_pearson(hits, n, alpha)[1]


def _check_chances(**chances: float) -> None:
    for name, chance in chances.items():
        if not 0 <= chance <= 1:
            raise ValueError(f"{name} is a chance in 0...1, got {chance!r}")


def _check_retries(retries: int) -> None:
    if not 0 <= retries <= MOST_RETRIES:
        raise ValueError(f"retries must lie in 0...{MOST_RETRIES}, got {retries}")
