"""Do wordings differ, how much, and what is each case's rate: against fixed tests, raw rates and the oracle.

    python benchmarks/variation.py [--runs N] [--out X.json]

Seeded simulation.  "Wordings differ" is looked at after every round; the tests beside it are those one
would write first: a chi-square looked at after every round, or once with one wording run after the other.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import expit, logit

from _report import Report
from reroll.evidence import Evidence
from reroll.population import fit, judged_counts, posterior, rate_mean
from reroll.shrinkage import shrink, spread, worse_than
from reroll.variation import STRENGTHS, predicted_log_odds, round_log_e, variance_shares

Floats = npt.NDArray[np.float64]
ALPHA, ROUNDS = 0.05, 60


def beta_rates(rng: np.random.Generator, mean: float, icc: float, shape: tuple[int, ...]) -> Floats:
    if icc == 0:
        return np.full(shape, mean)
    strength = 1 / icc - 1
    return np.clip(rng.beta(mean * strength, (1 - mean) * strength, shape), 1e-3, 1 - 1e-3)


# ---------------------------------------------------------------- do wordings differ?


def rounds_until(rates: Floats, rng: np.random.Generator, drift: float, *, oracle: bool = False) -> Floats:
    """Rounds until "differ" for each row of rates (runs, J); infinite if not within ROUNDS."""
    runs, width = rates.shape
    failed, bets = np.zeros((runs, width)), np.zeros((runs, 1 if oracle else len(STRENGTHS)))
    found = np.full(runs, np.inf)
    for i in range(ROUNDS):
        fail = rng.random(rates.shape) < expit(logit(rates) + drift * rng.standard_normal((runs, 1)))
        judged = np.full((runs, width), float(i))
        for k in range(bets.shape[1]):
            odds = logit(rates) if oracle else predicted_log_odds(failed, judged, STRENGTHS[k])
            bets[:, k] += round_log_e(fail, odds)
        log_e = np.logaddexp.reduce(bets, axis=1) - math.log(bets.shape[1])
        found = np.where((log_e >= -math.log(ALPHA)) & np.isinf(found), i + 1, found)
        failed += fail
    return found


def chi_square(failed: Floats, n: int) -> npt.NDArray[np.bool_]:
    """Pearson's test that J wordings with n runs each fail equally often, at 5 %."""
    width = failed.shape[-1]
    rate = failed.sum(-1) / (width * n)
    with np.errstate(invalid="ignore", divide="ignore"):
        x = ((failed - n * rate[:, None]) ** 2).sum(-1) / (n * rate * (1 - rate))
    return np.nan_to_num(x) > stats.chi2.ppf(0.95, width - 1)


