"""What counts leave open about a chance: its Beta distribution, and that of anything computed from several chances.

Everything here is for one planned look: `evidence` has the limits that
hold at every look.  A quantity that is computed from several chances is
carried through a fixed lattice of points, not through random draws: the
same counts give the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

__all__ = [
    "SURELY_0",
    "SURELY_1",
    "Beta",
    "Floats",
    "beta_cdf",
    "beta_quantile",
    "check_alpha",
    "clopper_pearson",
    "jeffreys",
    "jeffreys_interval",
    "spread_limits",
]

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Beta = tuple[float, float]
"""The two shapes of a Beta distribution; (inf, 0) and (0, inf) stand for the chances 1 and 0 themselves."""

SURELY_0: Beta = (0.0, math.inf)
SURELY_1: Beta = (math.inf, 0.0)

_CELLS = 4096  # of the table of one distribution: quantiles exact to 1e-6 standard deviations
_DEPTH = 45.0  # nats below the peak at which a density counts as 0
_POINTS, _STEP = 1 << 14, 1185  # of the lattice, the best of 60 steps tried: quantiles exact to 1 % of a
# standard deviation in up to four dimensions


def jeffreys(hits: float, n: float) -> Beta:
    """The distribution of a chance after `hits` in `n` trials, from Jeffreys' prior.

    Raises:  ValueError: hits outside 0...n.

    >>> jeffreys(2, 10)
    (2.5, 8.5)
    """
    if not 0 <= hits <= n:
        raise ValueError(f"hits must lie in 0...n, got {hits} of {n}")
    return hits + 0.5, n - hits + 0.5


def beta_cdf(x: npt.ArrayLike, shape: Beta) -> Floats:
    """The chance that a Beta variable is at most x; the shape of x.

    Raises:  ValueError: a shape below 1/2.

    >>> round(float(beta_cdf(0.25, (1, 1))), 6)
    0.25
    """
    phi, mass = _table(*shape)
    angle = np.arcsin(np.sqrt(np.clip(np.asarray(x, np.float64), 0, 1)))
    return np.interp(angle, phi, mass)


def beta_quantile(share: npt.ArrayLike, shape: Beta) -> Floats:
    """The value that a Beta variable stays below with this chance; the shape of `share`.

    Raises:  ValueError: a shape below 1/2, or a share outside 0...1.

    >>> round(float(beta_quantile(0.975, (0.5, 20.5))), 4)
    0.1166
    """
    u = np.asarray(share, np.float64)
    if not np.all((u >= 0) & (u <= 1)):
        raise ValueError(f"a share lies in 0...1, got {share!r}")
    if shape in (SURELY_0, SURELY_1):
        return np.full(u.shape, 1.0 if shape == SURELY_1 else 0.0)
    phi, mass = _table(*shape)
    values: Floats = np.sin(np.interp(u, mass, phi)) ** 2
    return values


def jeffreys_interval(hits: int, n: int, alpha: float = 0.05) -> tuple[float, float]:
    """Where a chance lies after `hits` in `n` trials that were planned; (0, 1) without any.

    It covers 1 - alpha on average over chances, and may miss a little more
    often at single ones; at no hit its lower end is 0, at all hits its upper is 1.

    Raises:  ValueError: hits outside 0...n, or alpha outside (0, 1).
    Source:  Brown, Cai & DasGupta 2001, section 3.1.3.

    >>> [round(end, 3) for end in jeffreys_interval(0, 20)]
    [0.0, 0.117]
    """
    check_alpha(alpha)
    if n == 0:
        return 0.0, 1.0
    low, high = beta_quantile((alpha / 2, 1 - alpha / 2), jeffreys(hits, n))
    return (0.0 if hits == 0 else float(low)), (1.0 if hits == n else float(high))


def clopper_pearson(hits: int, n: int, alpha: float = 0.05) -> tuple[float, float]:
    """The lower and the upper limit of a chance, EACH wrong at one planned look with chance alpha at most.

    Raises:  ValueError: hits outside 0...n, or alpha outside (0, 1).
    Source:  Clopper & Pearson 1934.

    >>> round(clopper_pearson(20, 20, alpha=0.01)[0], 4)
    0.7943
    """
    check_alpha(alpha)
    if not 0 <= hits <= n:
        raise ValueError(f"hits must lie in 0...n, got {hits} of {n}")
    low = 0.0 if hits == 0 else float(beta_quantile(alpha, (hits, n - hits + 1)))
    high = 1.0 if hits == n else float(beta_quantile(1 - alpha, (hits + 1, n - hits)))
    return low, high


def spread_limits(function: Callable[..., Floats], shapes: Sequence[Beta], alpha: float) -> tuple[float, float]:
    """The middle 1 - alpha of a function of independent chances, each with its Beta distribution.

    Args:    function: takes one (P,) array per shape and returns (P,).
    Source:  Korobov 1959, lattice rules.

    >>> spread_limits(lambda p, q: p * q, [(0.5, 100.5), (50.5, 50.5)], 0.05)[1] < 0.02
    True
    """
    check_alpha(alpha)
    values = function(*(_stretched(shape)[order] for shape, order in zip(shapes, _lattice(len(shapes)), strict=True)))
    at = np.array([alpha / 2, 1 - alpha / 2]) * _POINTS - 0.5
    below = np.clip(at.astype(int), 0, _POINTS - 2)
    values = np.partition(values, [*below, *(below + 1)])
    low, high = values[below] + np.clip(at - below, 0, 1) * (values[below + 1] - values[below])
    return float(low), float(high)


def check_alpha(alpha: float) -> None:
    """Raises: ValueError unless alpha is a chance strictly between 0 and 1."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha!r}")


