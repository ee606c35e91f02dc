"""Many variants against a baseline, and the best of several: calls and wrong names, seeded simulation.

    python benchmarks/best.py [--runs N] [--out X.json]

Needs scipy (an oracle here, not a dependency).  Rules of others are their published formulas, written anew.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import optimize, stats

from _report import Report
from compare import ALPHA, Floats, kl, mcnemar_boundary, percent
from reroll.best import best_of, better_than_baseline, family_better
from reroll.evidence import interval_array
from reroll.paired import pair_boundary, sign_log_e, stakes


def against_baseline(report: Report, runs: int) -> None:
    """8 variants, 2 of them better (10 % against 20 %); 5 % of the cases are hard for all."""
    rng = np.random.default_rng(6)
    k, good, most, step = 8, 2, 1500, 5
    rules: dict[str, Callable[[dict[str, float], dict[str, float]], tuple[str, ...]]] = {
        "k / alpha (Bonferroni), running maxima": lambda now, top: tuple(
            v for v in top if top[v] >= math.log(k / ALPHA)
        ),
        "reroll, family (stepping down), running maxima": lambda now, top: family_better(top, ALPHA),
        "e-BH, current evidence": lambda now, top: e_bh(now),
        "reroll, closed e-BH, current evidence": lambda now, top: better_than_baseline(now, ALPHA),
    }
    rows = {name: np.zeros(3) for name in rules}
    some = max(40, runs // 4)
    for _ in range(some):
        hard = rng.random((most, 1)) < 0.05
        p = np.where(np.arange(k + 1) < good, 0.10, 0.20)
        x = hard | (rng.random((most, k + 1)) < (p - 0.05) / 0.95)
        base, each = x[:, -1:], x[:, :-1]
        won, lost = np.cumsum(base & ~each, axis=0), np.cumsum(each & ~base, axis=0)
        log_e = sign_log_e(won[..., None] * stakes(-1.0) + lost[..., None] * stakes(1.0))
        top = np.maximum.accumulate(log_e, axis=0)
        for name, rule in rules.items():
            for t in range(step - 1, most, step):
                if np.sort(top[t])[-2] < math.log(5):
                    continue
                named = rule(dict(zip("abcdefgh", log_e[t], strict=True)), dict(zip("abcdefgh", top[t], strict=True)))
                if {"a", "b"} <= set(named):
                    break
            wrong = len(set(named) - {"a", "b"})
            rows[name] += [(t + 1) * (k + 1), wrong > 0, wrong / max(1, len(named))]
    report.add(
        "many",
        f"8 variants against a baseline, 2 better (20 % to 10 %): calls until both are named ({some} runs)",
        ["rule", "mean calls", "runs that also name a wrong one", "mean wrong share"],
        [[name, round(t[0] / some), percent(t[1] / some), percent(t[2] / some)] for name, t in rows.items()],
    )


def e_bh(log_es: dict[str, float]) -> tuple[str, ...]:
    ranked = sorted(log_es, key=lambda name: -log_es[name])
    k = len(ranked)
    last = max((r for r in range(1, k + 1) if log_es[ranked[r - 1]] >= math.log(k / (r * ALPHA))), default=0)
    return tuple(ranked[:last])


def t_star(mu: Floats) -> float:
    """Garivier & Kaufmann 2016: the characteristic time of finding the smallest of independent Bernoulli means."""
    best = int(np.argmin(mu))
    others = [i for i in range(len(mu)) if i != best]

    def gain(x: Floats) -> float:
        w = np.exp(x - x.max())
        w /= w.sum()
        values = []
        for a in others:
            middle = (w[best] * mu[best] + w[a] * mu[a]) / (w[best] + w[a])
            values.append(w[best] * kl(mu[best], middle) + w[a] * kl(mu[a], middle))
        return -min(values)

    starts = (np.zeros(len(mu)), np.r_[1.0, np.zeros(len(mu) - 1)], np.r_[0.5, 0.5, np.zeros(len(mu) - 2)])
    found = [
        optimize.minimize(gain, x, method="Nelder-Mead", options={"maxiter": 4000, "fatol": 1e-10}) for x in starts
    ]
    return 1 / -min(f.fun for f in found)


def fails(rng: np.random.Generator, by_case: Floats, n: int) -> Any:
    """(n, k) failures of every variant on n random cases; by_case is (k, cases)."""
    return rng.random((n, len(by_case))) < by_case[:, rng.integers(by_case.shape[1], size=n)].T


def elimination_calls(x: Any, dropped: dict[int, int], decided: int) -> int:
    return sum(min(dropped.get(a, decided), decided) for a in range(x.shape[1]))


def paired_elimination(x: Any, level: Callable[[Any], Any]) -> tuple[int, int]:
    """The variant named and the calls of a rule that drops a once some survivor's wins and losses pass `level`."""
    k = x.shape[1]
    won, lost = np.zeros((k, k), int), np.zeros((k, k), int)
    alive, calls = np.ones(k, bool), 0
    for row in x:
        calls += int(alive.sum())
        both = alive[:, None] & alive
        won += both & ~row[:, None] & row
        lost += both & row[:, None] & ~row
        alive &= ~(level((won, lost)) & both).any(axis=0)
        if alive.sum() <= 1:
            break
    return (int(np.argmax(alive)) if alive.sum() == 1 else -1), calls