def differ(report: Report, runs: int) -> None:
    rng = np.random.default_rng(1)
    rows = []
    for width, mean, icc in ((10, 0.2, 0.1), (10, 0.2, 0.3), (10, 0.2, 0.6), (10, 0.05, 0.3), (20, 0.2, 0.3)):
        rates = beta_rates(rng, mean, icc, (runs, width))
        found, best = rounds_until(rates, rng, 0.0), rounds_until(rates, rng, 0.0, oracle=True)
        fixed = next(
            (m * width for m in range(2, ROUNDS) if chi_square(rng.binomial(m, rates).astype(float), m).mean() >= 0.8),
            None,
        )
        power, calls = np.isfinite(found).mean(), found[np.isfinite(found)].mean() * width
        charged = np.minimum(found, ROUNDS).mean() * width
        late = np.quantile(np.minimum(found, ROUNDS), 0.9) * width
        rows.append(
            [
                width,
                f"{mean:.0%}",
                icc,
                f"{calls:.0f}",
                f"{late:.0f}",
                f"{power:.1%}",
                f"{charged:.0f}",
                f"{best[np.isfinite(best)].mean() * width:.0f}",
                fixed,
            ]
        )
        if (width, mean, icc) == (10, 0.2, 0.3):
            report.bar("calls until 10 wordings differ, 20 % failure, ICC 0.3", float(calls), 95)
    head = [
        "wordings",
        "mean failure",
        "ICC",
        "calls, mean",
        "90th percentile",
        f"found in {ROUNDS} rounds",
        "mean, the rest charged all",
        "oracle that knows each rate",
        "chi-square at one look, 80 % power",
    ]
    report.add("differ", "Calls until wordings are shown to differ", head, rows)

    rows = []
    for drift in (0.0, 1.0, 2.0):
        found = rounds_until(np.full((runs, 10), 0.2), rng, drift)
        false = float(np.isfinite(found).mean())
        fail = rng.random((runs, ROUNDS, 10)) < expit(logit(0.2) + drift * rng.standard_normal((runs, ROUNDS, 1)))
        total = np.cumsum(fail, axis=1).astype(float)
        peeked = np.any([chi_square(total[:, i], i + 1) for i in range(2, ROUNDS)], axis=0).mean()
        apart = expit(logit(0.2) + drift * rng.standard_normal((runs, 10)))  # each wording in an hour of its own
        once = chi_square(rng.binomial(ROUNDS, apart).astype(float), ROUNDS).mean()
        rows.append([drift, f"{false:.1%}", f"{peeked:.1%}", f"{once:.1%}"])
        report.bar(f"false 'differ', drift {drift:g} between rounds", false, ALPHA)
    report.add(
        "false",
        f"All wordings alike (10, 20 % failure, {ROUNDS} rounds): wrong 'differ'",
        [
            "drift between hours, sd of log odds",
            "reroll, every round a look",
            "chi-square, every round a look",
            "chi-square once, wordings one after the other",
        ],
        rows,
    )


# ---------------------------------------------------------------- shrinkage


def shrinkage(report: Report, runs: int) -> None:
    rng = np.random.default_rng(2)
    rows = []
    for mean, icc in ((0.05, 0.2), (0.2, 0.1)):
        strength = 1 / icc - 1
        for m in (3, 5, 10, 20):
            errors, covered, plugged, flags = np.zeros(5), [], [], np.zeros(3)
            for run in range(runs):
                p = rng.beta(mean * strength, (1 - mean) * strength, 50)
                failed = rng.binomial(m, p)
                cases = [Evidence(int(f), m) for f in failed]
                best = fit(cases)
                own = 1 / min(max(best.icc, 1e-4), 0.98) - 1
                if run < runs // 4:
                    shrunk = shrink(cases)
                    ours = np.array([case.rate.value for case in shrunk])
                    covered += [c.rate.low <= x <= c.rate.high for c, x in zip(shrunk, p, strict=True)]  # type: ignore[operator]
                    a, b = best.mean * own + failed, (1 - best.mean) * own + m - failed
                    with np.errstate(invalid="ignore"):
                        plugged += list((stats.beta.ppf(0.025, a, b) <= p) & (p <= stats.beta.ppf(0.975, a, b)))
                else:
                    ours = means(cases)
                plug = (best.mean * own + failed) / (own + m)
                oracle = (mean * strength + failed) / (strength + m)
                for i, guess in enumerate((failed / m, np.full(50, failed.mean() / m), plug, ours, oracle)):
                    errors[i] += np.mean((guess - p) ** 2)
                flagged = np.array(worse_than(cases, 4 * mean)) > 0.9
                flags += [flagged.sum(), (flagged & (p <= 4 * mean)).sum(), (p > 4 * mean).sum()]
            e = 100 * np.sqrt(errors / runs)
            right = flags[0] - flags[1]
            rows.append(
                [
                    f"{mean:.0%}, {icc}",
                    m,
                    *(f"{x:.1f}" for x in e),
                    f"{np.mean(covered):.0%}",
                    f"{np.mean(plugged):.0%}",
                    f"{flags[1] / max(1, flags[0]):.0%} of {flags[0]:.0f}",
                    f"{right / max(1, flags[2]):.0%}",
                ]
            )
            report.bar(f"error / the raw rates', mean {mean:.0%}, {m} runs", float(e[3] / e[0]), 1.0)
            if m >= 5:
                report.bar(f"error / the oracle's, mean {mean:.0%}, {m} runs", float(e[3] / e[4]), 1.12)
    head = [
        "mean, ICC",
        "runs a case",
        "raw",
        "pooled",
        "best fit plugged in",
        "reroll",
        "oracle",
        "95 % range holds",
        "best fit's range holds",
        "wrong flags",
        "found",
    ]
    report.add(
        "shrinkage",
        "50 cases: root mean square error of their rates, points; cases worse than 4 x the mean",
        head,
        rows,
    )


