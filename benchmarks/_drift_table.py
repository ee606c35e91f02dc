"""How far below the run length the threshold of a drift rule may go: where `drift_rule.RATIOS` comes from.

    python benchmarks/_drift_table.py [--runs N] [--points N] [--out X.json]
    python benchmarks/_drift_table.py --make     simulates `drift_rule.RATIOS` anew, and prints them

S - n is a martingale at the baseline, so the mean calls to a false alarm are EXACTLY the mean of S at
the alarm, which spreads far less than the calls themselves.  Streams at the baseline are walked from
failure to failure (no alarm falls on a pass) until S has passed the run length; of each level on the way
the mean of S at its first crossing is kept.  A ratio is enough from the level where that mean reaches the
run length.  The product's entries are the most that the nodes of their cell need, four standard errors
on the safe side, and mostly 2 % more, from 2,000 to 40,000 runs.  Random places, drawn afresh, are held
against them too.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from _report import Report
from reroll.drift_rule import (
    BASELINES,
    FAILURES,
    LEAST_BASELINE,
    ODDS,
    RATIOS,
    WEIGHTS,
    drift_rule,
    tuned_ratio,
)

Floats = npt.NDArray[np.float64]

LEVELS = 200
USUAL = 1  # bands of baselines that products have, mostly: narrow cells, many streams
SPARE = 1.02
LENGTHS = 75


def first_crossings(
    baseline: float,
    rate: float,
    levels: Sequence[float] | Floats,
    runs: int,
    rng: np.random.Generator,
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Means of S and of the calls at the first alarm of each level, with their variances, and their covariance, at a
    true rate.

    levels: ascending; each result: (levels,).
    """
    odds, weights, levels = np.array(ODDS), np.array(WEIGHTS), np.asarray(levels)
    q = odds * baseline / (1 + (odds - 1) * baseline)
    per_pass = (1 - q) / (1 - baseline)
    # float32 halves the time, and is off by 1e-5 at most over a run.
    fixed, log_pass, per_failure, weights = (
        x.astype(np.float32) for x in (per_pass / (1 - per_pass), np.log(per_pass), q / baseline, weights)
    )  # fixed: where passes alone bring R_j in the end
    sums = np.zeros((5, len(levels) + 1))
    bets, reached, calls = np.zeros((runs, len(odds)), np.float32), np.zeros(runs, np.int64), np.zeros(runs)
    while len(bets):
        passes = rng.geometric(rate, len(bets)) - 1
        calls += passes + 1
        bets = (fixed + (bets - fixed) * np.exp(passes.astype(np.float32)[:, None] * log_pass) + 1) * per_failure
        s = (bets @ weights).astype(np.float64)
        now = np.searchsorted(levels, s, side="right")
        hit = np.flatnonzero(now > reached)
        for row, value in zip(sums, (s, s**2, calls, calls**2, s * calls), strict=True):
            np.add.at(row, reached[hit], value[hit])
            np.subtract.at(row, now[hit], value[hit])
        reached = np.maximum(reached, now)
        if (reached == len(levels)).any():
            left = reached < len(levels)
            bets, reached, calls = bets[left], reached[left], calls[left]
    s, s2, n, n2, both = np.cumsum(sums, axis=1)[:, :-1] / runs
    return s, np.maximum(0, s2 - s**2), n, np.maximum(0, n2 - n**2), both - s * n


