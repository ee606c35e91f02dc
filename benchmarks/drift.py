"""Drift: calls between false alarms and calls to a true one, against the exact limit and other rules.

    python benchmarks/drift.py [--runs N] [--out X.json]

The limit is the CUSUM that knows the new rate, tuned to the run length (nothing is faster in the worst
case: Moustakides 1986), computed exactly as a Markov chain.  Delays are from a fresh detector, where
the statistic is smallest: the worst case.  reroll knows no new rate.  Seeded simulation, runs >= 10,000.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import scipy.sparse as sparse
from scipy import stats
from scipy.sparse.linalg import spsolve

from _drift_table import first_crossings
from _report import Report
from reroll.drift import first_alarm, start, steps
from reroll.drift_rule import ODDS, WEIGHTS, DriftRule, baseline_limit, drift_rule

Floats = npt.NDArray[np.float64]

SETTINGS = (  # baseline, run length, rises
    (0.01, 10_000, (1.5, 2, 3, 5, 10, 20)),
    (0.001, 10_000, (1.5, 2, 3, 5, 10, 20)),
    (0.001, 100_000, (1.5, 2, 3, 5, 10, 20)),
    (0.01, 100_000, (1.5, 2, 3, 5, 10, 20)),
    (0.05, 1000, (1.5, 2, 3, 5, 10)),
    (0.1, 10_000, (1.5, 2, 3, 5)),
    (0.02, 400_000, (1.5, 2, 3, 5, 10, 20)),
)
P0, RUN_LENGTH = 0.01, 10_000


# ---------------------------------------------------------------- CUSUM, exactly


def cusum_calls(rate: float, height: int, up: int, down: int) -> float:
    """Mean calls until W >= height, W <- max(W, 0) + up on a failure, - down on a pass; exact."""
    at = np.arange(height)
    failed, passed = at + up, np.maximum(at - down, 0)
    stays = failed < height
    moves = sparse.csc_matrix((np.full(height, 1 - rate), (at, passed)), shape=(height, height))
    moves += sparse.csc_matrix((np.full(stays.sum(), rate), (at[stays], failed[stays])), shape=(height, height))
    return float(spsolve((sparse.identity(height, format="csc") - moves).tocsc(), np.ones(height))[0])


class Cusum:
    """The CUSUM designed for one new rate, its log likelihood ratios rounded to a common unit (a twelfth of a pass)."""

    def __init__(self, baseline: float, design: float) -> None:
        gain, loss = math.log(design / baseline), math.log((1 - baseline) / (1 - design))
        ratio = Fraction(round(gain / loss * 12), 12)
        self.baseline, self.up, self.down = baseline, ratio.numerator, ratio.denominator
        self.unit = loss / self.down

    def at_threshold(self, log_threshold: float, rate: float) -> float:
        return cusum_calls(rate, math.ceil(log_threshold / self.unit), self.up, self.down)

    def tuned(self, run_length: float) -> Callable[[float], float]:
        """Mean calls at a rate; of two neighbouring thresholds one is drawn, so that the run length is exact."""
        low, high = 1, 2
        while cusum_calls(self.baseline, high, self.up, self.down) < run_length:
            low, high = high, 2 * high
        while high - low > 1:
            mid = (low + high) // 2
            short = cusum_calls(self.baseline, mid, self.up, self.down) < run_length
            low, high = (mid, high) if short else (low, mid)
        ends = [cusum_calls(self.baseline, h, self.up, self.down) for h in (low, high)]
        share = (run_length - ends[0]) / (ends[1] - ends[0])

        def calls(rate: float) -> float:
            a, b = (cusum_calls(rate, h, self.up, self.down) for h in (low, high))
            return (1 - share) * a + share * b

        return calls


def limit(baseline: float, rate: float, run_length: float) -> float:
    return Cusum(baseline, rate).tuned(run_length)(rate)


# ---------------------------------------------------------------- ours


def mean_calls(
    rule: DriftRule, rate: float, runs: int, rng: np.random.Generator, cap: float = math.inf
) -> tuple[float, float]:
    """Mean calls to the first alarm at a rate, and its standard error; runs of `cap` calls end there."""
    if cap < math.inf:
        calls = capped_calls(rule, rate, runs, rng, cap)
        return float(calls.mean()), float(calls.std() / math.sqrt(runs))
    _, _, mean, varies, _ = first_crossings(rule.baseline, rate, [rule.threshold], runs, rng)
    return float(mean[0]), math.sqrt(varies[0] / runs)


def capped_calls(rule: DriftRule, rate: float, runs: int, rng: np.random.Generator, cap: float) -> Floats:
    odds, weights = np.array(ODDS), np.array(WEIGHTS)
    q = odds * rule.baseline / (1 + (odds - 1) * rule.baseline)
    per_failure, per_pass = q / rule.baseline, (1 - q) / (1 - rule.baseline)
    fixed, log_pass = per_pass / (1 - per_pass), np.log(per_pass)
    bets, calls, ended = np.zeros((runs, len(odds))), np.zeros(runs), []
    while len(bets):
        passes = rng.geometric(rate, len(bets)) - 1
        calls += passes + 1
        bets = (fixed + (bets - fixed) * np.exp(passes[:, None] * log_pass) + 1) * per_failure
        done = (bets @ weights >= rule.threshold) | (calls >= cap)
        ended.append(np.minimum(calls[done], cap))
        bets, calls = bets[~done], calls[~done]
    return np.concatenate(ended)


def ours(report: Report, runs: int) -> None:
    rng = np.random.default_rng(1)
    rows, beyond = [], 0.0
    for baseline, run_length, rises in SETTINGS:
        rule = drift_rule(baseline, run_length)
        mean, of_mean, calls, of_calls, _ = (
            float(x[0]) for x in first_crossings(baseline, baseline, [rule.threshold], 4 * runs, rng)
        )
        error, calls_error = (math.sqrt(each / (4 * runs)) for each in (of_mean, of_calls))
        cells = []
        for rise in rises:
            best = limit(baseline, rise * baseline, run_length)
            delay, _ = mean_calls(rule, rise * baseline, runs, rng)
            cells.append(f"{rise:g}x: {delay:.0f} / {best:.0f} = {delay / best:.2f}")
            if (baseline, run_length) == (P0, RUN_LENGTH):
                report.bar(
                    f"delay at a rise of {rise:g} times / the exact limit",
                    delay / best,
                    1.25,
                    limit="tuned CUSUM that knows the rise",
                )
        rows.append(
            [
                f"{baseline:.1%}",
                f"{run_length:,}",
                f"{rule.threshold:,.0f}",
                f"{mean:,.0f} ± {error:,.0f}",
                f"{calls:,.0f} ± {calls_error:,.0f}",
                "; ".join(cells),
            ]
        )
        report.bar(f"run length at {baseline:.1%} / the stated {run_length:,}", mean / run_length, 1.0, most=False)
        if (baseline, run_length) != (P0, RUN_LENGTH):
            beyond = max(beyond, *(float(cell.rsplit("= ", 1)[1]) for cell in cells))
    report.bar("delay / the exact limit at other baselines and run lengths, worst", beyond, 1.25)
    head = ["baseline", "stated", "threshold", "run length (as mean S)", "counted", "delay / limit = ratio"]
    report.add("known_baseline", "Baseline known", head, rows)


# ---------------------------------------------------------------- other rules


def windows(rate: float, prefix: int, alarms: npt.NDArray[np.bool_], runs: int, rng: np.random.Generator) -> float:
    """Mean calls to the first window of len(alarms) - 1 calls whose number of failures is an alarm.

    With a prefix, so many healthy calls come first and streams that alarm in them are left out.
    """
    width, horizon = len(alarms) - 1, 40_000
    firsts: list[float] = []
    while len(firsts) < runs:
        chance = np.full((100, horizon + prefix), rate)
        chance[:, :prefix] = P0
        total = np.cumsum(rng.random(chance.shape) < chance, axis=1, dtype=np.int32)
        total = np.concatenate([np.zeros((100, 1), np.int32), total], axis=1)
        hit = alarms[total[:, width:] - total[:, :-width]]
        first = np.where(hit.any(axis=1), hit.argmax(axis=1) + width, horizon + prefix)
        firsts.extend((first[first > prefix] - prefix).tolist())
    return float(np.mean(firsts[:runs]))


def proportion_alarms() -> npt.NDArray[np.bool_]:
    """agentrial's SlidingWindowDetector: 50 calls, pooled z-test against a baseline of 100 calls, p < 5 % two-sided."""
    n, baseline_n, expected = 50, 100, 1 - P0
    passed = n - np.arange(n + 1)
    pooled = (passed + expected * baseline_n) / (n + baseline_n)
    z = (passed / n - expected) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / baseline_n))
    return 2 * stats.norm.sf(np.abs(z)) < 0.05


