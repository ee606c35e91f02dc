"""Is it the wording: how often wordings alike are said to differ, how soon unlike ones are found, what is set aside.

    python benchmarks/phrase.py [--runs N] [--out X.json]

Seeded simulation of what `reroll phrase CASE` does: 8 wordings in rounds, looked at after 4 rounds and then each time
by an eighth more, up to 50 rounds (the usual budget of 400 calls); the first verdict stands.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import expit, logit

from _report import Report
from reroll.evidence import Evidence
from reroll.wording_rounds import Standing, spread_of, standing

Floats = npt.NDArray[np.float64]
ALPHA, ROUNDS, WORDINGS = 0.05, 50, 8


def looks(rounds: int) -> list[int]:
    found, n = [], 4
    while n < rounds:
        found.append(n)
        n += max(1, n // 8)
    return [*found, rounds]


def drawn(rng: np.random.Generator, rates: Floats, rounds: int, drift: float) -> list[list[str]]:
    """Rounds of outcomes; `drift`: standard deviation of the log odds from round to round, for all wordings alike."""
    clipped = np.clip(rates, 1e-9, 1 - 1e-9)
    now = expit(logit(clipped) + drift * rng.standard_normal((rounds, 1)))
    now = np.where(rates >= 1, 1.0, now)
    words: list[list[str]] = np.where(rng.random((rounds, len(rates))) < now, "fail", "pass").tolist()
    return words


def asked(words: list[list[str]], margin: float | None = None) -> tuple[Standing, int]:
    """The first verdict, or what stands at the end, and after how many rounds."""
    for n in looks(len(words)):
        found = standing(words[:n], ALPHA, margin)
        if found.verdict != "undecided":
            break
    return found, n


def chi_square(words: list[list[str]]) -> bool:
    """Pearson's test at each look: what one would write first."""
    fails = np.cumsum(np.array(words) == "fail", axis=0)
    for n in looks(len(words)):
        failed = fails[n - 1].astype(float)
        rate = failed.mean() / n
        if 0 < rate < 1:
            x = float(((failed - n * rate) ** 2).sum() / (n * rate * (1 - rate)))
            if x > stats.chi2.ppf(1 - ALPHA, len(failed) - 1):
                return True
    return False


def false(report: Report, runs: int) -> None:
    rng = np.random.default_rng(1)
    rows = []
    worlds = [
        ("all alike, 5 %", [0.05] * 8, 0.0),
        ("all alike, 20 %", [0.2] * 8, 0.0),
        ("all alike, 60 %", [0.6] * 8, 0.0),
        ("all alike, 20 %, drifting", [0.2] * 8, 2.0),
        ("7 alike, 20 %, one never works", [0.2] * 7 + [1.0], 0.0),
        ("6 alike, 50 %, two never work", [0.5] * 6 + [1.0] * 2, 0.0),
        ("7 alike, 20 %, one never works, drifting", [0.2] * 7 + [1.0], 1.5),
    ]
    for name, rates, drift in worlds:
        wrong = peeked = wrongly = rightly = 0
        for _ in range(runs):
            words = drawn(rng, np.array(rates), ROUNDS, drift)
            found, _ = asked(words)
            wrong += found.verdict == "differ"
            peeked += chi_square(words)
            never = {j for j, p in enumerate(rates) if p >= 1}
            wrongly += bool(set(found.aside) - never)
            rightly += bool(never) and set(found.aside) >= never
        aside = f"{rightly / runs:.1%}" if max(rates) >= 1 else "-"
        rows.append([name, f"{wrong / runs:.1%}", f"{peeked / runs:.1%}", f"{wrongly / runs:.1%}", aside])
        peer = ("chi-square at every look", peeked / runs)
        report.bar(f"false 'differ': {name}", wrong / runs, ALPHA, peer=peer)
        report.bar(f"wrongly set aside: {name}", wrongly / runs, 0.01)
    head = [
        "wordings",
        "said to differ",
        "chi-square, every look",
        "one alike set aside",
        "those that never work set aside",
    ]
    report.add("false", f"{WORDINGS} wordings, those that keep the meaning all alike, {ROUNDS} rounds", head, rows)


