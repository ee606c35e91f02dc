"""Every number that we claim about certifying, luck and intervals, computed exactly: no simulation, no seed.

    python benchmarks/certify.py              Markdown, then one JSON block
    python benchmarks/certify.py --out X.json also writes the JSON to a file

Needs scipy (an oracle here, not a dependency).  About 15 seconds on one core.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy
from scipy import special, stats

from reroll.calibrate import NEVER, met_boundary, not_met_boundary, operating_characteristics, thresholds
from reroll.evidence import interval_array, met_log_e, not_met_log_e
from reroll.verdict import not_worse_rate

Rule = tuple[Any, Any]  # boundaries (met, not met)
CAP = 16_000


def kl(p: float, q: float) -> float:
    """KL(Bernoulli(p) || Bernoulli(q)) in nats."""
    return (p * math.log(p / q) if p > 0 else 0.0) + ((1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0)


def limit(p: float, rate: float, alpha: float) -> float:
    """The fewest mean calls of ANY method with error alpha and full power (Wald 1945): log(1/alpha) / KL."""
    return math.log(1 / alpha) / kl(p, rate)


def boundaries(met: Callable[[int, int], bool], not_met: Callable[[int, int], bool], n_max: int) -> Rule:
    """Boundaries of any rule that looks at (failures, n) and is monotone in failures."""
    low, high = np.full(n_max + 1, -1), np.full(n_max + 1, NEVER)
    f, g = -1, 1
    for n in range(1, n_max + 1):
        while f + 1 <= n and met(f + 1, n):
            f += 1
        while g <= n and not not_met(g, n):
            g += 1
        low[n], high[n] = f, g if g <= n else NEVER
    return low, high


def rules(rate: float, alpha: float, n: int) -> dict[str, Rule]:
    """Our rule and what people use instead."""
    plain = -math.log(alpha)

    def robbins(f: int, n: int) -> bool:
        gain = special.betaln(1 + f, 1 + n - f)
        return bool(gain - f * math.log(rate) - (n - f) * math.log1p(-rate) >= plain)

    return {
        "reroll": (met_boundary(rate, alpha, None, n), not_met_boundary(rate, alpha, None, n)),
        "same bets, threshold 1/alpha": boundaries(
            lambda f, n: met_log_e(f, n, rate) >= plain, lambda f, n: not_met_log_e(f, n, rate) >= plain, n
        ),
        "Robbins mixture, uniform prior": boundaries(
            lambda f, n: f / n < rate and robbins(f, n), lambda f, n: f / n > rate and robbins(f, n), n
        ),
        "INVALID: Clopper-Pearson at every look": boundaries(
            lambda f, n: f < n and special.betaincc(f + 1, n - f, rate) <= alpha,
            lambda f, n: special.betainc(f, n - f + 1, rate) <= alpha,
            n,
        ),
    }


def certify_table() -> list[dict[str, Any]]:
    rate, alpha = 0.01, 0.05
    rows = []
    for name, (met, not_met) in rules(rate, alpha, CAP).items():
        row: dict[str, Any] = {
            "rule": name,
            "wrong_met": operating_characteristics(rate, met, None, CAP).met,
            "wrong_not_met": operating_characteristics(rate, None, not_met, CAP).not_met,
            "calls": {},
        }
        for p in (0.0, 0.001, 0.002, 0.005, 0.02, 0.05, 0.2):
            result = operating_characteristics(p, met, not_met, CAP)
            row["calls"][f"{100 * p:g}%"] = {
                "mean": result.expected_calls,
                "times_limit": result.expected_calls / limit(p, rate, alpha),
                "p90": result.quantile(0.9),
                "right": result.met if p <= rate else result.not_met,
            }
        rows.append(row)
    return rows


def horizon_table() -> list[dict[str, Any]]:
    rows = []
    for horizon in (400, 1000, 2000, 4000):
        met, not_met = met_boundary(0.01, 0.05, horizon, horizon), not_met_boundary(0.01, 0.05, horizon, horizon)
        c = thresholds(0.01, 0.05, horizon)
        row: dict[str, Any] = {
            "horizon": horizon,
            "threshold_met": math.exp(c.met),
            "threshold_not_met": math.exp(c.not_met),
            "calls_at_zero_failures": int(np.argmax(met >= 0)),
            "wrong_met": operating_characteristics(0.01, met, None, horizon).met,
            "wrong_not_met": operating_characteristics(0.01, None, not_met, horizon).not_met,
        }
        for p in (0.001, 0.002, 0.02, 0.05):
            result = operating_characteristics(p, met, not_met, horizon)
            row[f"right_at_{100 * p:g}%"] = result.met if p < 0.01 else result.not_met
        rows.append(row)
    return rows


def targets_table() -> list[dict[str, Any]]:
    rows = []
    pairs = ((0.1, 0.05), (0.05, 0.05), (0.02, 0.05), (0.01, 0.01), (0.01, 0.05), (0.01, 0.1), (0.005, 0.05))
    for rate, alpha in pairs:
        n = int(160 / rate)
        started = time.perf_counter()
        thresholds.cache_clear()
        c = thresholds(rate, alpha)
        seconds = time.perf_counter() - started
        met, not_met = met_boundary(rate, alpha, None, n), not_met_boundary(rate, alpha, None, n)
        row: dict[str, Any] = {
            "target": 1 - rate,
            "alpha": alpha,
            "threshold_met": math.exp(c.met),
            "threshold_not_met": math.exp(c.not_met),
            "calls_at_zero_failures": int(np.argmax(met >= 0)),
            "fixed_n_at_zero_failures": math.ceil(math.log(alpha) / math.log1p(-rate)),
            "wrong_met": operating_characteristics(rate, met, None, n).met,
            "wrong_not_met": operating_characteristics(rate, None, not_met, n).not_met,
            "threshold_seconds": seconds,
        }
        for times in (0.1, 0.5, 2, 5):
            p = times * rate
            row[f"times_limit_at_{times:g}x"] = operating_characteristics(p, met, not_met, n).expected_calls / limit(
                p, rate, alpha
            )
        rows.append(row)
    return rows


def luck_table() -> list[dict[str, Any]]:
    rows = []
    for reference in (0.01, 0.02, 0.05, 0.1):
        n = int(80 / reference)
        worse = not_met_boundary(reference, 0.05, None, n)
        not_worse = met_boundary(not_worse_rate(reference), 0.05, None, n)
        wrong = max(
            operating_characteristics(reference, not_worse, worse, n).not_met,
            operating_characteristics(not_worse_rate(reference), not_worse, worse, n).met,
        )
        row: dict[str, Any] = {
            "reference_rate": reference,
            "wrong_ever": wrong,
            "calls_all_fine": int(np.argmax(not_worse >= 0)),
        }
        for p in (0.1, 0.2, 0.5, 1.0):
            if p > not_worse_rate(reference):
                result = operating_characteristics(p, not_worse, worse, n)
                row[f"calls_at_{100 * p:g}%"] = result.expected_calls
        rows.append(row)
    return rows


def interval_table() -> list[dict[str, Any]]:
    rows = []
    for n in (10, 30, 100, 300, 1000, 3000):
        f = np.arange(n + 1)
        low, high = interval_array(f, n, 0.05)
        cp_low = np.nan_to_num(stats.beta.ppf(0.025, f, n - f + 1))
        cp_high = np.nan_to_num(stats.beta.ppf(0.975, f + 1, n - f), nan=1.0)
        row: dict[str, Any] = {"n": n}
        for p in (0.0, 0.01, 0.05, 0.2, 0.5):
            chance = stats.binom.pmf(f, n, p)
            width = float(((high - low) * chance).sum())
            row[f"{100 * p:g}%"] = {"width": width, "times": width / float(((cp_high - cp_low) * chance).sum())}
        rows.append(row)
    return rows


def least_worst_ratio(ps: tuple[float, ...], weights: tuple[float, ...], calls: int) -> float:
    """A lower bound on max over p of E_p[calls] / limit(p), for ANY rule with error alpha at 1 % (alpha 5 %).

    The weighted mean of the ratios plus price x error is minimised by backward
    induction over (n, failures), for many prices at once; the best price minus
    price x alpha bounds the weighted mean, hence the worst ratio.  Stopping is
    free after `calls`, which can only lower the bound.
    """
    rate, alpha = 0.01, 0.05
    f = np.arange(int(calls * rate + 12 * math.sqrt(calls * rate)) + 40)
    price = np.geomspace(1, 60, 60)
    value = np.zeros((len(price), len(f) + 1))
    for n in range(calls - 1, -1, -1):
        one_more = np.zeros(len(f))
        for p, weight in zip(ps, weights, strict=True):
            ratio = special.xlogy(f, p / rate) + (n - f) * (math.log1p(-p) - math.log1p(-rate))
            one_more += weight / limit(p, rate, alpha) * np.exp(np.minimum(ratio, 300))
        going_on = one_more + rate * value[:, 1:] + (1 - rate) * value[:, :-1]
        value[:, :-1] = np.minimum(price[:, None], going_on)
    return float((value[:, 0] - price * alpha).max())


def interval_misses(n_max: int = 300) -> dict[str, float]:
    """Chance that the true rate is EVER outside the 95 % interval, looking after each of n_max calls."""
    n = np.arange(n_max + 1)
    low, high = interval_array(n[None, :], np.maximum(n[:, None], n[None, :]), 0.05)
    reachable = n[None, :] <= n[:, None]
    misses = {}
    for p in (0.01, 0.05, 0.2, 0.5):
        below = np.where(reachable & (high < p), n[None, :], -1).max(axis=1)
        above = np.where(reachable & (low > p), n[None, :], NEVER).min(axis=1)
        result = operating_characteristics(p, below, above, n_max)
        misses[f"{100 * p:g}%"] = result.met + result.not_met
    return misses


# ---------------------------------------------------------------- printing


def cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        if "width" in value:
            return f"{100 * value['width']:.2f} ({value['times']:.2f})"
        return f"{value['mean']:.0f} ({value['times_limit']:.2f}) / {value['p90'] or '-'}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def markdown(title: str, rows: list[dict[str, Any]]) -> str:
    flat = [{**{k: v for k, v in row.items() if k != "calls"}, **row.get("calls", {})} for row in rows]
    names = list(dict.fromkeys(name for row in flat for name in row))
    lines = [f"### {title}", "", "| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    lines += ["| " + " | ".join(cell(row.get(name)) for name in names) + " |" for row in flat]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", help="also write the JSON to this file")
    args = parser.parse_args()
    started = time.perf_counter()
    report: dict[str, Any] = {
        "schema": "reroll.benchmark.certify/1",
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "benchmarks/certify.py", *sys.argv[1:]]),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "certify_99_percent": certify_table(),
        "least_worst_ratio_of_any_rule": {
            "0, 0.1, 0.2, 0.5%": least_worst_ratio((0.0, 0.001, 0.002, 0.005), (0.446, 0.072, 0.072, 0.41), CAP),
            "2, 5, 20%": least_worst_ratio((0.02, 0.05, 0.2), (0.34, 0.2, 0.46), 6000),
        },
        "declared_horizon": horizon_table(),
        "other_targets": targets_table(),
        "luck": luck_table(),
        "interval_width": interval_table(),
        "interval_ever_misses_by_300": interval_misses(),
    }
    report["seconds"] = round(time.perf_counter() - started, 1)
    titles = {
        "certify_99_percent": "Is it 99 % reliable? alpha 5 %: mean calls (times the limit) / 90th percentile",
        "declared_horizon": "The same with a declared, binding end",
        "other_targets": "Other targets",
        "luck": "Fresh runs until a case is told from its reference rate",
        "interval_width": "Mean width of the 95 % interval in points (times Clopper-Pearson), by true failure rate",
    }
    for key, title in titles.items():
        print(markdown(title, report[key]))
    print("### The worst ratio to the limit that no rule can beat, serving these rates at once\n")
    print(", ".join(f"{ps}: {least:.3f}" for ps, least in report["least_worst_ratio_of_any_rule"].items()), end="\n\n")
    print("### The rate is ever outside its 95 % interval, looking after each of 300 calls\n")
    print(", ".join(f"{p}: {100 * miss:.1f} %" for p, miss in report["interval_ever_misses_by_300"].items()))
    text = json.dumps(report, indent=1)
    print(f"\n```json\n{text}\n```")
    if args.out:
        with open(args.out, "w", encoding="utf-8") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
