"""Fixes of known truth tried by the scorecard: how each is judged, in how many calls, and whether its limits hold.

    python benchmarks/fixes.py [--runs N] [--border N] [--budget CALLS] [--out X.json]

Worlds: the failure probability on each of the four sets before and after, for general levers and for hard-coded
patches.  Levers pair two draws; patches that act on the answer share the draw, as `reroll try` does.  A second table
has the same kinds of fix where failing is rarer, controls are noisier, neighbours fail less or more than the case.
The worlds whose harm is just the margin are tried `--border` times besides, since there a limit errs most often.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from _report import Report
from reroll.in_reach import affordable, out_of_reach
from reroll.reduction import Pairs, pairs_of
from reroll.scorecard import Rules, SetWord, claim_states, next_pairs, score

BASE: dict[SetWord, float] = {"case": 0.55, "neighbour": 0.50, "lookalike": 0.04, "control": 0.03}
RARE: dict[SetWord, float] = {"case": 0.15, "neighbour": 0.12, "lookalike": 0.02, "control": 0.005}
NOISY: dict[SetWord, float] = {"case": 0.55, "neighbour": 0.50, "lookalike": 0.12, "control": 0.12}
EASIER: dict[SetWord, float] = {"case": 0.80, "neighbour": 0.25, "lookalike": 0.04, "control": 0.03}
HARDER: dict[SetWord, float] = {"case": 0.25, "neighbour": 0.60, "lookalike": 0.04, "control": 0.03}
PROMISED = 150  # calls in which a special case is to be rejected


@dataclass(frozen=True)
class World:
    """kind: `lever` (general, harmless), `border`, `patch` (special cases and their like), `retry`.

    after:  failure probability by set; shared: after is a function of the same draw, which costs one call a pair.
    margin: the rise on control cases that is harm.
    """

    name: str
    kind: str
    after: tuple[float, float, float, float]
    shared: bool = False
    base: dict[SetWord, float] = field(default_factory=lambda: BASE)
    margin: float = 0.02


WORLDS = [
    World("field description rewritten", "lever", (0.06, 0.10, 0.05, 0.032)),
    World("reason before the answer", "lever", (0.08, 0.09, 0.03, 0.028)),
    World("one contrastive pair", "lever", (0.05, 0.14, 0.06, 0.033)),
    World("stale example removed", "lever", (0.10, 0.12, 0.04, 0.030)),
    World("a type narrowed", "lever", (0.20, 0.18, 0.04, 0.029)),
    World(
        "description, a rarer failure",
        "lever",
        (0.03, 0.04, 0.02, 0.010),
        base={"case": 0.25, "neighbour": 0.22, "lookalike": 0.02, "control": 0.010},
    ),
    World("clause repeated, EMPHASISED", "border", (0.25, 0.31, 0.07, 0.034)),
    World("few-shot copied from the case", "patch", (0.02, 0.33, 0.16, 0.045)),
    World('"never do X" appended', "patch", (0.12, 0.36, 0.14, 0.040)),
    World("a clause that only helps the case", "patch", (0.00, 0.48, 0.04, 0.030)),
    World("special case by a regex", "patch", (0.00, 0.43, 0.22, 0.034), shared=True),
    World("special case of this very input", "patch", (0.00, 0.50, 0.04, 0.030), shared=True),
    World("detect and block by a regex", "patch", (0.00, 0.34, 0.61, 0.085), shared=True),
    World("a dud", "dud", (0.55, 0.50, 0.04, 0.030)),
    World("a dud that harms", "dud", (0.50, 0.48, 0.10, 0.090)),
    World("verify and retry", "retry", (0.25, 0.22, 0.03, 0.020), shared=True),
]
OTHERS = [
    World("rarer failures: a general lever", "lever", (0.02, 0.02, 0.02, 0.005), base=RARE),
    World("rarer failures: special case of this very input", "patch", (0.00, 0.12, 0.02, 0.005), True, RARE),
    World("rarer failures: few-shot copied", "patch", (0.01, 0.09, 0.05, 0.010), base=RARE),
    World("rarer failures: a dud", "dud", (0.15, 0.12, 0.02, 0.005), base=RARE),
    World("noisy controls: a general lever", "lever", (0.06, 0.10, 0.12, 0.12), base=NOISY),
    World("noisy controls, margin 5 points: the same", "lever", (0.06, 0.10, 0.12, 0.12), False, NOISY, 0.05),
    World("noisy controls: special case by a regex", "patch", (0.00, 0.43, 0.28, 0.124), True, NOISY),
    World("noisy controls: detect and block", "patch", (0.00, 0.34, 0.65, 0.17), True, NOISY),
    World("noisy controls: harm of just the margin", "harm", (0.06, 0.10, 0.12, 0.14), base=NOISY),
    World("harm of just the margin", "harm", (0.06, 0.10, 0.04, 0.05)),
    World("neighbours fail less: a general lever", "lever", (0.08, 0.03, 0.04, 0.03), base=EASIER),
    World("neighbours fail less: few-shot copied", "patch", (0.03, 0.19, 0.12, 0.04), base=EASIER),
    World("neighbours fail less: special case by a regex", "patch", (0.00, 0.22, 0.14, 0.03), True, EASIER),
    World("neighbours fail more: a general lever", "lever", (0.04, 0.12, 0.04, 0.03), base=HARDER),
    World("neighbours fail more: few-shot copied", "patch", (0.01, 0.45, 0.12, 0.04), base=HARDER),
    World("neighbours fail more: special case by a regex", "patch", (0.00, 0.53, 0.14, 0.03), True, HARDER),
    World("helps others just half as much", "patch", (0.11, 0.30, 0.04, 0.03)),
]


def draw(rng: np.random.Generator, before: float, after: float, n: int, shared: bool) -> Pairs:
    """Pairs of runs: of two draws, or of one that the patch changed (then as few pairs differ as may be)."""
    if not shared:
        x, y = rng.random(n) < before, rng.random(n) < after
    else:
        u = rng.random(n)
        x, y = u < before, u < after
    word = np.array(["pass", "fail"])
    return pairs_of(zip(word[x.astype(int)], word[y.astype(int)], strict=True))


def tried(args: tuple[int, int, int]) -> dict[str, Any]:
    """One whole trial of one world: drawn as the policy asks, until the verdict or the budget."""
    which, seed, budget = args
    world = [*WORLDS, *OTHERS][which]
    rules = Rules(margin=world.margin)
    rng = np.random.default_rng([seed, which])
    after = dict(zip(BASE, world.after, strict=True))
    pairs: dict[SetWord, Pairs] = {}
    calls, each = 0, 1 if world.shared else 2
    rejected_at: int | None = None
    given_up = False

    def price(more: Mapping[SetWord, int]) -> int:
        return sum(more.values()) * each

    while True:
        states = claim_states(pairs, rules)
        want = next_pairs(pairs, states)
        if want and out_of_reach(pairs, rules, states, budget - calls, each):
            given_up = True
            break
        want = affordable(want, price, budget - calls)
        if not want or price(want) > budget - calls:
            break
        for name, n in want.items():
            pairs[name] = pairs.get(name, Pairs()) + draw(rng, world.base[name], after[name], n, world.shared)
        calls += price(want)
    found = score(pairs, rules)
    if found.verdict == "reject":
        rejected_at = calls
    gain = 1 - after["neighbour"] / world.base["neighbour"]
    of_case = 1 - after["case"] / world.base["case"]
    harm = after["control"] - world.base["control"]
    low, high = found.generalisation.low or 0.0, found.generalisation.high
    return {
        "verdict": found.verdict,
        "calls": calls,
        "rejected_at": rejected_at,
        "reasons": found.reasons,
        "open": found.open,
        "harm_holds": found.control_harm.high is None or harm <= found.control_harm.high,
        "gain_holds": (found.neighbour_gain.low or -1) <= gain <= (found.neighbour_gain.high or 1),
        "general_holds": of_case <= 0 or low <= gain / of_case <= (10.0 if high is None else high),
        "given_up": given_up,
    }


def at_the_border(report: Report, runs: int, budget: int) -> None:
    """Harm of just the margin, in as many trials as tell five in a hundred from ten."""
    worlds = {k: world for k, world in enumerate([*WORLDS, *OTHERS]) if world.kind == "harm"}
    with multiprocessing.Pool(2) as pool:
        found = {k: pool.map(tried, [(k, seed, budget) for seed in range(runs)], chunksize=4) for k in worlds}
    title = f"A harm of just the margin ({runs} trials each, {budget} calls at most)"
    report.add(
        "border",
        title,
        ["world", "accepted", "limit below the harm", "mean calls"],
        [
            [
                world.name,
                f"{_share(found[k], 'accept'):.3f}",
                f"{1 - float(np.mean([one['harm_holds'] for one in found[k]])):.3f}",
                round(float(np.mean([one["calls"] for one in found[k]]))),
            ]
            for k, world in worlds.items()
        ],
    )
    broken = [1 - float(np.mean([one["harm_holds"] for one in of])) for of in found.values()]
    report.bar("a harm of just the margin: its limit lies below it, the worse world", max(broken), 0.05, of=runs)
    accepted = max(_share(of, "accept") for of in found.values())
    report.bar("a harm of just the margin: accepted, the worse world", accepted, 0.05, of=runs)


def judged(report: Report, runs: int, budget: int) -> None:
    all_of = dict(enumerate([*WORLDS, *OTHERS]))
    with multiprocessing.Pool(2) as pool:
        found = {
            which: pool.map(tried, [(which, seed, budget) for seed in range(runs)], chunksize=4) for which in all_of
        }
        head = "How fixes of known truth are judged"
        shown = list(found.items())
        for name, title, part in (
            ("fixes", f"{head} ({runs} trials each, {budget} calls at most, margin 2 points)", shown[: len(WORLDS)]),
            ("others", "The same where other rates hold, and on the border", shown[len(WORLDS) :]),
        ):
            report.add(
                name,
                title,
                [
                    "fix",
                    "kind",
                    *VERDICTS,
                    "given up early",
                    "mean calls",
                    "calls of a rejection: median",
                    "90 of 100",
                    "mostly because",
                ],
                [_row(all_of[which], of) for which, of in part],
            )
    for name, worlds in (("", range(len(WORLDS))), ("other rates: ", range(len(WORLDS), len(all_of)))):
        _bars(report, name, [(all_of[which], found[which]) for which in worlds])


VERDICTS = ("accept", "reject", "undecided")
Found = list[dict[str, Any]]


def _share(of: Found, verdict: str) -> float:
    return float(np.mean([one["verdict"] == verdict for one in of]))


def _row(world: World, of: Found) -> list[Any]:
    ended = [one["rejected_at"] for one in of if one["rejected_at"] is not None]
    why = [reason for one in of for reason in one["reasons"]]
    return [
        world.name,
        world.kind,
        *(f"{_share(of, verdict):.2f}" for verdict in VERDICTS),
        f"{float(np.mean([one['given_up'] for one in of])):.2f}",
        round(float(np.mean([one["calls"] for one in of]))),
        round(float(np.median(ended))) if ended else "-",
        round(float(np.quantile(ended, 0.9))) if ended else "-",
        max(set(why), key=why.count) if why else "-",
    ]


def _bars(report: Report, name: str, trials: list[tuple[World, Found]]) -> None:
    def shares(kind: str, verdict: str) -> list[float]:
        # The border of a claim is wrong with chance alpha by design, and has a bar of its own.
        return [_share(of, verdict) for world, of in trials if world.kind == kind and "just half" not in world.name]

    runs = len(trials[0][1])
    worst = max(shares("patch", "accept"))
    report.bar(f"{name}special cases and their like accepted, the worst of them", worst, 0.02)
    report.bar(f"{name}duds accepted, the worst of them", max(shares("dud", "accept")), 0.02)
    accepted = float(np.mean(shares("lever", "accept")))
    rejected = max(shares("lever", "reject"))
    for word, key in (
        ("control harm is above its limit", "harm_holds"),
        ("the neighbours' gain is outside its range", "gain_holds"),
        ("generalisation is outside its range", "general_holds"),
    ):
        worst = 1 - min(float(np.mean([one[key] for one in of])) for _, of in trials)
        report.bar(f"{name}{word}, the worst world", worst, 0.05, of=runs)
    soon = float(
        np.mean(
            [
                sum((one["rejected_at"] or 10**9) <= PROMISED for one in of) / len(of)
                for world, of in trials
                if world.kind == "patch" and world.shared
            ]
        )
    )
    calls = f"{name}hard-coded patches rejected in {PROMISED} calls, share of trials"
    report.bar(f"{name}harmless general levers accepted, mean", accepted, 0.75, most=False)
    report.bar(f"{name}harmless general levers rejected, the worst of them", rejected, 0.15)
    report.bar(calls, soon, 1.0, most=False)
    if on_border := shares("harm", "accept") + [_share(of, "accept") for w, of in trials if "just half" in w.name]:
        report.bar(f"{name}accepted though a claim is just not so, the worst", max(on_border), 0.05, of=runs)


if __name__ == "__main__":
    report = Report("fixes", __doc__, runs=60, border=600, budget=6000)
    if report.args.runs:
        judged(report, report.args.runs, report.args.budget)
    if report.args.border:
        at_the_border(report, report.args.border, report.args.budget)
    sys.exit(report.finish())
