"""Detect, then retry or refuse: the arithmetic against the pipeline itself, and what it is worth where it is wrong.

python benchmarks/retry.py [--runs N] [--requests N] [--out X.json]
"""

from __future__ import annotations

import math
import sys

import numpy as np

from _report import Report
from reroll.evidence import Evidence
from reroll.retry import beside, deliver, deliver_range, ever_more, floor, next_try_works, passes_within
from reroll.verdict import certify

ALPHA = 0.05
SETTINGS = [(0.05, 0.8, 0.05), (0.05, 0.95, 0.02), (0.2, 0.8, 0.05)]
EXAMPLE = Evidence(10, 200), Evidence(4, 20), Evidence(9, 180)


def spread(p: float, icc: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) chances of a bad attempt, one per input."""
    total = math.inf if icc == 0 else 1 / icc - 1
    return np.full(n, p) if icc == 0 else rng.beta(p * total, (1 - p) * total, n)


def pipeline(
    mine: np.ndarray, tpr: np.ndarray | float, fpr: float, retries: int, rng: np.random.Generator
) -> list[float]:
    """Bad, refused and attempts per request, drawn attempt by attempt."""
    n = len(mine)
    waiting, bad, attempts = np.ones(n, bool), np.zeros(n, bool), 0
    for _ in range(retries + 1):
        attempts += int(waiting.sum())
        is_bad = rng.random(n) < mine
        flagged = rng.random(n) < np.where(is_bad, tpr, fpr)
        bad |= waiting & is_bad & ~flagged
        waiting &= flagged
    return [float(bad.mean()), float(waiting.mean()), attempts / n]


def arithmetic(report: Report, requests: int) -> None:
    rng = np.random.default_rng(1)
    rows, worst = [], 0.0
    for p, tpr, fpr in SETTINGS:
        for icc in (0.0, 0.3):
            least, limit = floor(p, tpr, fpr, icc), ever_more(p, tpr, fpr, icc)
            for k in (0, 1, 3):
                told = deliver(p, tpr, fpr, k, icc)
                seen = pipeline(spread(p, icc, requests, rng), tpr, fpr, k, rng)
                exact = (told.bad, told.refused, told.attempts)
                errors = [
                    abs(a - b) / math.sqrt(max(a * (1 - a), 1e-9) / requests)
                    for a, b in zip(exact[:2], seen[:2], strict=True)
                ]
                worst = max(worst, *errors)
                rows.append(
                    [
                        f"{p:.0%}, {tpr:g}, {fpr:g}",
                        f"{icc:g}",
                        k,
                        f"{told.bad:.2%} / {seen[0]:.2%}",
                        f"{told.refused:.3%} / {seen[1]:.3%}",
                        f"{told.attempts:.3f} / {seen[2]:.3f}",
                        f"{told.bad_if_delivered or 0:.2%}",
                        f"{least:.2%}",
                        f"{limit:.2%}",
                    ]
                )
    report.add(
        "arithmetic",
        f"Computed / drawn ({requests:,} requests a row)",
        [
            "p, TPR, FPR",
            "ICC",
            "retries",
            "bad delivered",
            "refused",
            "attempts",
            "bad if delivered",
            "floor",
            "ever more retries",
        ],
        rows,
    )
    report.bar("computed against drawn, standard errors, the worst of 36", worst, 4.5)


def tries_alone(report: Report, requests: int) -> None:
    rng = np.random.default_rng(2)
    rows = []
    for p in (0.05, 0.2, 0.5):
        for icc in (0.0, 0.1, 0.3, 0.7):
            mine = spread(p, icc, requests, rng)
            failed = rng.random((requests, 3)) < mine[:, None]
            second = 1 - float((failed[:, 0] & failed[:, 1]).sum() / max(1, failed[:, 0].sum()))
            three = 1 - float(failed.all(axis=1).mean())
            rows.append(
                [
                    f"{p:.0%}",
                    f"{icc:g}",
                    f"{next_try_works(p, icc):.1%} / {second:.1%}",
                    f"{passes_within(p, 3, icc):.2%} / {three:.2%}",
                    f"{1 - p**3:.2%}",
                ]
            )
    report.add(
        "tries",
        "Without a detector, under a perfect check: computed / drawn",
        ["p", "ICC", "a second try works after a failure", "one of three tries works", "if inputs were alike"],
        rows,
    )


def ranges(report: Report, runs: int) -> None:
    rows, lowest, highest = [], 1.0, 0.0
    for i, (p, tpr, fpr, icc) in enumerate(
        [
            (0.05, 0.8, 0.05, 0.0),
            (0.05, 0.8, 0.05, 0.3),
            (0.2, 0.8, 0.05, 0.3),
            (0.05, 0.95, 0.02, 0.0),
            (0.02, 0.9, 0.1, 0.0),
        ]
    ):
        rng = np.random.default_rng([3, i])
        n = (200, 40, 180)
        truth = deliver(p, tpr, fpr, 2, icc).bad
        hit = over = always = 0
        widths, limits = [], []
        for _ in range(runs):
            counts = [Evidence(int(rng.binomial(m, x)), m) for m, x in zip(n, (p, 1 - tpr, fpr), strict=True)]
            found = deliver_range(*counts, retries=2, icc=icc, planned=True)
            assert found.bad.low is not None
            assert found.bad.high is not None
            hit += found.bad.low <= truth <= found.bad.high
            over += truth <= found.bad_at_most
            widths.append(found.bad.high - found.bad.low)
            limits.append(found.bad_at_most)
            always += truth <= deliver_range(*counts, retries=2, icc=icc).bad_at_most
        lowest, highest = min(lowest, hit / runs), max(highest, 1 - over / runs)
        name = f"{p:.0%}, {tpr:g}, {fpr:g}, ICC {icc:g}"
        cells = [f"{truth:.2%}", f"{hit / runs:.1%}", f"{np.mean(widths):.2%}"]
        rows.append([name, *cells, f"{over / runs:.1%}", f"{np.mean(limits):.2%}", f"{always / runs:.1%}"])
    head = ["p, TPR, FPR", "bad delivered", "range covers", "mean width", "limit holds", "mean limit", "at every look"]
    title = f"Two retries from counts (200 attempts, 40 known bad, 180 known good), {runs} runs a row"
    report.add("ranges", title, head, rows)
    report.bar("coverage of the likely range, the least", lowest, 0.93, most=False)
    report.bar("limit for certain exceeded, the most often", highest, ALPHA)

    found = deliver_range(*EXAMPLE, retries=2, planned=True)
    looked = deliver_range(*EXAMPLE, retries=2)
    rows = [
        ["computed", f"{found.bad.value:.2%}"],
        ["95 % range from the counts", f"{found.bad.low:.2%} to {found.bad.high:.2%}"],
        ["at most, for certain, planned counts", f"{found.bad_at_most:.2%}"],
        ["at most, for certain, at every look", f"{looked.bad_at_most:.2%}"],
        [
            "pipeline measured: calls without a bad delivery that certify 99 %",
            f"{certify(Evidence(), 0.99).calls_needed}",
        ],
    ]
    report.add(
        "example",
        "10/200 attempts bad, 16/20 bad ones flagged, 9/180 good ones flagged, two retries",
        ["what", "value"],
        rows,
    )


def where_it_is_wrong(report: Report, runs: int) -> None:
    """Inputs differ and nobody told the arithmetic; the measured pipeline shows it."""
    rows = []
    for icc in (0.0, 0.3, 0.5, 0.7):
        rng = np.random.default_rng([4, int(10 * icc)])
        truth = deliver(0.3, 0.8, 0.05, 3, icc).bad
        alike = deliver(0.3, 0.8, 0.05, 3).bad
        caught = 0
        for _ in range(runs):
            counts = [Evidence(int(rng.binomial(m, x)), m) for m, x in ((1000, 0.3), (500, 0.2), (500, 0.05))]
            measured = Evidence(int(rng.binomial(1000, truth)), 1000)
            caught += beside(deliver_range(*counts, retries=3), measured).agree is False
        rows.append([f"{icc:g}", f"{truth:.2%}", f"{alike:.2%}", f"{caught / runs:.0%}"])
    title = f"30 % bad, TPR .8, FPR .05, 3 retries, computed for alike inputs; 1000 requests measured, {runs} runs"
    report.add("wrong", title, ["true ICC", "delivered bad", "computed", "contradiction found"], rows)


def main() -> int:
    report = Report("retry", __doc__, runs=400, requests=1_000_000)
    arithmetic(report, report.args.requests)
    tries_alone(report, report.args.requests)
    ranges(report, report.args.runs)
    where_it_is_wrong(report, report.args.runs // 4)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