def wilson_alarms(n: int) -> npt.NDArray[np.bool_]:
    """Alarm when the whole 95 % Wilson interval of the last n calls lies above the baseline."""
    return np.array([stats.binomtest(k, n).proportion_ci(method="wilson").low > P0 for k in range(n + 1)])


def peer_cusum(rate: float, prefix: int, runs: int, rng: np.random.Generator) -> float:
    """agentrial's CUSUMDetector: S <- max(0, S + (target - passed) - 0.05), alarm above 5, 30 calls of warm-up."""
    cap = 40_000
    s, calls, open_ = np.zeros(runs), np.full(runs, float(cap)), np.ones(runs, bool)
    for i in range(30, prefix + cap):
        failed = rng.random(runs) < (P0 if i < prefix else rate)
        s = np.maximum(0, s + failed - P0 - 0.05)
        hit = open_ & (s > 5)
        calls[hit], open_ = i + 1 - prefix, open_ & ~hit
        if not open_.any():
            break
    return float(calls[calls > 0].mean())


def never_restarted(rate: float, healthy: int, runs: int, rng: np.random.Generator) -> float:
    """One e-process from call 1 with the same bets, alarm at 20: mean calls after so many healthy ones."""
    odds = np.array(ODDS)
    q = odds * P0 / (1 + (odds - 1) * P0)
    up, down, weight = np.log(q / P0), np.log((1 - q) / (1 - P0)), np.log(WEIGHTS)
    fails = rng.binomial(healthy, P0, runs)[:, None]
    bets = weight + fails * up + (healthy - fails) * down
    calls, ended = np.zeros(runs), []
    while len(bets):
        passes = rng.geometric(rate, len(bets)) - 1
        calls += passes + 1
        bets = bets + passes[:, None] * down + up
        done = np.logaddexp.reduce(bets, axis=1) >= math.log(20)
        ended.append(calls[done])
        bets, calls = bets[~done], calls[~done]
    return float(np.concatenate(ended).mean())