def means(cases: list[Evidence]) -> Floats:
    """The rates of `shrink` without their ranges, which take most of its time."""
    averaged = posterior(judged_counts(cases))
    return np.array([rate_mean(averaged, case.failures, case.n) for case in cases])


# ---------------------------------------------------------------- shares


def icc_table(report: Report, runs: int) -> None:
    rng = np.random.default_rng(3)
    rows = []
    for width, m in ((60, 2), (40, 3), (24, 5), (12, 10), (6, 20)):
        cells = []
        for icc in (0.0, 0.1, 0.3, 0.6):
            moments, likeliest, averaged, held = [], [], [], []
            for run in range(4 * runs):
                failed = rng.binomial(m, beta_rates(rng, 0.2, icc, (width,)))
                if not 0 < failed.sum() < width * m:
                    continue
                cases = [Evidence(int(f), m) for f in failed]
                wording, sampling = variance_shares([cases])
                moments.append(max(0.0, wording.variance) / (max(0.0, wording.variance) + sampling.variance))
                if run < runs // 2:
                    likeliest.append(fit(cases).icc)
                    seen = spread(cases).icc
                    if seen is not None:
                        averaged.append(seen.value)
                        held.append(seen.low <= icc <= seen.high)  # type: ignore[operator]
            cell = (
                f"{np.mean(moments):.2f} ± {np.std(moments):.2f}; {np.mean(likeliest):.2f} ± {np.std(likeliest):.2f}; "
            )
            cells.append(
                cell
                + (f"{np.mean(averaged):.2f} ± {np.std(averaged):.2f}, {np.mean(held):.0%}" if averaged else "too few")
            )
        rows.append([f"{width} x {m}", *cells])
    head = ["wordings x runs", *(f"true ICC {icc}" for icc in (0, 0.1, 0.3, 0.6))]
    report.add(
        "icc",
        "ICC from 120 calls: mean squares; likeliest; reroll's average (mean ± sd) and how often its range holds",
        head,
        rows,
    )


def versions(report: Report, runs: int) -> None:
    rng = np.random.default_rng(4)
    rows = []
    for count, by_version, by_wording in ((3, 0, 0), (3, 0, 1.0), (3, 0.8, 0), (3, 0.8, 1.0), (12, 0.8, 1.0)):
        found: dict[str, list[float]] = {}
        shown = 0
        for _ in range(runs):
            p = expit(-1.4 + by_version * rng.standard_normal((count, 1)) + by_wording * rng.standard_normal((1, 12)))
            sources = variance_shares([[Evidence(int(f), 4) for f in row] for row in rng.binomial(4, p)])
            total = sum(max(0.0, s.variance) for s in sources)
            for source in sources:
                found.setdefault(source.name, []).append(max(0.0, source.variance) / total)
                shown += source.largest is not None and source.largest.low is not None and source.largest.low > 0
        cells = [f"{100 * np.mean(x):.0f} ± {100 * np.std(x):.0f} %" for x in found.values()]
        rows.append([f"{count} x 12 x 4", by_version, by_wording, *cells, f"{shown / runs:.0%}" if count < 12 else "-"])
    head = [
        "versions x wordings x runs",
        "version sd",
        "wording sd (log odds)",
        "version",
        "wording",
        "both",
        "sampling",
        "versions shown to differ",
    ]
    report.add(
        "versions",
        "Shares of the variance by mean squares (all printed here; the product states none from 3 versions)",
        head,
        rows,
    )


def main() -> int:
    report = Report("variation", __doc__, runs=50)
    differ(report, 40 * report.args.runs)
    shrinkage(report, report.args.runs)
    icc_table(report, report.args.runs)
    versions(report, 2 * report.args.runs)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
