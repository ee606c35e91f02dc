"""What comparing variants costs and how often it is wrong: exact where it can be, seeded simulation elsewhere.

    python benchmarks/compare.py [--runs N] [--out X.json]

Needs scipy (an oracle here, not a dependency).  The rules of others are their published formulas, written anew.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
from scipy import stats

from _report import Report
from reroll.calibrate import operating_characteristics
from reroll.compare import compare_path
from reroll.paired import (
    better_log_e,
    difference_interval_array,
    difference_limit,
    log_e_below,
    pair_boundary,
    pair_threshold,
    sign_log_e,
    stakes,
)

ALPHA = 0.05
PLAIN = -math.log(ALPHA)
FAR = 12_000  # differing pairs walked exactly
Floats = np.ndarray[Any, np.dtype[np.float64]]


def kl(p: float, q: float) -> float:
    """KL(Bernoulli(p) || Bernoulli(q)) in nats."""
    return (p * math.log(p / q) if p > 0 else 0.0) + ((1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0)


def percent(x: float, digits: int = 1) -> str:
    return f"{100 * x:.{digits}f}%"


def firsts(crossed: Any, never: int) -> Any:
    """The first look (1, 2, ...) at which each run crossed, `never` where none did; crossed is (runs, looks)."""
    return np.where(crossed.any(axis=1), crossed.argmax(axis=1) + 1, never)


# ---------------------------------------------------------------- pairs needed, false claims


def plain_boundary(n_max: int) -> Any:
    """The same bets at 1 / alpha."""
    lost, boundary = 0, np.full(n_max + 1, -1)
    for n in range(1, n_max + 1):
        while 2 * (lost + 1) <= n and better_log_e(n - lost, lost) >= PLAIN:
            lost += 1
        boundary[n] = lost - 1
    return boundary


def mcnemar_boundary(n_max: int) -> Any:
    """The most losses that McNemar's exact one-sided test still calls better, one look at n differing pairs."""
    n = np.arange(n_max + 1)
    return (stats.binom.ppf(ALPHA, n, 0.5) - 1).astype(int)


