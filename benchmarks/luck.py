"""What a first report costs: calls for the case and for the control cases together, seeded simulation.

    python benchmarks/luck.py [--runs N] [--out X.json]

Beside reroll's rule stands the plain one: a hundred control calls first, then the case. The last
table is an A/A test: the case is as good as its controls; "worse" would be wrong.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks._report import Report
from reroll.balance import LOOK_FIRST, controls_wanted, reference_limit
from reroll.evidence import Evidence
from reroll.plan import Plan, next_draws
from reroll.verdict import luck_path

ALPHA, MOST, BUDGET, AT_ONCE = 0.05, 100, 400, 8


def one_report(p: float, r: float, rng: random.Random, *, upfront: bool) -> tuple[str, int, int]:
    """Verdict, case calls and control calls of one fresh project: the case fails at p, controls at r."""
    outcomes: list[str] = []
    controls = Evidence()

    def draw_controls(n: int) -> None:
        nonlocal controls
        controls += Evidence(sum(rng.random() < r for _ in range(n)), n)

    if upfront:
        draw_controls(MOST)
    while True:
        while not upfront and (n := controls_wanted(outcomes, controls, MOST, None, ALPHA)):
            draw_controls(n)
        limit = reference_limit(controls, ALPHA)
        left = BUDGET - controls.n
        plan = Plan("luck", reference_rate=limit, budget=left, concurrency=AT_ONCE)
        if limit is None and not controls.n:
            plan = Plan("certify", target=0.95, budget=left, concurrency=2, at_least=LOOK_FIRST)
        elif limit is None:
            plan = Plan("certify", target=0.95, budget=left, concurrency=AT_ONCE, at_least=10)
        n = next_draws(plan, outcomes)
        if not n:
            break
        outcomes += ["fail" if rng.random() < p else "pass" for _ in range(n)]
    verdict = luck_path(outcomes, limit, None, ALPHA).verdict
    return verdict, len(outcomes), controls.n


def row(p: float, r: float, runs: int, *, upfront: bool) -> dict[str, Any]:
    rng = random.Random(f"{p} {r} {upfront}")
    seen = [one_report(p, r, rng, upfront=upfront) for _ in range(runs)]
    words = [verdict for verdict, _, _ in seen]
    return {
        "case_fails": p,
        "controls_fail": r,
        "rule": "controls first" if upfront else "reroll",
        "calls": round(statistics.fmean(c + k for _, c, k in seen), 1),
        "case_calls": round(statistics.fmean(c for _, c, _ in seen), 1),
        "control_calls": round(statistics.fmean(k for _, _, k in seen), 1),
        **{
            w: round(words.count(w) / runs, 3)
            for w in ("worse_than_reference", "bad_luck", "not_reproduced", "undecided")
        },
    }


HEAD = "case fails,controls fail,rule,calls,of these case,control,worse,bad luck,not reproduced,undecided".split(",")


def cells(x: dict[str, Any]) -> list[Any]:
    shares = [x["worse_than_reference"], x["bad_luck"], x["not_reproduced"], x["undecided"]]
    calls = [x["calls"], x["case_calls"], x["control_calls"]]
    return [f"{x['case_fails']:.0%}", f"{x['controls_fail']:.0%}", x["rule"], *calls, *(f"{s:.1%}" for s in shares)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--out")
    args = parser.parse_args()
    kept = Report.of("luck", args)
    pairs = [(p, r) for p in (1.0, 0.5, 0.35, 0.2, 0.1) for r in (0.0, 0.02)]
    power = [row(p, r, args.runs, upfront=u) for p, r in pairs for u in (False, True)]
    nothing_wrong = [row(r, r, args.runs, upfront=u) for r in (0.0, 0.01, 0.02, 0.05, 0.1) for u in (False, True)]
    kept.report |= {"runs": args.runs, "alpha": ALPHA}
    title = f"Calls for a first report, case and controls together ({args.runs} seeded runs each)"
    kept.add("first_report", title, HEAD, [cells(x) for x in power])
    title = "Nothing is wrong: the case is as good as the controls"
    kept.add("nothing_wrong", title, HEAD, [cells(x) for x in nothing_wrong])
    for x, first in zip(power[::2], power[1::2], strict=True):
        what = f"first report, the case fails {x['case_fails']:.0%}, controls {x['controls_fail']:.0%}: calls"
        kept.number(what, x["calls"], unit="calls", peer=("a hundred control calls first", first["calls"]))
    wrong = max(x["worse_than_reference"] for x in nothing_wrong[::2])
    kept.bar("nothing wrong: called worse, the worst of five rates", wrong, ALPHA)
    return kept.finish()


if __name__ == "__main__":
    raise SystemExit(main())