def others(report: Report, runs: int) -> None:
    rng = np.random.default_rng(2)
    rates = (0.015, 0.02, 0.05, 0.1, 0.2)
    rule = drift_rule(P0, RUN_LENGTH)
    plain = drift_rule(P0, RUN_LENGTH, "loss")
    rows: list[list[str]] = []

    def add(name: str, run_length: float, delays: list[float]) -> None:
        rows.append([name, f"{run_length:,.0f}", *(f"{d:,.0f}" for d in delays)])

    add("exact limit: CUSUM that knows each rate", RUN_LENGTH, [limit(P0, p, RUN_LENGTH) for p in rates])
    for name, which in (("reroll", rule), ("reroll, threshold = run length (theorem)", plain)):
        add(name, mean_calls(which, P0, runs, rng)[0], [mean_calls(which, p, runs, rng)[0] for p in rates])
    for design in (0.02, 0.05, 0.2):
        cusum = Cusum(P0, design)
        tuned = cusum.tuned(RUN_LENGTH)
        add(f"CUSUM for {design:.0%}, tuned", RUN_LENGTH, [tuned(p) for p in rates])
        sure = [cusum.at_threshold(math.log(RUN_LENGTH), p) for p in (P0, *rates)]
        add(f"CUSUM for {design:.0%}, threshold = run length", sure[0], sure[1:])
    few, prefix = min(runs, 400), 200
    for name, alarms in (
        ("agentrial SlidingWindowDetector", proportion_alarms()),
        ("Wilson interval of the last 100", wilson_alarms(100)),
        ("Wilson interval of the last 500", wilson_alarms(500)),
    ):
        healthy = len(alarms) - 1
        add(name, windows(P0, 0, alarms, few, rng), [windows(p, healthy, alarms, few, rng) for p in rates])
    add("agentrial CUSUMDetector", peer_cusum(P0, 0, few, rng), [peer_cusum(p, prefix, few, rng) for p in rates])
    for healthy in (0, 1000, 10_000):
        delays = [never_restarted(p, healthy, min(runs, 4000), rng) for p in rates]
        rows.append(
            [f"one e-process, rise after {healthy:,} calls", "alarms ever: 5 %", *(f"{d:,.0f}" for d in delays)]
        )
    head = ["rule", "calls between false alarms", *(f"delay at {p:.1%}" for p in rates)]
    report.add(
        "rules",
        f"Baseline {P0:.0%}, run length {RUN_LENGTH:,}; mean calls (windows and e-process: cut at 40,000)",
        head,
        rows,
    )


