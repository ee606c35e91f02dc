"""How far below the run length the threshold of a drift rule may go: where `drift_rule._RATIO` comes from.

    python benchmarks/drift_table.py [--runs N] [--failures N] [--out X.json]

S - n is a martingale at the baseline, so the mean calls to a false alarm are EXACTLY the mean of S at
the alarm, which spreads far less than the calls themselves.  Streams at the baseline are walked from
failure to failure (no alarm falls on a pass) until S has passed the run length; of each level on the way the mean of
S at its first crossing is kept.  A ratio is needed from the level where that mean, less four standard
errors, reaches the run length; the table's ratio must not be below it for any run length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from _report import Report
from reroll.drift_rule import ODDS, WEIGHTS, tuned_ratio

Floats = npt.NDArray[np.float64]

LEVELS = 160
BASELINES = (1e-5, 1e-4, 1e-3, 0.005, 0.01, 0.02, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
FAILURES = (3.0, 3.6, 4.3, 5.2, 6.3, 7.5, 9, 11, 14, 18, 24, 32, 45, 64, 90, 128, 200, 400, 1000)


def first_crossings(
    baseline: float, rate: float, levels: Sequence[float] | Floats, runs: int, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats, Floats]:
    """Means of S and of the calls at the first alarm of each level, with their standard errors, at a true rate.

    levels: ascending; each result: (levels,).
    """
    odds, weights, levels = np.array(ODDS), np.array(WEIGHTS), np.asarray(levels)
    q = odds * baseline / (1 + (odds - 1) * baseline)
    per_failure, per_pass = q / baseline, (1 - q) / (1 - baseline)
    fixed, log_pass = per_pass / (1 - per_pass), np.log(per_pass)  # where passes alone bring R_j in the end
    sums = np.zeros((4, len(levels) + 1))
    bets, reached, calls = np.zeros((runs, len(odds))), np.zeros(runs, np.int64), np.zeros(runs)
    while len(bets):
        passes = rng.geometric(rate, len(bets)) - 1
        calls += passes + 1
        bets = (fixed + (bets - fixed) * np.exp(passes[:, None] * log_pass) + 1) * per_failure
        s = bets @ weights
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
    levels = run_length * np.geomspace(0.25, 1, LEVELS)
    mean, error, _, _ = first_crossings(baseline, baseline, levels, runs, rng)
    sure = np.flatnonzero(mean - 4 * error >= run_length)
    guess = np.flatnonzero(mean >= run_length)
    return float(levels[sure[0]] / run_length) if len(sure) else math.inf, float(levels[guess[0]] / run_length)


def main() -> int:
    report = Report("drift_table", __doc__, runs=20_000, failures=1000)
    rng = np.random.default_rng(20261123)
    rows, worst = [], 0.0
    for baseline in BASELINES:
        cells = []
        for failures in FAILURES:
            if failures > report.args.failures:
                continue
            sure, guess = needed(baseline, failures, report.args.runs, rng)
            cells.append((sure, guess, failures))
        sure, _, at = max(cells)
        table = tuned_ratio(baseline, at / baseline)
        worst = max(worst, sure / table)
        best, all_needed = max(c[1] for c in cells), "  ".join(f"{c[0]:.2f}" for c in cells)
        rows.append([f"{baseline:g}", f"{best:.3f}", f"{sure:.3f}", f"{at:g}", f"{table:g}", all_needed])
    head = ["baseline", "needed, best guess", "needed, + 4 standard errors", "there: run length x baseline"]
    report.add("ratios", "threshold / run length", [*head, "in the product", "needed at each"], rows)
    report.bar("largest needed ratio / the product's", worst, 1.0)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