@lru_cache(maxsize=8)
def _lattice(dimensions: int) -> tuple[Indices, ...]:
    """(dimensions) arrays: each names every one of the _POINTS values once, together they fill the cube evenly."""
    i = np.arange(_POINTS)
    return tuple(i * pow(_STEP, d, _POINTS) % _POINTS for d in range(dimensions))


@lru_cache(maxsize=128)
def _stretched(shape: Beta) -> Floats:
    """(_POINTS,) values of a chance, each as likely as the next, rising."""
    return beta_quantile((np.arange(_POINTS) + 0.5) / _POINTS, shape)


@lru_cache(maxsize=64)
def _table(a: float, b: float) -> tuple[Floats, Floats]:
    """Angles phi with sin(phi)^2 = x, and the mass up to each: two (_CELLS + 1,) arrays.

    In phi the density is sin^(2a-1) cos^(2b-1): without a pole, and with a
    logarithm that bends by 2 (a + b - 1) at least everywhere, so what lies
    further from the peak than sqrt(_DEPTH / (a + b - 1)) can be left out.
    """
    if not (a >= 0.5 and b >= 0.5 and math.isfinite(a + b)):
        raise ValueError(f"the shapes of a Beta distribution must be 1/2 or more here, got {a!r} and {b!r}")
    bend = a + b - 1
    peak = math.asin(math.sqrt((a - 0.5) / bend)) if bend > 0 else 0.0
    reach = math.sqrt(_DEPTH / bend) if bend > 0 else math.pi
    phi = np.linspace(max(0.0, peak - reach), min(math.pi / 2, peak + reach), 2 * _CELLS + 1)
    with np.errstate(divide="ignore"):
        log = _times(2 * a - 1, np.log(np.sin(phi))) + _times(2 * b - 1, np.log(np.maximum(np.cos(phi), 0)))
    density = np.exp(log - log.max())
    cells = density[:-1:2] + 4 * density[1::2] + density[2::2]  # Simpson
    mass = np.concatenate([[0.0], np.cumsum(cells)])
    return phi[::2], mass / mass[-1]


def _times(power: float, log: Floats) -> Floats:
    return power * log if power else np.zeros_like(log)
