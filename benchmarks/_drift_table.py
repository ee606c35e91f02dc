"""How far below the run length the threshold of a drift rule may go: where `drift_rule.RATIOS` comes from.

    python benchmarks/_drift_table.py [--runs N] [--points N] [--out X.json]

S - n is a martingale at the baseline, so the mean calls to a false alarm are EXACTLY the mean of S at
the alarm, which spreads far less than the calls themselves.  Streams at the baseline are walked from
failure to failure (no alarm falls on a pass) until S has passed the run length; of each level on the way
the mean of S at its first crossing is kept.  A ratio is enough from the level where that mean reaches the
run length.  The product's entries are the most that the nodes of their cell need, four standard errors
on the safe side, from 3,000 to 16,000 runs.  Random places, drawn afresh, are held against them too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from _report import Report
from reroll.drift_rule import BASELINES, FAILURES, LEAST_BASELINE, ODDS, WEIGHTS, drift_rule, tuned_ratio

Floats = npt.NDArray[np.float64]

LEVELS = 160
NODES = 55


def first_crossings(
    baseline: float, rate: float, levels: Sequence[float] | Floats, runs: int, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats, Floats]:
    """Means of S and of the calls at the first alarm of each level, with their standard errors, at a true rate.

    levels: ascending; each result: (levels,).
    """
    odds, weights, levels = np.array(ODDS), np.array(WEIGHTS), np.asarray(levels)
    q = odds * baseline / (1 + (odds - 1) * baseline)
    per_pass = (1 - q) / (1 - baseline)
    # float32 halves the time, and is off by 1e-5 at most over a run.
    fixed, log_pass, per_failure, weights = (
        x.astype(np.float32) for x in (per_pass / (1 - per_pass), np.log(per_pass), q / baseline, weights)
    )  # fixed: where passes alone bring R_j in the end
    sums = np.zeros((4, len(levels) + 1))
    bets, reached, calls = np.zeros((runs, len(odds)), np.float32), np.zeros(runs, np.int64), np.zeros(runs)
    while len(bets):
        passes = rng.geometric(rate, len(bets)) - 1
        calls += passes + 1
        bets = (fixed + (bets - fixed) * np.exp(passes.astype(np.float32)[:, None] * log_pass) + 1) * per_failure
        s = (bets @ weights).astype(np.float64)
        now = np.searchsorted(levels, s, side="right")
        hit = np.flatnonzero(now > reached)
        for row, value in zip(sums, (s, s**2, calls, calls**2), strict=True):
            np.add.at(row, reached[hit], value[hit])
            np.subtract.at(row, now[hit], value[hit])
        reached = np.maximum(reached, now)
        if (reached == len(levels)).any():
            left = reached < len(levels)
            bets, reached, calls = bets[left], reached[left], calls[left]
    s, s2, n, n2 = np.cumsum(sums, axis=1)[:, :-1] / runs
    return s, np.sqrt(np.maximum(0, s2 - s**2) / runs), n, np.sqrt(np.maximum(0, n2 - n**2) / runs)


def needed(baseline: float, failures: float, runs: int, rng: np.random.Generator) -> tuple[float, float]:
    """The smallest threshold / run_length shown to be enough, and the best guess of the smallest that is."""
    run_length = failures / baseline
    levels = run_length * np.geomspace(0.4, 0.92, LEVELS)
    mean, error, _, _ = first_crossings(baseline, baseline, levels, runs, rng)
    sure = np.flatnonzero(mean - 4 * error >= run_length)
    guess = np.flatnonzero(mean >= run_length)
    return float(levels[sure[0]] / run_length) if len(sure) else math.inf, float(levels[guess[0]] / run_length)


def places(band: int) -> tuple[float, ...]:
    """Baselines of a band, both ends among them."""
    high = BASELINES[band]
    if band == 0:
        return LEAST_BASELINE, 0.001, 0.004, high
    return BASELINES[band - 1] * 1.0001, math.sqrt(BASELINES[band - 1] * high), high


def main() -> int:
    report = Report("_drift_table", __doc__, runs=2000, points=150)
    rng, runs = np.random.default_rng(20261123), report.args.runs
    nodes = np.geomspace(*FAILURES, NODES)
    rows, over = [], 0.0
    for band, high in enumerate(BASELINES):
        at = np.array([[needed(b, f, runs if f > 100 else 4 * runs, rng) for f in nodes] for b in places(band)])
        has = np.array([[tuned_ratio(b, f / b) for f in nodes] for b in places(band)])
        sure, guess = at[..., 0], at[..., 1]
        over = max(over, float((guess / has).max()))
        worst = np.unravel_index((guess / has).argmax(), guess.shape)
        rows.append(
            [
                f"{high:g}",
                f"{guess.max():.3f}",
                f"{sure.max():.3f}",
                f"{(guess / has).max():.3f}",
                f"{nodes[worst[1]]:.0f}",
            ]
        )
    head = [
        "baseline up to",
        "most needed, best guess",
        "+ 4 standard errors",
        "needed / the product's, worst",
        "at failures a run",
    ]
    report.add("ratios", f"threshold / run length at {NODES} run lengths and 3 or 4 baselines of each band", head, rows)
    report.bar("needed / the product's ratio, worst", over, 1.0)
    lengths = []
    for _ in range(report.args.points):
        baseline = float(np.exp(rng.uniform(math.log(LEAST_BASELINE), math.log(BASELINES[-1]))))
        run_length = float(np.exp(rng.uniform(math.log(FAILURES[0]), math.log(FAILURES[1])))) / baseline
        rule = drift_rule(baseline, run_length)
        mean, error, _, _ = first_crossings(baseline, baseline, [rule.threshold], 4 * runs, rng)
        lengths.append((float(mean[0]) / run_length, float(error[0]) / run_length))
    shown = [f"{x:.3f}" for x in np.quantile([x for x, _ in lengths], [0, 0.1, 0.5, 0.9])]
    report.add(
        "random", f"Run length / stated at {len(lengths)} random places", ["least", "10 %", "50 %", "90 %"], [shown]
    )
    report.bar("least run length / stated, + 3 standard errors", min(x + 3 * e for x, e in lengths), 1.0, most=False)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