# ---------------------------------------------------------------- estimated baseline, graded, change point


def estimated(report: Report) -> None:
    rng = np.random.default_rng(3)
    cap, each = 50_000.0, 400
    known = {p: mean_calls(drift_rule(P0, RUN_LENGTH), p, 10_000, rng)[0] for p in (0.02, 0.05, 0.2)}
    rows = []
    for n in (300, 1000, 3000):
        fails = np.arange(n + 1)
        chance = stats.binom.pmf(fails, n, P0)
        fails, chance = fails[chance > 2e-4], chance[chance > 2e-4] / chance[chance > 2e-4].sum()
        for name, confidence in (
            ("plug-in (F + ½)/(n + 1)", None),
            ("80 % limit", 0.8),
            ("90 % limit", 0.9),
            ("95 % limit", 0.95),
        ):
            lengths, delays = [], []
            for f in fails:
                baseline = (f + 0.5) / (n + 1) if confidence is None else baseline_limit(int(f), n, confidence)
                rule = drift_rule(baseline, RUN_LENGTH)
                lengths.append(mean_calls(rule, P0, each, rng, cap)[0])
                delays.append([mean_calls(rule, p, each, rng, cap)[0] for p in known])
            kept = float(chance[np.array(lengths) >= RUN_LENGTH * 0.97].sum())  # 3 %: half a standard error
            order = np.argsort(lengths)
            tenth = np.array(lengths)[order][np.searchsorted(np.cumsum(chance[order]), 0.1)]
            mean = chance @ np.array(delays)
            rows.append(
                [n, name, f"{kept:.0%}", f"{tenth:,.0f}", f"{chance @ np.array(lengths):,.0f}"]
                + [f"{d:,.0f} ({d / known[p]:.2f})" for d, p in zip(mean, known, strict=True)]
            )
            if confidence == 0.9:
                report.bar(f"baselines from {n} calls that keep the run length, 90 % limit", kept, 0.9, most=False)
    head = ["baseline calls", "baseline", "run length kept", "its 10th percentile", "its mean (cut at 50,000)"]
    report.add(
        "estimated",
        f"Baseline estimated, true rate {P0:.0%}: delay (times the delay with it known)",
        [*head, *(f"delay at {p:.0%}" for p in known)],
        rows,
    )


