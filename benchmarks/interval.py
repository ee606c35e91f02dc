"""Intervals under every look: how often the truth is ever outside, and how wide they are, beside the usual ones.

    python benchmarks/interval.py [--runs N] [--out X.json]

Rates are computed exactly (a walk over every path); means over cases, pass^k and graded scores by
seeded simulation. Needs scipy (an oracle here, not a dependency).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from _report import Report
from reroll.calibrate import NEVER, operating_characteristics
from reroll.evidence import Evidence, graded_interval, interval_array
from reroll.suite import pass_hat_k_est, suite_estimate

Ends = tuple[Any, Any]
ALPHA, LOOKS = 0.05, 3000
RATES = (0.001, 0.01, 0.05, 0.2, 0.5)
SIZES = (10, 30, 100, 300, 1000, 3000)


def reroll(f: Any, n: Any) -> Ends:
    return interval_array(f, n, ALPHA)


def clopper_pearson(f: Any, n: Any) -> Ends:
    low = np.nan_to_num(stats.beta.ppf(ALPHA / 2, f, n - f + 1))
    return low, np.nan_to_num(stats.beta.ppf(1 - ALPHA / 2, f + 1, n - f), nan=1.0)


def wilson(f: Any, n: Any) -> Ends:
    z, p = stats.norm.ppf(1 - ALPHA / 2), f / n
    middle, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def normal(f: Any, n: Any) -> Ends:
    """Mean and standard error, as lm-eval prints it: no width at 0 and at n failures."""
    p = f / n
    half = stats.norm.ppf(1 - ALPHA / 2) * np.sqrt(p * (1 - p) / np.maximum(n - 1, 1))
    return p - half, p + half


def student(f: Any, n: Any) -> Ends:
    """Inspect 0.3.285's `ci()` by its default, Student's t on the mean: [1, 1] where all have passed."""
    p = f / n
    t = stats.t.ppf(1 - ALPHA / 2, np.maximum(n - 1, 1))
    half = np.where(n > 1, t * np.sqrt(p * (1 - p) / np.maximum(n - 1, 1)), 0.0)
    return p - half, p + half


RULES: dict[str, Callable[[Any, Any], Ends]] = {
    "reroll": reroll,
    "Clopper-Pearson": clopper_pearson,
    "Wilson (sigeval, MLflow)": wilson,
    "Student's t, `ci()` (Inspect 0.3.285)": student,
    "mean and standard error (lm-eval)": normal,
}


def ever_missed(rule: Callable[[Any, Any], Ends], p: float) -> float:
    """The chance that p is ever outside, looking after each of LOOKS calls: exact."""
    below, above = np.full(LOOKS + 1, -1), np.full(LOOKS + 1, NEVER)
    for n in range(1, LOOKS + 1):
        near = int(n * p)
        reach = int(8 * np.sqrt(n * p * (1 - p)) + 30)
        f = np.arange(max(0, near - reach), min(n, near + reach) + 1)
        low, high = rule(f.astype(float), np.full(len(f), float(n)))
        under, over = f[np.asarray(high) < p], f[np.asarray(low) > p]
        below[n] = under.max() if len(under) else -1
        above[n] = over.min() if len(over) else NEVER
    # A rule whose boundary falls back is held to the furthest that it has ever been.
    found = operating_characteristics(p, np.maximum.accumulate(below), above, LOOKS)
    return found.met + found.not_met


def widths(report: Report) -> None:
    rows, worst = [], {"zero": 0.0, "to 300": 0.0, "to 3000": 0.0}
    least = np.inf
    for n in SIZES:
        f = np.arange(n + 1).astype(float)
        low, high = reroll(f, np.full(n + 1, float(n)))
        cp_low, cp_high = clopper_pearson(f, n)
        least = min(least, float((high - low).min()))
        row: list[Any] = [n]
        for p in (0.0, *RATES[1:]):
            chance = stats.binom.pmf(f, n, p)
            ratio = float(((high - low) * chance).sum() / ((cp_high - cp_low) * chance).sum())
            row.append(f"{ratio:.2f}")
            key = "zero" if p == 0 else "to 300" if n <= 300 else "to 3000"
            worst[key] = max(worst[key], ratio)
        rows.append(row)
    head = ["calls", "0 %", *(f"{p:.0%}" for p in RATES[1:])]
    report.add("width", "Mean width, times Clopper-Pearson (valid at one planned look only)", head, rows)
    report.bar("interval at 0 failures: width, times Clopper-Pearson", worst["zero"], 1.25)
    report.bar("interval to 300 calls: width, times Clopper-Pearson", worst["to 300"], 1.7)
    report.bar("interval to 3000 calls: width, times Clopper-Pearson", worst["to 3000"], 1.85)
    report.bar("interval: narrowest ever, in points", 100 * least, 0.0001, most=False)


def over_cases(report: Report, runs: int) -> None:
    """Cases with rates from Beta(mean 10 %, ICC 0.4), five runs each: is their mean inside, ever and once?"""
    rng, icc, mean = np.random.default_rng(1), 0.4, 0.1
    strength = (1 - icc) / icc
    ever, at_end, pooled, hat = 0, 0, 0, 0
    z = stats.norm.ppf(1 - ALPHA / 2)
    truth_hat = float(np.mean((1 - rng.beta(mean * strength, (1 - mean) * strength, 400_000)) ** 2))
    for _ in range(runs):
        failures = rng.binomial(5, rng.beta(mean * strength, (1 - mean) * strength, 40))
        cases = [Evidence(int(f), 5) for f in failures]
        outside = []
        for n in range(1, 41, 2):
            est = suite_estimate(cases[:n], ALPHA).mean
            outside.append(not (est.low or 0.0) <= mean <= (1.0 if est.high is None else est.high))
        ever, at_end = ever + any(outside), at_end + outside[9]
        hats = [pass_hat_k_est(cases[:n], 2, ALPHA) for n in range(2, 41, 3)]
        hat += any(not (h.low or 0.0) <= truth_hat <= (1.0 if h.high is None else h.high) for h in hats)
        f = failures[:20].sum()
        middle, half = f / 100 + z * z / 200, z * np.sqrt(f / 100 * (1 - f / 100) / 100 + z * z / 40000)
        pooled += not (middle - half) / (1 + z * z / 100) <= mean <= (middle + half) / (1 + z * z / 100)
    rows = [
        ["reroll, mean over cases, looking after every second of 40 cases", f"{ever / runs:.1%}"],
        ["reroll, mean over cases, at 19 cases", f"{at_end / runs:.1%}"],
        ["reroll, pass^2, looking after every third of 40 cases", f"{hat / runs:.1%}"],
        ["Wilson on 20 x 5 pooled runs (MLflow, agentrial), at 20 cases", f"{pooled / runs:.1%}"],
    ]
    report.add("cases", "Repeats inside cases (ICC 0.4): the truth is outside in", ["interval", "outside"], rows)
    peer = ("Wilson on pooled runs, one look (MLflow, agentrial)", pooled / runs)
    report.bar("mean over cases: ever outside", ever / runs, 0.05, peer=peer)
    report.bar("pass^2 over cases: ever outside", hat / runs, 0.05)


def graded(report: Report, runs: int) -> None:
    rng, rows = np.random.default_rng(2), []
    worst = 0.0
    for name, draw in (
        ("uniform", lambda n: rng.uniform(size=n)),
        ("mostly 0, some 1, few between", lambda n: rng.choice([0.0, 0.5, 1.0], n, p=[0.85, 0.05, 0.1])),
        ("nearly constant", lambda n: rng.beta(200, 800, n)),
    ):
        truth = {"uniform": 0.5, "nearly constant": 0.2}.get(name, 0.125)
        missed, width = 0, []
        for _ in range(runs):
            scores = draw(200)
            ends = [graded_interval(scores[:n], ALPHA) for n in (1, 2, 3, 5, 8, 12, 20, 30, 50, 80, 120, 200)]
            missed += any(not low <= truth <= high for low, high in ends)
            width.append(ends[-1][1] - ends[-1][0])
        worst = max(worst, missed / runs)
        rows.append([name, f"{missed / runs:.1%}", f"{100 * float(np.mean(width)):.1f}"])
    report.add("graded", "Graded scores, twelve looks to 200", ["scores", "ever outside", "width at 200, points"], rows)
    report.bar("graded scores: ever outside", worst, 0.05)


def main() -> int:
    report = Report("interval", __doc__, runs=200)
    missed = {name: [ever_missed(rule, p) for p in RATES] for name, rule in RULES.items()}
    rows = [[name, *(f"{miss:.1%}" for miss in found)] for name, found in missed.items()]
    head = ["interval", *(f"{100 * p:g} %" for p in RATES)]
    report.add("missed", f"The rate is ever outside, looking after each of {LOOKS:,} calls (exact)", head, rows)
    others = {name: max(found) for name, found in missed.items() if name != "reroll"}
    least = min(others, key=lambda name: others[name])
    report.bar("interval: ever outside", max(missed["reroll"]), 0.05, peer=(least, others[least]))
    for name, worst in others.items():
        report.number(f"interval: ever outside, {name}", worst)
    widths(report)
    over_cases(report, report.args.runs)
    graded(report, report.args.runs)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