def run_lengths(
    baseline: float,
    levels: Sequence[float] | Floats,
    runs: int,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """The mean calls to a false alarm of each level, with their standard errors.

    S and the calls have the same mean there: of the two that mixture which varies least.
    """
    s, of_s, n, of_n, both = first_crossings(baseline, baseline, levels, runs, rng)
    apart = np.maximum(of_s + of_n - 2 * both, 1e-300)
    part = np.clip((of_s - both) / apart, 0, 1)
    varies = (1 - part) ** 2 * of_s + part**2 * of_n + 2 * part * (1 - part) * both
    return (1 - part) * s + part * n, np.sqrt(np.maximum(0, varies) / runs)


def needed(baseline: float, failures: float, runs: int, rng: np.random.Generator) -> tuple[float, float]:
    """The smallest threshold / run_length shown to be enough, and the best guess of the smallest that is."""
    run_length = failures / baseline
    levels = run_length * np.geomspace(0.35, 0.95, LEVELS)
    mean, error = run_lengths(baseline, levels, runs, rng)
    sure = np.flatnonzero(mean - 4 * error >= run_length)
    guess = np.flatnonzero(mean >= run_length)
    return float(levels[sure[0]] / run_length) if len(sure) else math.inf, float(levels[guess[0]] / run_length)


def places(band: int, failures: float = math.inf) -> list[float]:
    """Baselines of a band, both ends too: more where failures are few or likely, and whole ones make it uneven."""
    if band == 0:
        return [LEAST_BASELINE, 0.001, 0.004, BASELINES[0]]
    low, high = BASELINES[band - 1] * 1.0001, BASELINES[band]
    many = (7 if low > 0.1 else 3) if failures > 1240 else 5 if failures > 300 and low < 0.1 else 9 if low > 0.07 else 6
    return np.geomspace(low, high, many).tolist()


def enough(band: int, failures: float) -> int:
    """Streams for one place: as many as last equally long, and more at the usual baselines; long ones vary no more."""
    least, together = (6_000, 6_000_000) if band < USUAL else (2_000, 2_000_000)
    return int(min(40_000, max(least, together / failures)))


def row(band: int, cells: int) -> list[int]:
    """A band's entries, in thousandths: the most that a cell needs at any baseline of the band.

    Looked at are the ends of a cell, and its middle where cells are wide, which are the uneven bands: there a little
    more may be needed between.
    """
    rng, found = np.random.default_rng([20261130, band]), []
    parts, spare = (1, 1.0) if band < USUAL else (2, SPARE)
    for failures in np.geomspace(*FAILURES, parts * cells + 1).tolist():
        runs = enough(band, failures)
        found.append(max(needed(b, failures, runs, rng)[0] for b in places(band, failures)))
        print(".", end="", flush=True)
    return [math.ceil(1000 * spare * max(found[k : k + parts + 1])) for k in range(0, parts * cells, parts)]


def make() -> None:
    """Print the table of the product anew, as many entries a row as it has."""
    for band, have in enumerate(RATIOS):
        print(f"\n{BASELINES[band]:g}: {row(band, len(have))}", flush=True)


def main() -> int:
    if sys.argv[1:2] == ["--make"]:
        make()
        return 0
    report = Report("_drift_table", __doc__, runs=2000, points=150)
    rng, runs = np.random.default_rng(20261123), report.args.runs
    nodes = np.geomspace(*FAILURES, LENGTHS)
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
    report.add(
        "ratios", f"threshold / run length at {LENGTHS} run lengths and 3 to 7 baselines of each band", head, rows
    )
    report.bar("needed / the product's ratio, worst", over, 1.0)
    lengths = []
    for _ in range(report.args.points):
        baseline = float(np.exp(rng.uniform(math.log(LEAST_BASELINE), math.log(BASELINES[-1]))))
        run_length = float(np.exp(rng.uniform(math.log(FAILURES[0]), math.log(FAILURES[1])))) / baseline
        rule = drift_rule(baseline, run_length)
        mean, error = run_lengths(baseline, [rule.threshold], 4 * runs, rng)
        lengths.append((float(mean[0]) / run_length, float(error[0]) / run_length))
    shown = [f"{x:.3f}" for x in np.quantile([x for x, _ in lengths], [0, 0.1, 0.5, 0.9])]
    report.add(
        "random", f"Run length / stated at {len(lengths)} random places", ["least", "10 %", "50 %", "90 %"], [shown]
    )
    report.bar("least run length / stated, + 3 standard errors", min(x + 3 * e for x, e in lengths), 1.0, most=False)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