def graded(report: Report, runs: int) -> None:
    """Losses spread over 0...1: the plain threshold, walked call by call, all streams at once."""
    rng = np.random.default_rng(4)
    baseline, run_length = 0.1, 1000
    rule = drift_rule(baseline, run_length, "loss")
    odds, weights = np.array(ODDS), np.array(WEIGHTS)
    q = odds * baseline / (1 + (odds - 1) * baseline)
    per_pass = (1 - q) / (1 - baseline)
    slope = q / baseline - per_pass

    def calls(draw: Callable[[int], Floats]) -> tuple[float, float]:
        bets, n, ended = np.zeros((runs, len(odds))), 0, []
        while len(bets):
            n += 1
            x = draw(len(bets))
            bets = (bets + 1) * (per_pass + x[:, None] * slope)
            done = (x > baseline) & (bets @ weights >= rule.threshold)
            ended += [n] * int(done.sum())
            bets = bets[~done]
        return float(np.mean(ended)), float(np.std(ended) / math.sqrt(runs))

    rows = []
    for name, draw in (
        ("0 or 1", lambda mean: lambda size: (rng.random(size) < mean).astype(float)),
        ("Beta, strength 1", lambda mean: lambda size: rng.beta(mean, 1 - mean, size)),
        ("0, ½ or 1", lambda mean: lambda size: rng.choice([0, 0.5, 1], size, p=[1 - 1.5 * mean, mean, mean / 2])),
        ("Beta, strength 20", lambda mean: lambda size: rng.beta(20 * mean, 20 * (1 - mean), size)),
    ):
        cells = [calls(draw(mean)) for mean in (baseline, 0.15, 0.2, 0.5)]
        rows.append([name, *(f"{c:,.0f} ± {e:,.0f}" for c, e in cells)])
        report.bar(f"run length of losses ({name}) / the stated", cells[0][0] / run_length, 1.0, most=False)
    report.add(
        "graded",
        f"Losses in 0...1, baseline {baseline}, run length {run_length:,} (theorem)",
        ["losses", "calls between false alarms", "delay at 0.15", "delay at 0.2", "delay at 0.5"],
        rows,
    )


def change_points(report: Report) -> None:
    """The product's own code on recorded streams: how well an alarm says when the rise began."""
    rng = np.random.default_rng(5)
    rule, healthy, rows = drift_rule(P0, RUN_LENGTH), 1000, []
    for rate in (0.02, 0.05, 0.2):
        offs, rates, late, false = [], [], [], 0
        for _ in range(200):
            fails = rng.random(healthy + 8000) < np.where(np.arange(healthy + 8000) < healthy, P0, rate)
            alarm = first_alarm(("fail" if f else "pass" for f in fails), rule)
            if alarm is None or alarm.at <= healthy:
                false += 1
                continue
            offs.append(alarm.change.after - healthy)
            rates.append(alarm.change.rate)
            late.append(alarm.at - healthy)
        low, mid, high = np.quantile(offs, [0.1, 0.5, 0.9])
        rows.append(
            [
                f"{rate:.0%}",
                f"{np.mean(late):,.0f}",
                f"{low:+.0f} / {mid:+.0f} / {high:+.0f}",
                f"{np.mean(rates):.1%}",
                false,
            ]
        )
    began = time.perf_counter()
    steps(start(rule), ["pass"] * 20_000)
    report.report["microseconds_per_call"] = round((time.perf_counter() - began) / 20_000 * 1e6, 1)
    report.add(
        "change",
        f"When it began: a rise after {healthy:,} healthy calls (200 streams)",
        ["new rate", "delay", "estimated start − true: 10 / 50 / 90 %", "mean of the rate since", "alarmed before"],
        rows,
    )


def main() -> int:
    report = Report("drift", __doc__, runs=10_000)
    ours(report, report.args.runs)
    others(report, report.args.runs)
    estimated(report)
    graded(report, min(report.args.runs, 4000))
    change_points(report)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