def mcnemar_pairs(a_only: float, b_only: float, power: float) -> int:
    """The fewest pairs at which one look with McNemar's exact test reaches the power."""
    differ, theta = a_only + b_only, a_only / (a_only + b_only)
    n = np.arange(4000)
    hit = stats.binom.cdf(mcnemar_boundary(3999), n, 1 - theta)

    def reached(pairs: int) -> bool:
        return bool(stats.binom.pmf(n, pairs, differ) @ hit >= power)

    high = 8
    while not reached(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        mid = (low + high) // 2
        low, high = (low, mid) if reached(mid) else (mid, high)
    return high


def evalsig_stops(a_only: float, b_only: float, n: int, runs: int, rng: np.random.Generator) -> Any:
    """When evalsig 0.1.2's "always valid" gate says better: a normal mixture with estimated spread, from 30 pairs."""
    t = np.arange(1, n + 1)
    stops = []
    for _ in range(runs):
        u = rng.random(n)
        d = np.where(u < a_only, 1.0, np.where(u < a_only + b_only, -1.0, 0.0))
        mean = np.cumsum(d) / t
        sd = np.sqrt(np.maximum(np.cumsum(d * d) - t * mean**2, 0) / np.maximum(t - 1, 1))
        half = np.where(sd > 0, sd * np.sqrt(2 * (t + 1) * np.log(np.sqrt(t + 1) / ALPHA)) / t, np.inf)
        stops.append((mean > half) & (t >= 30))
    return firsts(np.array(stops), n + 1)


EFFECTS = (  # who fails alone: A, B; whether the bar speaks of it
    ("20% to 10%, no shared difficulty", 0.18, 0.08, True),
    ("20% to 10%, hard cases shared", 0.12, 0.02, True),
    ("50% to 35%, hard cases shared", 0.27, 0.12, True),
    ("10% to 5%, hard cases shared", 0.07, 0.02, True),
    ("15% to 5%, no shared difficulty", 0.1425, 0.0425, True),
    ("20% to 5%, hard cases shared", 0.16, 0.01, False),
    ("5% to 2%, hard cases shared", 0.04, 0.01, False),
    ("10% to 0%", 0.10, 0.0, False),
    ("30% to 20%, no shared difficulty", 0.24, 0.14, False),
    ("50% to 45%, hard cases shared", 0.125, 0.075, False),
    ("10% to 8%, hard cases shared", 0.06, 0.04, False),
)


def pairs_needed(report: Report, runs: int) -> None:
    ours, plain = pair_boundary(ALPHA, None, FAR), plain_boundary(FAR // 3)
    rng = np.random.default_rng(1)
    rows, worst, theirs, beyond = [], 0.0, 0.0, 0.0
    for name, a_only, b_only, barred in EFFECTS:
        differ, theta = a_only + b_only, a_only / (a_only + b_only)
        limit = PLAIN / (differ * kl(1 - theta, 0.5))
        walk = operating_characteristics(1 - theta, ours, None, FAR)
        wasteful = operating_characteristics(1 - theta, plain, None, FAR // 3)
        mean = walk.expected_calls / differ
        worst = max(worst, mean / limit) if barred else worst
        beyond = beyond if barred or not 0.049 < a_only - b_only < 0.151 else max(beyond, mean / limit)
        fixed = mcnemar_pairs(a_only, b_only, 0.8)
        cap = min(12_000, round(8 * limit) + 100)
        gate = np.minimum(evalsig_stops(a_only, b_only, cap, max(100, runs // 4), rng), cap).mean()
        theirs = max(theirs, gate / limit) if barred else theirs
        pa, pb = rates(name)
        apart = (stats.norm.isf(0.05) + stats.norm.isf(0.2)) ** 2 * (pa * (1 - pa) + pb * (1 - pb)) / (pa - pb) ** 2
        rows.append(
            [
                f"{name} ({a_only:g}, {b_only:g})",
                round(limit),
                f"{mean:.0f} ({mean / limit:.2f})",
                round((walk.quantile(0.9) or 0) / differ),
                f"{wasteful.expected_calls / differ:.0f} ({wasteful.expected_calls / differ / limit:.2f})",
                f"{gate:.0f} ({gate / limit:.2f})",
                fixed,
                round(apart),
            ]
        )
    report.add(
        "pairs",
        "Pairs, two calls each, until B is shown better at 5 % (in brackets: times the limit of any paired rule)",
        [
            "A to B (only A fails, only B fails)",
            "limit",
            "reroll, mean",
            "reroll, 90 of 100 runs",
            "same bets at 1/alpha",
            "evalsig gate",
            "McNemar, one look, power 80 %",
            "two separate samples, one look, 80 %: each",
        ],
        rows,
    )
    report.bar(
        "A vs B: mean pairs, times the limit; worst of 5 to 15 points where B wins 66 to 88 % of differing pairs",
        worst,
        1.15,
        peer=("evalsig 0.1.2", float(theirs)),
        limit="log(1/alpha) / KL of the differing pairs",
    )
    report.bar("A vs B: mean pairs, times the limit; worst of four further effects of 5 to 15 points", beyond, 1.15)


def rates(name: str) -> tuple[float, float]:
    a, b = (float(word.strip("%,")) / 100 for word in name.split()[0:3:2])
    return a, b


def false_claims(report: Report, runs: int) -> None:
    rng = np.random.default_rng(2)
    ours, peeked = pair_boundary(ALPHA, None, FAR), mcnemar_boundary(FAR)
    rows, worst = [], 0.0
    for differing in (50, 500, FAR):
        claimed = operating_characteristics(0.5, ours, None, differing).met
        # Either word, exactly: "worse" is the mirror image, and no path shows both.
        mirror = np.where(ours >= 0, np.arange(FAR + 1) - ours, 1 << 30)
        either = operating_characteristics(0.5, ours, mirror, differing)
        naive = operating_characteristics(0.5, np.maximum.accumulate(peeked), None, differing).met
        worst = max(worst, claimed)
        rows.append([differing, percent(claimed, 2), percent(either.met + either.not_met, 2), percent(naive)])
    report.add(
        "false_claims",
        "Two variants that fail equally often: chance of ever saying so, looking after every pair (exact)",
        ["differing pairs", 'reroll says "better"', 'reroll says "better" or "worse"', "McNemar at every look"],
        rows,
    )
    peer = ("McNemar's exact test (MLflow 3.17) at every look", float(naive))
    report.bar('A vs B: false "better", ever', worst, 0.05, peer=peer)

    rows, n = [], 3000
    for share in (0.005, 0.02, 0.1):
        gate = (evalsig_stops(share, share, n, 2 * runs, rng) <= n).mean()
        x = np.cumsum(rng.multinomial(n // 300, [share, share, 1 - 2 * share], size=(4 * runs, 300)), axis=1)
        said = (x[..., 1] <= ours[x[..., 0] + x[..., 1]]).any(axis=1).mean()
        rows.append([percent(2 * share, 0), percent(said), percent(gate)])
    report.add(
        "evalsig",
        f"The same by simulation, {n} pairs (reroll: looked at every 10)",
        ["pairs that differ", "reroll", "evalsig gate"],
        rows,
    )


# ---------------------------------------------------------------- clusters


def case_draws(
    rng: np.random.Generator, runs: int, cases: int, repeats: int, gain: float
) -> tuple[Floats, Floats, Floats]:
    """Failures of A and B, each (runs, cases, repeats), when the effect differs between cases (sd 0.15)."""
    effect = gain + np.clip(0.15 * rng.standard_normal((runs, cases, 1)), -0.25, 0.25)
    a = rng.random((runs, cases, repeats)) < 0.3 + effect / 2
    b = rng.random((runs, cases, repeats)) < 0.3 - effect / 2
    return a, b, b.mean(axis=2) - a.mean(axis=2)


def case_stops(d: Floats) -> Any:
    """After how many cases the case-level bets say better; d is (runs, cases), chunked to spare memory."""
    return np.concatenate(
        [firsts(sign_log_e(np.cumsum(stakes(part), axis=1)) >= PLAIN, d.shape[1] + 1) for part in np.array_split(d, 20)]
    )


def clusters(report: Report, runs: int) -> None:
    rng = np.random.default_rng(3)
    z = stats.norm.isf(ALPHA)
    boundary = pair_boundary(ALPHA, None, 3000)
    rows, worst, miller = [], 0.0, 0.0
    for cases, repeats in ((20, 10), (20, 50), (100, 10), (300, 5)):
        tally = np.zeros(5)
        for _ in range(4):
            a, b, d = case_draws(rng, runs, cases, repeats, 0.0)
            flat_a, flat_b = a.reshape(runs, -1), b.reshape(runs, -1)
            won, lost = np.cumsum(flat_a & ~flat_b, axis=1), np.cumsum(flat_b & ~flat_a, axis=1)
            pooled = (lost <= boundary[won + lost]).any(axis=1)
            n = np.arange(1, cases + 1)
            mean = np.cumsum(-d, axis=1) / n
            naive = np.sqrt((flat_a.var(axis=1) + flat_b.var(axis=1)) / flat_a.shape[1])
            spread = np.sqrt(np.maximum(np.cumsum(d * d, axis=1) / n - mean**2, 1e-12) / n)
            tally += [
                pooled.mean(),
                (case_stops(d) <= cases).mean(),
                (mean[:, -1] > z * naive).mean(),
                (mean[:, -1] > z * spread[:, -1]).mean(),
                (mean > z * spread)[:, 9:].any(axis=1).mean(),
            ]
        tally /= 4
        worst, miller = max(worst, float(tally[1])), max(miller, float(tally[4]))
        rows.append([f"{cases} x {repeats}", *(percent(x) for x in tally)])
    report.add(
        "clusters",
        f'Equal on average, but case by case one or the other is better: false "B better" ({4 * runs} runs)',
        [
            "cases x repeats",
            "repeats as independent pairs",
            "reroll, by case",
            "z-test on pooled repeats, one look",
            "clustered SE (Miller), one look",
            "clustered SE at every case from 10",
        ],
        rows,
    )
    peer = ("clustered standard errors (Miller) at every case", miller)
    report.bar('A vs B, repeated cases: false "better", worst', worst, 0.05, peer=peer)

    rows = []
    for repeats in (1, 2, 3, 5, 10):
        _, _, d = case_draws(rng, max(100, runs // 2), 1500, repeats, 0.10)
        stops = case_stops(d)
        spread = 0.15**2 * 0.75 + 2 * 0.21 / repeats  # clipping takes a quarter of the variance
        fixed = (z + stats.norm.isf(0.2)) ** 2 * spread / 0.01
        row = [repeats, round(stops.mean()), round(2 * repeats * stops.mean())]
        rows.append([*row, f"{math.ceil(fixed)} ({math.ceil(fixed) * 2 * repeats})"])
    report.add(
        "cases_needed",
        "Cases needed to show 30 % to 20 % (effect differs by case, sd 0.15)",
        ["pairs per case", "reroll, mean cases", "calls", "clustered z, one look, power 80 %: cases (calls)"],
        rows,
    )


# ---------------------------------------------------------------- no different, the interval, a green result


def alike_limit(differ: float, margin: float) -> float:
    """log(1/alpha) over the most that one bet can gain per pair at no difference."""
    lam = np.linspace(0, 1 / (1 - margin), 20_001)[:-1]
    gain = (1 - differ) * np.log1p(lam * margin)
    if differ:
        gain += differ / 2 * (np.log1p(lam * (1 + margin)) + np.log(np.maximum(1 - lam * (1 - margin), 1e-300)))
    return PLAIN / float(gain.max())


def alike_stops(
    rng: np.random.Generator, differ: float, margin: float, difference: float, looks: Any, runs: int
) -> tuple[Any, Any]:
    """At which look each run says "no different", and whether it ever says that B is better."""
    total = max(differ, difference)
    shares = [(total - difference) / 2, (total + difference) / 2, 1 - total]
    x = np.cumsum(rng.multinomial(looks[0], shares, size=(runs, len(looks))), axis=1)
    ups, downs = (x[..., a, None] * stakes(-1.0) + x[..., b, None] * stakes(1.0) for a, b in ((0, 1), (1, 0)))
    stops = [firsts(log_e_below(sums, looks, margin) >= PLAIN, len(looks) + 1) for sums in (ups, downs)]
    return np.maximum(*stops), (sign_log_e(ups) >= pair_threshold(ALPHA)).any(axis=1)


def equivalence(report: Report, runs: int) -> None:
    rng = np.random.default_rng(4)
    rows, worst = [], 0.0
    z = stats.norm.isf(ALPHA) + stats.norm.isf(0.1)  # power 80 %: each side may miss 10 %
    for differ, margin in ((0.0, 0.05), (0.02, 0.02), (0.02, 0.05), (0.1, 0.05), (0.1, 0.1), (0.3, 0.1), (0.3, 0.05)):
        limit = alike_limit(differ, margin)
        n = round(6 * limit) + 20
        step = max(1, n // 500)
        looks = np.arange(step, n + 1, step)

        stops, _ = alike_stops(rng, differ, margin, 0.0, looks, runs)
        cost = np.minimum(stops, len(looks)) * step
        said, misled = (
            np.concatenate(x)
            for x in zip(*(alike_stops(rng, differ, margin, margin, looks, runs) for _ in range(5)), strict=True)
        )
        wrong, either = (said <= len(looks)).mean(), ((said <= len(looks)) | misled).mean()
        worst = max(worst, float(wrong))
        once = math.ceil(z * z * differ / margin**2) if differ else None
        row = [
            percent(differ, 0),
            f"{100 * margin:g} points",
            round(limit),
            f"{cost.mean():.0f}",
            round(float(np.quantile(cost, 0.9))),
        ]
        rows.append([*row, once or "-", percent(float(wrong)), percent(float(either))])
    report.add(
        "no_different",
        "Pairs until two equal variants are shown to differ by less than a margin",
        [
            "pairs that differ",
            "margin",
            "limit of one side",
            "reroll, mean",
            "90 of 100 runs",
            "two one-sided z-tests, one look, power 80 %",
            "said wrongly, when the difference IS the margin",
            "that or the wrong direction",
        ],
        rows,
    )
    report.bar('"No different" though they differ by the margin, worst', worst, 0.05)


def ever_missed(rng: np.random.Generator, shares: list[float], looks: Any, runs: int) -> Any:
    """Whether the interval ever leaves the truth out: the evidence against the truth then reaches its threshold."""
    true = shares[1] - shares[0]
    x = np.cumsum(rng.multinomial(np.diff(looks, prepend=0), shares, size=(runs, len(looks))), axis=1)
    ups, downs = (x[..., a, None] * stakes(-1.0) + x[..., b, None] * stakes(1.0) for a, b in ((0, 1), (1, 0)))
    level = math.log(2 / ALPHA)
    return ((log_e_below(ups, looks, true) >= level) | (log_e_below(downs, looks, -true) >= level)).any(axis=1)


def intervals(report: Report, runs: int) -> None:
    rng = np.random.default_rng(5)
    rows, worst = [], 0.0
    for a_only, b_only in ((0.0, 0.0), (0.02, 0.02), (0.04, 0.01), (0.1, 0.1), (0.12, 0.02), (0.3, 0.3)):
        shares, true, n = [a_only, b_only, 1 - a_only - b_only], b_only - a_only, 3000
        looks = np.unique(np.round(np.geomspace(5, n, 300)).astype(int))
        steps = np.diff(looks, prepend=0)
        x = np.cumsum(rng.multinomial(steps, shares, size=(max(50, runs // 4), len(looks))), axis=1)
        low, high = difference_interval_array(x[..., 0], x[..., 1], looks, ALPHA)
        missed = np.mean([ever_missed(rng, shares, looks, runs).mean() for _ in range(6)])
        d = (x[..., 1] - x[..., 0]) / looks
        half = 1.96 * np.sqrt(np.maximum((x[..., 0] + x[..., 1]) / looks - d * d, 0) / looks)
        wald = ((true < d - half) | (true > d + half)).any(axis=1).mean()
        worst = max(worst, float(missed))
        cells = []
        for at in (30, 100, 300, 3000):
            i = int(np.searchsorted(looks, at))
            width, once = (high - low)[:, i].mean(), 2 * half[:, i].mean()
            cells.append(f"{width:.3f} ({width / once:.2f})" if once > 1e-9 else f"{width:.3f} (0 wide)")
        rows.append([f"{a_only:g}, {b_only:g}", percent(float(missed)), percent(float(wald)), *cells])
    report.add(
        "difference",
        "Interval of the difference: ever wrong in 3000 pairs, and mean width (times the Wald interval's)",
        ["only A fails, only B fails", "ever missed", "Wald ever missed", "n = 30", "100", "300", "3000"],
        rows,
    )
    report.bar("Interval of a difference: ever missed, worst", worst, 0.05)


def green(report: Report) -> None:
    """What a green result is worth: signaltest 0.7 says "pass" unless Fisher's test on n runs each finds p < 5 %."""
    rows = []
    for good, bad in ((0.05, 0.20), (0.05, 0.40)):
        for n in (10, 30):
            k = np.arange(n + 1)
            a, b = stats.binom.pmf(k, n, good), stats.binom.pmf(k, n, bad)
            red = sum(
                a[i] * b[j]
                for i in range(n + 1)
                for j in range(i + 1, n + 1)
                if stats.fisher_exact([[n - i, i], [n - j, j]])[1] < ALPHA
            )
            said = compare_path([("pass", "pass")] * n)
            rows.append([f"{percent(good, 0)} to {percent(bad, 0)}", n, percent(1 - red), f"{said.smallest_drop:.2f}"])
    rows.append(["", 300, "", f"{difference_limit(0, 0, 300):.3f}"])
    report.add(
        "green",
        "A real worsening, and what a green result says about it",
        ["failures", "runs each", 'Fisher\'s test says "pass"', "reroll, no failure seen: smallest drop excluded"],
        rows,
    )


def main() -> int:
    report = Report("compare", __doc__, runs=400)
    runs = report.args.runs
    report.report["threshold"] = round(math.exp(pair_threshold(ALPHA)), 3)
    pairs_needed(report, runs)
    false_claims(report, runs)
    clusters(report, runs)
    equivalence(report, runs)
    intervals(report, runs)
    green(report)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