def separate_elimination(x: Any) -> tuple[int, int]:
    """Successive elimination on confidence sequences of each rate, as if the cases were not shared."""
    n, k = x.shape
    looks = np.arange(5, n + 1, 5)
    low, high = interval_array(np.cumsum(x, axis=0)[looks - 1], looks[:, None], 2 * ALPHA / k)
    alive, calls = np.ones(k, bool), 0
    for i in range(len(looks)):
        calls += 5 * int(alive.sum())
        alive &= low[i] <= high[i][alive].min()
        if alive.sum() == 1:
            return int(np.argmax(alive)), calls
    return -1, calls


def best_of_five(report: Report, runs: int) -> None:
    rng = np.random.default_rng(7)
    mu = np.array([0.08, 0.15, 0.18, 0.20, 0.20])
    u = (np.arange(400) + 0.5) / 400
    spread = 1 / 0.3 - 1
    worlds = {
        "hard cases shared": np.array([stats.beta.ppf(u, m * spread, (1 - m) * spread) for m in mu]),
        "no shared difficulty": np.repeat(mu[:, None], 400, axis=1),
    }
    union = pair_boundary(ALPHA / 4, None, 6000)
    peeked = mcnemar_boundary(6000)
    some = max(60, runs // 2)
    for name, by_case in worlds.items():
        limit = t_star(by_case.mean(axis=1)) * kl(ALPHA, 1 - ALPHA)
        found: dict[str, list[tuple[int, int]]] = {}
        for _ in range(some):
            x = fails(rng, by_case, 1500)
            best = best_of(list(named_rounds(x)), ALPHA)
            dropped = {ord(a) - 97: n for a, _, n in best.dropped}
            pick = -1 if best.best is None else ord(best.best) - 97
            found.setdefault("reroll: one test each, against the rival with fewest failures", []).append(
                (pick, elimination_calls(x, dropped, best.decided_at or len(x)))
            )
            found.setdefault("paired, union over rivals (threshold for alpha / 4)", []).append(
                paired_elimination(x, lambda c: c[1] <= union[c[0] + c[1]])
            )
            found.setdefault("separate confidence sequences", []).append(
                separate_elimination(fails(rng, by_case, 4000))
            )
            found.setdefault("INVALID: McNemar at every look, alpha each", []).append(
                paired_elimination(x, lambda c: c[1] <= peeked[c[0] + c[1]])
            )
        rows = []
        for rule, picks in found.items():
            calls = np.array([c for _, c in picks])
            wrong = np.mean([p > 0 for p, _ in picks])
            row = [rule, f"{calls.mean():.0f} ({calls.mean() / limit:.2f})", round(float(np.quantile(calls, 0.9)))]
            rows.append([*row, percent(float(wrong)), percent(float(np.mean([p == -1 for p, _ in picks])))])
            if rule.startswith("reroll"):
                report.bar(f"Best of 5, {name}: named wrongly", float(wrong), 0.05)
                others = {
                    r: float(np.mean([c for _, c in p]) / limit)
                    for r, p in found.items()
                    if not r.startswith(("reroll", "INVALID"))
                }
                report.bar(
                    f"Best of 5, {name}: mean calls, times the limit without pairing",
                    float(calls.mean() / limit),
                    1.6 if "hard" in name else 2.4,
                    peer=min(others.items(), key=lambda x: x[1]),
                    limit="characteristic time (Garivier & Kaufmann 2016)",
                )
        report.add(
            "best_" + name.split()[0],
            f"Best of 5 (8, 15, 18, 20, 20 % failures), {name}: limit without pairing {limit:.0f} calls ({some} runs)",
            ["rule", "mean calls (x limit)", "90 of 100 runs", "wrong", "open at the end"],
            rows,
        )


def named_rounds(x: Any) -> Iterator[dict[str, str]]:
    for row in x.tolist():
        yield {chr(97 + i): "fail" if failed else "pass" for i, failed in enumerate(row)}


def near_ties(report: Report, runs: int) -> None:
    rng = np.random.default_rng(8)
    some, rows, worst = max(40, runs // 2), [], 0.0
    settings = (((0.28, 0.3, 0.3, 0.3, 0.3), 0.0), ((0.49, 0.5), 0.0), ((0.2, 0.2, 0.2), 0.1), ((0.1, 0.2, 0.2), 0.1))
    for mu, indifference in settings:
        decided, wrong, dropped, at = 0, 0, 0, []
        for _ in range(some):
            best = best_of(list(named_rounds(rng.random((600, len(mu))) < np.array(mu))), ALPHA, indifference)
            decided += best.best is not None
            at.append(best.decided_at or 600)
            dropped += any(name == "a" for name, _, _ in best.dropped)
            wrong += best.best is not None and mu[ord(best.best) - 97] >= mu[0] + max(indifference, 1e-9)
        worst = max(worst, wrong / some)
        row = [", ".join(f"{100 * m:g}" for m in mu), f"{100 * indifference:g} points", percent(decided / some, 0)]
        rows.append([*row, f"{np.mean(at):.0f}", percent(dropped / some), percent(wrong / some)])
    report.add(
        "near_ties",
        f"Near ties, 600 rounds at most ({some} runs)",
        ["failures in %", "indifference", "named", "mean rounds", "the best was dropped", "named wrongly"],
        rows,
    )
    report.bar("Best of k, near ties: named wrongly, worst", worst, 0.05)


def main() -> int:
    report = Report("best", __doc__, runs=400)
    against_baseline(report, report.args.runs)
    best_of_five(report, report.args.runs)
    near_ties(report, report.args.runs)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