def power(report: Report, runs: int) -> None:
    rng = np.random.default_rng(2)
    rows = []
    worlds = [
        ("one at 60 %, the rest at 10 %", [0.1] * 7 + [0.6]),
        ("one at 90 %, the rest at 10 %", [0.1] * 7 + [0.9]),
        ("half at 20 %, half at 60 %", [0.2] * 4 + [0.6] * 4),
        ("one at 58 %, the rest at 37 %", [0.37] * 7 + [0.58]),
        ("two: 37 % and 58 %", [0.37, 0.58]),
        ("spread evenly, 5 % to 45 %", list(np.linspace(0.05, 0.45, 8))),
    ]
    for name, rates in worlds:
        rounds = ROUNDS * WORDINGS // len(rates)
        found = [asked(drawn(rng, np.array(rates), rounds, 0.0)) for _ in range(runs)]
        told = [n * len(rates) for one, n in found if one.verdict == "differ"]
        mean = f"{np.mean(told):.0f}" if told else "-"
        late = f"{np.quantile(told, 0.9):.0f}" if told else "-"
        rows.append([name, f"{len(told) / runs:.1%}", mean, late])
        if name.startswith(("one at 60", "one at 90", "half")):
            report.bar(f"found in 400 calls: {name}", len(told) / runs, 0.9, most=False)
    head = ["wordings", "found in 400 calls", "calls, mean of those", "90th percentile"]
    report.add("power", "Wordings that differ", head, rows)


def alike(report: Report, runs: int) -> None:
    rng = np.random.default_rng(3)
    rows = []
    for rates, margin in (
        ([0.05] * 4, 0.15),
        ([0.2] * 4, 0.2),
        ([0.05] * 8, 0.15),
        ([0.1, 0.1, 0.1, 0.25], 0.15),
        ([0.1, 0.1, 0.1, 0.3], 0.2),
    ):
        rounds = 1600 // len(rates)
        found = [asked(drawn(rng, np.array(rates), rounds, 0.0), margin) for _ in range(max(40, runs // 4))]
        share = float(np.mean([one.verdict == "no_different" for one, _ in found]))
        told = [n * len(rates) for one, n in found if one.verdict == "no_different"]
        apart = max(rates) - min(rates) >= margin - 1e-12
        shown = " ".join(f"{p:.0%}" for p in rates)
        rows.append([shown, margin, "yes" if apart else "no", f"{share:.1%}", f"{np.mean(told):.0f}" if told else "-"])
        if apart:
            report.bar(f"false 'no different': {shown}, margin {margin}", share, ALPHA)
    head = ["wordings", "margin", "apart by it", "said no different within 1,600 calls", "calls, mean"]
    report.add("alike", "No different, to within a margin", head, rows)


def spreads(report: Report, runs: int) -> None:
    rng = np.random.default_rng(4)
    rows = []
    for rates in ([0.2] * 8, [0.1] * 7 + [0.6], list(np.linspace(0.05, 0.45, 8))):
        true = float(np.std(rates, ddof=1))
        found = [spread_of([Evidence(int(f), 50) for f in rng.binomial(50, rates)], ALPHA) for _ in range(runs)]
        between = [one.between for one in found if one is not None]
        value = np.array([one.value or 0.0 for one in between])
        holds = float(np.mean([(one.low or 0.0) <= true <= (one.high or 1.0) for one in between]))
        observed = np.mean([one.observed for one in found if one is not None])
        rows.append(
            [
                f"{min(rates):.0%} to {max(rates):.0%}",
                f"{100 * true:.1f}",
                f"{100 * value.mean():.1f} ± {100 * value.std():.1f}",
                f"{100 * observed:.1f}",
                f"{holds:.1%}",
            ]
        )
        report.bar(f"the range of `between` holds, {min(rates):.0%} to {max(rates):.0%}", holds, 0.95, most=False)
    head = ["true rates", "true spread", "`between`", "as counted", "range holds"]
    report.add("spread", "Spread of 8 wordings with 50 runs each, points", head, rows)


def main() -> int:
    report = Report("phrase", __doc__, runs=400)
    false(report, report.args.runs)
    power(report, report.args.runs)
    alike(report, report.args.runs)
    spreads(report, report.args.runs)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
