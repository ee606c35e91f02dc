"""The rule behind a certificate: what is claimed when, in words and as a table that anyone can grade."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from reroll.calibrate import NEVER, met_boundary, not_met_boundary
from reroll.evidence import log_e, met_mixture, not_met_mixture
from reroll.numbers import counts, percent
from reroll.race import race_thresholds
from reroll.verdict import certify_race, least_certificate

__all__ = ["BoundaryRow", "Explained", "boundary_csv", "explain"]

Ints = Sequence[int]


@dataclass(frozen=True, slots=True)
class BoundaryRow:
    """After n samples: met with at most so many failures, not met from so many on; None: no such claim is possible."""

    n: int
    met_max_failures: int | None
    not_met_min_failures: int | None


@dataclass(frozen=True, slots=True)
class Explained:
    """A certificate's rule: its thresholds (e-values, not logarithms), its words, its boundaries."""

    target: float
    alpha: float
    horizon: int | None
    round_size: int
    threshold_met: float
    threshold_not_met: float
    words: tuple[str, ...]
    boundary: tuple[BoundaryRow, ...]


def explain(
    target: float, alpha: float = 0.05, horizon: int | None = None, round_size: int = 1, rows: int | None = None
) -> Explained:
    """The rule that `certify_path` follows, its boundary after every n up to `rows` samples (or the horizon).

    By default as far as four times the certificate without a failure. With rounds of several cases
    (`round_size`) the rows are round ends.

    Raises:  ValueError: as `certify_path`, and for a horizon within which nothing can be met.

    >>> rule = explain(0.99, rows=400)
    >>> rule.boundary[354], round(rule.threshold_not_met, 2)
    (BoundaryRow(n=355, met_max_failures=0, not_met_min_failures=10), 9.41)
    """
    race = certify_race(target, alpha, horizon, round_size)
    least = least_certificate(target, alpha)
    if horizon is not None and horizon < least:
        raise ValueError(f"no run of {horizon} samples can show {target:g} at alpha {alpha:g}; it takes {least}")
    c_met, c_not_met = race_thresholds(race)
    assert c_met is not None
    assert c_not_met is not None
    first = _first_certificate(target, alpha, c_met)
    end = horizon or max(round_size, rows or 4 * first)
    found = list(_boundary(target, alpha, horizon, round_size, (c_met, c_not_met), end))
    met_first = next((row.n for row in found if row.met_max_failures is not None), None)
    return Explained(
        target,
        alpha,
        horizon,
        round_size,
        math.exp(c_met),
        math.exp(c_not_met),
        _words(target, alpha, horizon, round_size, met_first or first),
        tuple(found),
    )


def boundary_csv(rows: Sequence[BoundaryRow]) -> str:
    """The table as CSV, an empty cell where no such claim is possible.

    >>> print(boundary_csv([BoundaryRow(2, None, 2)]))
    n,met_max_failures,not_met_min_failures
    2,,2
    """
    cells = [["n", "met_max_failures", "not_met_min_failures"]]
    cells += [
        [str(r.n), *("" if x is None else str(x) for x in (r.met_max_failures, r.not_met_min_failures))] for r in rows
    ]
    return "\n".join(map(",".join, cells))


def _boundary(
    target: float, alpha: float, horizon: int | None, round_size: int, thresholds: tuple[float, float], end: int
) -> Iterator[BoundaryRow]:
    rate = round(1 - target, 12)
    if round_size == 1:
        met, not_met = met_boundary(rate, alpha, horizon, end), not_met_boundary(rate, alpha, horizon, end)
        for n in range(1, end + 1):
            yield _row(n, int(met[n]), int(not_met[n]))
        return
    for n in range(round_size, end + 1, round_size):
        f = np.arange(n + 1)
        low = np.flatnonzero(log_e(met_mixture(rate), f, n - f) >= thresholds[0])
        high = np.flatnonzero(log_e(not_met_mixture(rate), f, n - f) >= thresholds[1])
        yield _row(n, int(low[-1]) if len(low) else -1, int(high[0]) if len(high) else NEVER)


def _row(n: int, most: int, least: int) -> BoundaryRow:
    return BoundaryRow(n, most if most >= 0 else None, least if least < NEVER else None)


def _first_certificate(target: float, alpha: float, threshold: float) -> int:
    """Samples until "met" without a failure, open-ended."""
    n = least_certificate(target, alpha)
    mixture = met_mixture(round(1 - target, 12))
    while float(log_e(mixture, 0, n)) < threshold:
        n += max(1, n // 1000)
    return n


def _words(target: float, alpha: float, horizon: int | None, round_size: int, first: int) -> tuple[str, ...]:
    chance, goal = percent(alpha, "up"), percent(target)
    unit = "run" if round_size == 1 else "complete round"
    looks = (
        f"after every run up to run {horizon:,}, where the test ends for good"
        if horizon
        else f"after every {unit}, for as long as you like"
    )
    lines = [
        f"The question: do at least {goal} of the calls pass? It is asked {looks}.",
        "Two bets run against two opposite statements: one against “it fails more often than that allows”, one "
        "against “it does not”. Each starts with 1 and can only grow in the long run if its statement is false.",
        "Met: the first bet has reached its threshold. Not met: the second has. Until then: undecided.",
        f"The guarantee: whatever the true failure rate is, the chance that a wrong word is EVER said, over all "
        f"looks together, is at most {chance}.",
    ]
    lines.append(
        f"Without a failure it is met after {counts('run', first)}; no method that is wrong in at most {chance} of "
        f"cases can do with fewer than {least_certificate(target, alpha):,}."
    )
    if round_size > 1:
        lines.append(
            f"It speaks of the mean over {round_size} fixed cases, each run once a round and looked at where a round "
            "ends: inside a round the easy cases might come first. Its thresholds are 1 / alpha."
        )
    else:
        lines.append(
            "It holds as long as every call, given all that came before, fails with a chance on the side of the "
            "statement tested; the thresholds are computed exactly for that."
        )
    lines.append(
        "A time-out or an answer that nobody could judge counts as a failure against met, as a pass against not met."
    )
    return tuple(lines)
