"""When a stream's failures are an alarm: the baseline, the calls between false alarms, and the threshold for them.

The statistic (drift.py) is at least the threshold at an alarm, and its mean
there IS the mean number of calls to a false alarm.  So `threshold =
run_length` is a theorem, for losses in 0...1 too.  A failure lifts the
statistic past the threshold by a factor, so for pass/fail a lower one keeps
the same run length: how much lower was simulated, not proved, and only where
it was is it used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

__all__ = [
    "BASELINES",
    "FAILURES",
    "LEAST_BASELINE",
    "ODDS",
    "RATIOS",
    "WEIGHTS",
    "DriftRule",
    "Watches",
    "baseline_limit",
    "drift_rule",
    "tuned_ratio",
]

Watches = Literal["fail", "invalid", "loss"]

# Suspected rates as odds ratios to the baseline, and what is staked on each:
# fitted to the smallest worst delay over rises of 1.5 to 20 times, relative to
# the CUSUM that knows the rise (benchmarks/drift.py).
ODDS = (1.57, 2.6, 3.6, 6.9, 13.7, 25.0, 100.0)
WEIGHTS = (0.11, 0.10, 0.09, 0.11, 0.08, 0.24, 0.27)

# 1000 x threshold / run_length for pass/fail: one row for each band of baselines
# (up to BASELINES), its entries cutting FAILURES into equal ratios, which is
# run_length * baseline, the failures between false alarms.  Whole failures make
# it uneven.  Each entry is the most that its cell was seen to need, four
# standard errors on the safe side (benchmarks/_drift_table.py).  Run
# lengths that move, as a watch's do, are simulated in benchmarks/watch.py.
BASELINES = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5)
LEAST_BASELINE = 1e-5
FAILURES = (3.0, 3.0 * 1.25**37)
# fmt: off
RATIOS: tuple[tuple[int, ...], ...] = (
    (
        499, 483, 466, 459, 456, 456, 459, 461, 469, 476, 486, 491, 507, 515, 520, 545, 548, 557,
        575, 575, 566, 572, 575, 575, 560, 551, 542, 534, 523, 496, 496, 473, 491, 491, 504, 504,
        502, 523, 523, 520, 526, 542, 542, 566, 581, 581, 566, 557, 566, 575, 575, 569, 572, 572,
        553, 553, 545, 540, 537, 534, 527, 527, 519, 521, 519, 508, 519, 527, 529, 524, 524, 529,
        550, 550,
    ),
    (
        520, 490, 480, 490, 500, 530, 560, 580, 600, 620, 620, 610, 550, 520, 510, 530, 550, 550,
        550, 570, 600, 580, 590, 620, 620, 600, 590, 558, 545, 526, 547, 558, 547, 561, 596, 596,
        561,
    ),
    (
        510, 490, 490, 500, 520, 550, 570, 600, 650, 640, 620, 550, 540, 520, 530, 530, 560, 580,
        580, 580, 610, 630, 640, 610, 610, 560, 580, 539, 545, 567, 576, 576, 590, 590, 611, 624,
        599,
    ),
    (
        510, 500, 490, 510, 550, 570, 670, 680, 680, 640, 580, 530, 530, 540, 560, 570, 580, 630,
        660, 670, 670, 630, 630, 560, 570, 560, 570, 587, 587, 639, 686, 624, 624, 624, 602, 605,
        599,
    ),
    (
        520, 500, 510, 540, 550, 670, 690, 680, 630, 570, 550, 550, 550, 560, 560, 680, 690, 690,
        700, 650, 590, 590, 600, 600, 590, 640, 705, 656, 666, 666, 686, 624, 556, 596, 596, 587,
        602,
    ),
    (
        513, 500, 529, 547, 662, 703, 696, 649, 581, 542, 542, 542, 590, 689, 707, 696, 696, 639,
        564, 561, 564, 596, 703, 703, 707, 707, 693, 693, 590, 564, 584, 662, 707, 686, 686, 689,
        630,
    ),
    (780,),
    (790,),
    (810,),
    (880,),
)
# fmt: on


@dataclass(frozen=True, slots=True)
class DriftRule:
    """What is watched, and when it is an alarm; `drift_rule` makes one.

    baseline:   failure rate (or mean loss) that is normal, in (0, 1).
    run_length: mean calls between false alarms at the baseline: at least this.
    watches:    which outcomes count 1: `fail`, or `invalid`; `loss`: outcomes are losses in 0...1.
    threshold:  what S must reach; `run_length` itself, or less where that was checked.
    """

    baseline: float
    run_length: float
    watches: Watches
    threshold: float

    def __post_init__(self) -> None:
        _check_rule(self.baseline, self.run_length, self.watches)
        if not 0 < self.threshold <= self.run_length:
            raise ValueError(f"a threshold lies in (0, run_length], got {self.threshold!r}; let drift_rule choose it")

    @property
    def tuned(self) -> bool:
        """Whether the threshold is below the run length, on the strength of a checked table."""
        return self.threshold < self.run_length


def drift_rule(baseline: float, run_length: float = 10_000, watches: Watches = "fail") -> DriftRule:
    """The rule whose false alarms are at least `run_length` calls apart on average.

    The guarantee is for any stream in which each call, given the past, fails
    with a chance of at most the baseline (for `loss`: has a mean loss of at
    most that), and counts calls from the start or from the last alarm.

    An invalid outcome is counted so that it cannot raise a false alarm: as no
    failure, in a rule that watches failures or losses.  Calls that bring
    nothing back are watched by a second rule, `watches="invalid"`, with a
    baseline of its own: an outage is not a worse model.  Two rules together
    raise false alarms about twice as often as one.

    Args:    baseline: failure rate in (0, 1); run_length: calls, >= 1.
    Raises:  ValueError: an argument out of range.
    Assumes: the baseline is known; else give `baseline_limit`.
    Source:  Shin, Ramdas & Rinaldo 2024 (e-detectors), threshold = run_length;
             for pass/fail less: docs/drift.md, "The method".

    >>> drift_rule(0.01)
    DriftRule(baseline=0.01, run_length=10000, watches='fail', threshold=4730.0)
    >>> drift_rule(0.01, watches="loss").threshold
    10000.0
    """
    _check_rule(baseline, run_length, watches)
    ratio = 1.0 if watches == "loss" else tuned_ratio(baseline, run_length)
    return DriftRule(baseline, run_length, watches, float(run_length * ratio))


def tuned_ratio(baseline: float, run_length: float) -> float:
    """The checked threshold / run_length for pass/fail; 1, which is always valid, outside what was checked.

    >>> tuned_ratio(0.01, 10_000), tuned_ratio(0.0001, 10_000)
    (0.473, 1.0)
    """
    low, high = FAILURES
    failures = baseline * run_length
    if not (LEAST_BASELINE <= baseline <= BASELINES[-1] and low <= failures <= high):
        return 1.0
    row = next(row for row, at in zip(RATIOS, BASELINES, strict=True) if baseline <= at)
    at = int(len(row) * math.log(failures / low) / math.log(high / low))
    return row[min(at, len(row) - 1)] / 1000


def baseline_limit(failures: int, n: int, confidence: float = 0.9) -> float:
    """The failure rate is at most this, unless one of the 1 - confidence unlucky baselines was drawn.

    A rule with this baseline keeps its run length with at least this
    confidence, whatever the true rate.  What it costs: a rise is measured
    from the limit, not from the rate, so small rises are seen later, and a rise
    to below the limit never (benchmarks/drift.py prints how much).

    Args:    failures: of n calls, counted as the stream will be counted:
             an invalid one is not a failure; n was planned, not chosen on seeing them.
    Raises:  ValueError: counts that cannot be, confidence out of range, or
             nothing but failures.
    Source:  Clopper & Pearson 1934, one-sided.

    >>> round(baseline_limit(failures=10, n=1000), 4)
    0.0154
    """
    if not 0 <= failures <= n or n == 0:
        raise ValueError(f"failures must lie in 0...n and n be at least 1, got failures={failures}, n={n}")
    if failures == n:
        raise ValueError(f"all {n} baseline calls failed: there is no worse rate to watch for")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, got {confidence!r}")
    k = np.arange(failures + 1)
    log_choose = np.concatenate([[0.0], np.cumsum(np.log((n - k[:-1]) / (k[:-1] + 1)))])
    low, high = failures / n, 1.0
    for _ in range(60):
        p = 0.5 * (low + high)
        if p in (low, high):
            break
        at_most = float(np.exp(log_choose + k * math.log(p) + (n - k) * math.log1p(-p)).sum())
        low, high = (p, high) if at_most > 1 - confidence else (low, p)
    return high


# ---------------------------------------------------------------- helpers


def _check_rule(baseline: float, run_length: float, watches: Watches) -> None:
    if not 0 < baseline < 1:
        raise ValueError(f"a baseline lies strictly between 0 and 1, got {baseline!r}; give the rate that is normal")
    if not 1 <= run_length < math.inf:
        raise ValueError(f"run_length is a number of calls between false alarms, at least 1, got {run_length!r}")
    if watches not in get_args(Watches):
        raise ValueError(f"a rule watches {', '.join(get_args(Watches))}, got {watches!r}")
