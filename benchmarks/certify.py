"""Every number that we claim about certifying and luck, computed exactly: no simulation, no seed.

    python benchmarks/certify.py              Markdown, then one JSON block
    python benchmarks/certify.py --out X.json also writes the JSON to a file

Needs scipy (an oracle here, not a dependency).  About 40 seconds on one core.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from _report import Report
from reroll.calibrate import NEVER, met_boundary, not_met_boundary, operating_characteristics, thresholds
from reroll.evidence import met_log_e, not_met_log_e
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

    def kaufmann_koolen(f: int, n: int) -> bool:
        level = plain + 4 * math.log(1 + plain + math.sqrt(2 * plain)) + 3 * math.log(1 + math.log(n))
        return n * kl(f / n, rate) >= level

    def wald(f: int, n: int, p1: float) -> float:
        return f * math.log(p1 / rate) + (n - f) * (math.log1p(-p1) - math.log1p(-rate))

    def wilson(f: int, n: int) -> tuple[float, float]:
        z, p = 1.96, f / n
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)

    return {
        "reroll": (met_boundary(rate, alpha, None, n), not_met_boundary(rate, alpha, None, n)),
        "same bets, threshold 1/alpha": boundaries(
            lambda f, n: met_log_e(f, n, rate) >= plain, lambda f, n: not_met_log_e(f, n, rate) >= plain, n
        ),
        "Robbins mixture, uniform prior": boundaries(
            lambda f, n: f / n < rate and robbins(f, n), lambda f, n: f / n > rate and robbins(f, n), n
        ),
        "KL time-uniform threshold (Kaufmann & Koolen)": boundaries(
            lambda f, n: f / n < rate and kaufmann_koolen(f, n),
            lambda f, n: f / n > rate and kaufmann_koolen(f, n),
            n,
        ),
        "INVALID: Wald's SPRT, 0.2 % against 1 %": boundaries(
            lambda f, n: wald(f, n, rate / 5) >= math.log(0.9 / alpha),
            lambda f, n: wald(f, n, rate / 5) <= math.log(0.1 / (1 - alpha)),
            n,
        ),
        "INVALID: Wilson interval at every look (sigeval)": boundaries(
            lambda f, n: wilson(f, n)[1] <= rate, lambda f, n: wilson(f, n)[0] >= rate, n
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
    pairs = (
        (0.5, 0.05), (0.1, 0.01), (0.1, 0.05), (0.1, 0.1), (0.05, 0.05), (0.02, 0.05), (0.01, 0.001), (0.01, 0.01),
        (0.01, 0.05), (0.01, 0.1), (0.01, 0.2), (0.005, 0.05), (0.001, 0.05), (0.0001, 0.05),
    )  # fmt: skip
    for rate, alpha in pairs:
        n = int(120 / rate) if rate >= 0.001 else int(4 / rate)
        started = time.process_time()
        thresholds.cache_clear()
        c = thresholds(rate, alpha)
        seconds = time.process_time() - started
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
        for times in (0, 0.1, 0.2, 0.5, 2, 5, 10):
            p = times * rate
            if p < 1 and rate >= 0.001:
                calls = operating_characteristics(p, met, not_met, n).expected_calls
                row[f"{times:g}x"] = calls / limit(p, rate, alpha)
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


# ---------------------------------------------------------------- printing


def chance(value: float) -> str:
    return f"{100 * value:.3g} %"


def tables(report: Report) -> None:
    raw = report.report
    rates = list(raw["certify_99_percent"][0]["calls"])
    report.add(
        "reliable",
        "Is it 99 % reliable? alpha 5 %, a look after every call: mean calls (times the limit); 90th percentile",
        ["rule", "ever wrong: met", "not met", *(f"fails {rate}" for rate in rates)],
        [
            [
                row["rule"],
                *(chance(row[key]) for key in ("wrong_met", "wrong_not_met")),
                *(f"{c['mean']:.0f} ({c['times_limit']:.2f}); {c['p90'] or '–'}" for c in row["calls"].values()),
            ]
            for row in raw["certify_99_percent"]
        ],
    )
    report.add(
        "horizon",
        "The same with a declared, binding end",
        ["horizon", "calls at zero failures", "ever wrong: met", "not met"],
        [
            [row["horizon"], row["calls_at_zero_failures"], *(chance(row[k]) for k in ("wrong_met", "wrong_not_met"))]
            for row in raw["declared_horizon"]
        ],
    )
    times = [f"{t:g}x" for t in (0, 0.1, 0.2, 0.5, 2, 5, 10)]
    report.add(
        "targets",
        "Other targets: mean calls, times the limit, by failure rate in units of the tolerated one",
        ["target", "alpha", "calls at zero failures (fixed n, one look)", "ever wrong: met", "not met", *times],
        [
            [
                f"{100 * row['target']:g} %",
                f"{100 * row['alpha']:g} %",
                f"{row['calls_at_zero_failures']:,} ({row['fixed_n_at_zero_failures']:,})",
                *(chance(row[key]) for key in ("wrong_met", "wrong_not_met")),
                *(f"{row[t]:.2f}" if t in row else "–" for t in times),
            ]
            for row in raw["other_targets"]
        ],
    )
    failing = [f"calls_at_{p}%" for p in (10, 20, 50, 100)]
    report.add(
        "badluck",
        "Bad luck? Mean fresh runs until a case is told from its reference rate",
        [
            "reference rate",
            *(f"case fails {name.removeprefix('calls_at_')}" for name in failing),
            "no failure at all: below three times the reference after",
            "ever wrong",
        ],
        [
            [
                f"{100 * row['reference_rate']:g} %",
                *(f"{row[name]:.3g}" if name in row else "–" for name in failing),
                row["calls_all_fine"],
                chance(row["wrong_ever"]),
            ]
            for row in raw["luck"]
        ],
    )
    least = raw["least_worst_ratio_of_any_rule"]
    report.add(
        "least",
        "The worst ratio to the limit that no rule can beat, serving these rates at once",
        ["rates", "ratio"],
        [[rates, f"{ratio:.3f}"] for rates, ratio in least.items()],
    )


WALD = "log(1/alpha) / KL (Wald 1945)"
MOST = {"0%": 1.20, "0.1%": 1.20, "0.2%": 1.20, "0.5%": 1.20, "2%": 1.21, "5%": 1.20, "20%": 1.5}


def hold_to_bars(report: Report) -> None:
    """The issue's promises beside what was measured."""
    ours = report.report["certify_99_percent"][0]
    others = report.report["certify_99_percent"][1:]
    valid = [r for r in others if not r["rule"].startswith(("INVALID", "same bets"))]
    sigeval = next(r for r in others if "sigeval" in r["rule"])
    for side in ("met", "not_met"):
        peer = ("sigeval 50c2f24, Wilson at every look", sigeval[f"wrong_{side}"])
        report.bar(f"certify 99 %: ever wrong, {side.replace('_', ' ')}", ours[f"wrong_{side}"], 0.05, peer=peer)
    for p, most in MOST.items():
        report.bar(
            f"certify 99 % at {p}: calls, times the limit",
            ours["calls"][p]["times_limit"],
            most,
            peer=min(((r["rule"], r["calls"][p]["times_limit"]) for r in valid), key=lambda x: x[1]),
            limit=WALD,
        )
    targets = [row for row in report.report["other_targets"] if 0.0009 < 1 - row["target"] < 0.11]
    targets = [row for row in targets if 0.009 < row["alpha"] < 0.11]
    for times, most in (("0x", 1.28), ("0.1x", 1.28), ("0.2x", 1.28), ("0.5x", 1.28), ("2x", 1.29), ("5x", 1.28)):
        worst = max(row[times] for row in targets)
        report.bar(f"targets 90...99.9 %, alpha 1...10 %, at {times}: times the limit", worst, most, limit=WALD)
    tenfold = max(row["10x"] for row in targets if "10x" in row)
    report.bar("targets 95...99.9 %, at 10x: times the limit", tenfold, 1.58, limit=WALD)
    report.bar(
        "targets 50...99.99 %: ever wrong, of alpha",
        max(max(row["wrong_met"], row["wrong_not_met"]) / row["alpha"] for row in report.report["other_targets"]),
        1.0,
    )
    slowest = max(r["threshold_seconds"] for r in report.report["other_targets"])
    report.bar("CPU seconds for a new threshold", slowest, 0.5, unit="s")
    ninety_nine = next(r for r in report.report["other_targets"] if (r["target"], r["alpha"]) == (0.99, 0.05))
    report.bar("certify 99 %: calls at no failure, open-ended", ninety_nine["calls_at_zero_failures"], 355)
    thousand = next(r for r in report.report["declared_horizon"] if r["horizon"] == 1000)
    report.bar("certify 99 %: calls at no failure, horizon 1,000", thousand["calls_at_zero_failures"], 317)
    for p, most in (("5%", 84), ("20%", 10)):
        mean = ours["calls"][p]["mean"]
        report.bar(f"certify 99 %: calls until a case that fails {p} is refused, rounded", round(mean), most)
    luck = {row["reference_rate"]: row for row in report.report["luck"]}
    report.bar("luck: 50 % against 2 %, fresh runs", luck[0.02]["calls_at_50%"], 5)
    report.bar("luck: 20 % against 5 %, fresh runs", luck[0.05]["calls_at_20%"], 26)


def main() -> int:
    report = Report("certify", __doc__)
    report.report |= {
        "certify_99_percent": certify_table(),
        "least_worst_ratio_of_any_rule": {
            "0, 0.1, 0.2, 0.5%": least_worst_ratio((0.0, 0.001, 0.002, 0.005), (0.446, 0.072, 0.072, 0.41), CAP),
            "2, 5, 20%": least_worst_ratio((0.02, 0.05, 0.2), (0.34, 0.2, 0.46), 6000),
        },
        "declared_horizon": horizon_table(),
        "other_targets": targets_table(),
        "luck": luck_table(),
    }
    tables(report)
    hold_to_bars(report)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
