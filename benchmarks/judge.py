"""A failure rate through an imperfect checker: coverage and width by every usual rule; adjudicated certificates.

    python benchmarks/judge.py [--runs N] [--out X.json]

2000 outputs are judged, n of them labelled. The peers' rules are their published formulas, given n random
labels. reroll gets n labels too, half of them on flags.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from _report import Report
from reroll.adjudicate import SEED_SHARE, certify_adjudicated
from reroll.calibrate import met_boundary, operating_characteristics
from reroll.evidence import Evidence
from reroll.judge import Labelled, corrected_rate, labels_needed, measure

OUTPUTS, ALPHA = 2000, 0.05
Z = float(stats.norm.isf(ALPHA / 2))
Floats = np.ndarray[Any, np.dtype[np.float64]]
# rate, sensitivity, specificity, labels
MAIN = [
    (0.05, 0.85, 0.95, 100),
    (0.05, 0.85, 0.95, 200),
    (0.05, 0.85, 0.95, 400),
    (0.05, 0.95, 0.99, 200),
    (0.20, 0.85, 0.95, 200),
    (0.01, 0.85, 0.99, 200),
]
WIDER = [
    (rate, se, sp, n)
    for rate in (0.01, 0.02, 0.05, 0.1, 0.3)
    for se, sp in ((0.6, 0.9), (0.7, 0.99), (0.85, 0.95), (0.95, 0.99), (0.99, 0.8))
    for n in (100, 400)
]
RARE = [(rate, 0.85, 0.99, 200) for rate in (0.002, 0.005)]


class Drawn:
    """`runs` projects: flags among all outputs, n random labels for the peers, n stratified ones for reroll."""

    def __init__(self, rate: float, se: float, sp: float, n: int, runs: int, rng: np.random.Generator) -> None:
        self.rate, self.n = rate, n
        flag = rate * se + (1 - rate) * (1 - sp)
        # Random labels: bad and flagged, bad and passed, good and flagged, good and passed; then the unlabelled.
        chances = [rate * se, rate * (1 - se), (1 - rate) * (1 - sp), (1 - rate) * sp]
        self.a, self.b, self.c, self.d = rng.multinomial(n, chances, runs).T
        self.rest = OUTPUTS - n
        self.flags_rest = rng.binomial(self.rest, flag, runs)
        # Half on flags: of all flags, and of all passes.
        self.flags = rng.binomial(OUTPUTS, flag, runs)
        self.on_flags = np.minimum(n // 2, self.flags)
        self.bad = rng.binomial(self.on_flags, rate * se / flag)
        self.wrong = rng.binomial(n - self.on_flags, rate * (1 - se) / (1 - flag))


Ends = tuple[Floats, Floats]


def naive(s: Drawn) -> Ends:
    q = s.flags / OUTPUTS
    half = Z * np.sqrt(q * (1 - q) / OUTPUTS)
    return q - half, q + half


def people_only(s: Drawn) -> Ends:
    x, n = s.a + s.b, s.n
    low = np.where(x > 0, stats.beta.ppf(ALPHA / 2, np.maximum(x, 0.5), n - x + 1), 0.0)
    high = np.where(x < n, stats.beta.ppf(1 - ALPHA / 2, x + 1, np.maximum(n - x, 0.5)), 1.0)
    return low, high


def rogan_gladen(s: Drawn) -> Ends:
    q = s.flags_rest / s.rest
    se, sp = (s.a + 0.5) / (s.a + s.b + 1), (s.d + 0.5) / (s.c + s.d + 1)
    useful = np.maximum(se + sp - 1, 0.05)
    theta = np.clip((q + sp - 1) / useful, 0, 1)
    of_se = theta**2 * se * (1 - se) / np.maximum(s.a + s.b, 1)
    of_sp = (1 - theta) ** 2 * sp * (1 - sp) / np.maximum(s.c + s.d, 1)
    half = Z * np.sqrt(q * (1 - q) / s.rest + of_se + of_sp) / useful
    return np.clip(theta - half, 0, 1), np.clip(theta + half, 0, 1)


def ppi(s: Drawn, tuned: bool) -> Ends:
    y, g, both = (s.a + s.b) / s.n, (s.a + s.c) / s.n, s.a / s.n
    var_y, var_g, cov = y * (1 - y), g * (1 - g), both - y * g
    weight = np.clip(cov / np.maximum(var_g, 1e-9) / (1 + s.n / s.rest), 0, 1) if tuned else np.ones_like(y)
    q = s.flags_rest / s.rest
    value = y + weight * (q - g)
    variance = (var_y - 2 * weight * cov + weight**2 * var_g) / s.n + weight**2 * q * (1 - q) / s.rest
    half = Z * np.sqrt(np.maximum(variance, 0))
    return np.clip(value - half, 0, 1), np.clip(value + half, 0, 1)


def corrected(flags: Floats, right: Floats, on_flags: Floats, wrong: Floats, on_passes: Floats) -> Ends:
    found = [
        corrected_rate(Labelled(Evidence(k, OUTPUTS), Evidence(a, n1), Evidence(b, n0)), ALPHA)
        for k, a, n1, b, n0 in zip(*(x.tolist() for x in (flags, right, on_flags, wrong, on_passes)), strict=True)
    ]
    return np.array([e.low for e in found]), np.array([e.high for e in found])


def at_random(s: Drawn) -> Ends:
    return corrected(s.flags_rest + s.a + s.c, s.a, s.a + s.c, s.b, s.b + s.d)


def half_on_flags(s: Drawn) -> Ends:
    return corrected(s.flags, s.bad, s.on_flags, s.wrong, s.n - s.on_flags)


RULES: dict[str, Callable[[Drawn], Ends]] = {
    "checker alone (naive)": naive,
    "people only (Clopper-Pearson)": people_only,
    "Rogan-Gladen, delta": rogan_gladen,
    "PPI": lambda s: ppi(s, tuned=False),
    "PPI++": lambda s: ppi(s, tuned=True),
    "reroll, labels at random": at_random,
    "reroll, half the labels on flags": half_on_flags,
}
OURS, PEOPLE = "reroll, half the labels on flags", "people only (Clopper-Pearson)"


def cell_name(cell: tuple[float, float, float, int]) -> str:
    rate, se, sp, n = cell
    return f"{rate:.1%} bad, Se {se:g}, Sp {sp:g}, {n} labels"


def graded(s: Drawn, rule: str) -> tuple[float, float]:
    low, high = RULES[rule](s)
    return float(np.mean(high - low)), float(np.mean((low <= s.rate) & (s.rate <= high)))


def intervals(report: Report, runs: int) -> None:
    drawn = {cell: Drawn(*cell, runs, np.random.default_rng([1, i])) for i, cell in enumerate(MAIN)}
    found = {rule: [graded(drawn[cell], rule) for cell in MAIN] for rule in RULES}
    rows = [[rule, *(f"{100 * w:.1f} ({c:.1%})" for w, c in cells)] for rule, cells in found.items()]
    title = f"95 % interval of the failure rate, {runs} runs a cell: mean width in points (coverage)"
    report.add("intervals", title, ["rule", *map(cell_name, MAIN)], rows)
    plus = ("PPI++", min(c for _, c in found["PPI++"]))
    report.bar("coverage at the six settings, the least", min(c for _, c in found[OURS]), 0.93, most=False, peer=plus)
    ratios = [w / p for cell, (w, _), (p, _) in zip(MAIN, found[OURS], found[PEOPLE], strict=True) if cell[3] == 200]
    report.bar("width at 200 labels / people only, the widest", max(ratios), 0.7)


def coverage(report: Report, runs: int) -> None:
    rows, least = [], 1.0
    for i, cell in enumerate(WIDER + RARE):
        s = Drawn(*cell, runs, np.random.default_rng([2, i]))
        width, covered = graded(s, OURS)
        people, _ = graded(s, PEOPLE)
        _, plus = graded(s, "PPI++")
        least = min(least, covered) if cell in WIDER else least
        cells = [f"{x:g}" for x in cell[1:3]]
        rows.append([f"{cell[0]:.1%}", *cells, cell[3], f"{covered:.1%}", f"{width / people:.2f}", f"{plus:.1%}"])
    head = ["bad", "Se", "Sp", "labels", "coverage", "width / people only", "coverage of PPI++"]
    report.add("coverage", f"reroll at other settings, {runs} runs a row", head, rows)
    question = f"coverage at {len(WIDER)} other settings with 1 % bad or more, the least"
    report.bar(question, least, 0.93, most=False)


def errors_of_the_checker(report: Report, runs: int) -> None:
    rows = []
    for i, cell in enumerate(MAIN):
        s = Drawn(*cell, runs, np.random.default_rng([3, i]))
        hits, widths = np.zeros(2), np.zeros(2)
        for k, a, n1, b in zip(*(x.tolist() for x in (s.flags, s.bad, s.on_flags, s.wrong)), strict=True):
            found = measure(Labelled(Evidence(k, OUTPUTS), Evidence(a, n1), Evidence(b, s.n - n1)), ALPHA)
            for j, (est, truth) in enumerate(((found.sensitivity, cell[1]), (found.specificity, cell[2]))):
                assert est.low is not None
                assert est.high is not None
                hits[j] += est.low <= truth <= est.high
                widths[j] += est.high - est.low
        rows.append(
            [cell_name(cell), *(f"{100 * w / runs:.1f} ({h / runs:.1%})" for w, h in zip(widths, hits, strict=True))]
        )
    report.add(
        "errors",
        f"Sensitivity and specificity, {runs} runs a row: mean width in points (coverage)",
        ["setting", "sensitivity", "specificity"],
        rows,
    )


def forecasts(report: Report, runs: int) -> None:
    """A pilot of 60 labels forecasts how many more are needed; they are then drawn."""
    rows = []
    for i, (rate, se, sp, width) in enumerate(
        ((0.05, 0.85, 0.95, 0.05), (0.2, 0.85, 0.95, 0.08), (0.01, 0.85, 0.99, 0.025))
    ):
        rng = np.random.default_rng([4, i])
        pilot = Drawn(rate, se, sp, 60, runs, rng)
        flag = rate * se + (1 - rate) * (1 - sp)
        asked, got = [], []
        for k, a, n1, b in zip(
            *(x.tolist() for x in (pilot.flags, pilot.bad, pilot.on_flags, pilot.wrong)), strict=True
        ):
            first = Labelled(Evidence(k, OUTPUTS), Evidence(a, n1), Evidence(b, 60 - n1))
            more = labels_needed(first, width, ALPHA)
            if more is None:
                continue
            on_flags = min(k - n1, more // 2)
            a += int(rng.binomial(on_flags, rate * se / flag))
            b += int(rng.binomial(more - on_flags, rate * (1 - se) / (1 - flag)))
            est = corrected_rate(
                Labelled(Evidence(k, OUTPUTS), Evidence(a, n1 + on_flags), Evidence(b, 60 - n1 + more - on_flags)),
                ALPHA,
            )
            asked.append(more)
            got.append((est.high or 0) - (est.low or 0))
        low, mid, high = np.quantile(np.array(got) / width, [0.1, 0.5, 0.9])
        rows.append(
            [
                f"{rate:.0%}, Se {se}, Sp {sp}",
                f"{100 * width:g}",
                f"{np.median(asked):.0f}",
                f"{mid:.2f} ({low:.2f} to {high:.2f})",
            ]
        )
    report.add(
        "forecasts",
        f"How many more labels, told after 60, {runs} runs a row",
        ["setting", "wanted width, points", "median of labels asked for", "width reached / wanted (80 % of runs)"],
        rows,
    )


def certificates(report: Report) -> None:
    rows = []
    for caught, seeds in ((0, 0), (10, 10), (20, 20), (19, 20), (17, 20), (48, 50), (95, 100)):
        if not seeds:
            perfect = met_boundary(0.01, ALPHA, None, 2000), met_boundary(0.01, ALPHA, 1000, 2000)
            rows.append(["perfect checker", "1", "1.00 %", *(int(np.argmax(b >= 0)) for b in perfect), 299])
            continue
        cells: list[Any] = []
        for horizon in (None, 1000):
            cells.append(certify_adjudicated(Evidence(), Evidence(caught, seeds), 0.99, ALPHA, horizon).calls_needed)
        found = certify_adjudicated(Evidence(), Evidence(caught, seeds), 0.99, ALPHA)
        bound = math.ceil(math.log((1 - SEED_SHARE) * ALPHA) / math.log1p(-found.tolerated))
        rows.append([f"{caught}/{seeds}", f"{found.sensitivity.low:.3f}", f"{found.tolerated:.2%}", *cells, bound])
    head = ["seeds found", "Se at least", "tolerated", "calls, open-ended", "calls, horizon 1000", "one planned look"]
    report.add("adjudicated", "99 % certified, a person deciding every flag: calls without a confirmed one", head, rows)

    def bound_through(se: float, sp: float) -> str:
        q0, q1 = 1 - sp, 1 - sp + 0.01 * (se + sp - 1)
        kl = (q0 * math.log(q0 / q1) if q0 else 0.0) + (1 - q0) * math.log((1 - q0) / (1 - q1))
        return f"{math.log(1 / ALPHA) / kl:.0f}"

    straight = [[f"{se:g}", *(bound_through(se, sp) for sp in (1, 0.999, 0.99, 0.95))] for se in (1.0, 0.9, 0.8, 0.6)]
    head = ["Se", "Sp 1 (flags adjudicated)", "Sp 0.999", "Sp 0.99", "Sp 0.95"]
    report.add(
        "straight", "The same straight from the flags, errors known exactly: least calls at no failure", head, straight
    )

    rows, worst = [], 0.0
    for se in (0.5, 0.7, 0.9, 0.99):
        for rate in (0.01, 0.02):
            wrong = 0.0
            for caught in range(1, 21):
                chance = float(stats.binom.pmf(caught, 20, se))
                if chance > 1e-7:
                    tolerated = certify_adjudicated(Evidence(), Evidence(caught, 20), 0.99, ALPHA).tolerated
                    boundary = met_boundary(tolerated, (1 - SEED_SHARE) * ALPHA, None, 4000)
                    wrong += chance * operating_characteristics(rate * se, boundary, None, 4000).met
            worst = max(worst, wrong)
            rows.append([f"{se:g}", f"{rate:.0%}", f"{wrong:.3%}"])
    report.add(
        "false",
        "False 99 % certificates within 4000 calls, 20 seeds, looking after every call (exact)",
        ["true Se", "bad", "chance"],
        rows,
    )
    report.bar("false adjudicated certificate, the worst", worst, ALPHA)


def main() -> int:
    report = Report("judge", __doc__, runs=2000)
    runs = report.args.runs
    intervals(report, runs)
    coverage(report, runs // 2)
    errors_of_the_checker(report, runs // 5)
    forecasts(report, runs // 20)
    certificates(report)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
