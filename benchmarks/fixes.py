"""Fixes of known truth tried by the scorecard: how each is judged, in how many calls, and whether its limits hold.

    python benchmarks/fixes.py [--runs N] [--budget CALLS] [--out X.json]

Worlds: the failure probability on each of the four sets before and after, for general levers and for hard-coded
patches.  Levers pair two draws; patches that act on the answer share the draw, as `reroll try` does.
"""

from __future__ import annotations

import multiprocessing
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from _report import Report
from reroll.reduction import Pairs, pairs_of
from reroll.scorecard import Rules, SetWord, claim_states, more_needed, next_pairs, score

BASE: dict[SetWord, float] = {"case": 0.55, "neighbour": 0.50, "lookalike": 0.04, "control": 0.03}
PREVALENCE = 0.02


@dataclass(frozen=True)
class World:
    """kind: `lever` (general, harmless), `border`, `patch` (special cases and their like), `retry`.

    after: failure probability by set; shared: after is a function of the same draw, which costs one call a pair.
    """

    name: str
    kind: str
    after: tuple[float, float, float, float]
    shared: bool = False
    base: dict[SetWord, float] = field(default_factory=lambda: BASE)


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
    World("special case by a regex", "patch", (0.00, 0.43, 0.22, 0.034), shared=True),
    World("special case of this very input", "patch", (0.00, 0.50, 0.04, 0.030), shared=True),
    World("detect and block by a regex", "patch", (0.00, 0.34, 0.61, 0.085), shared=True),
    World("a dud", "dud", (0.55, 0.50, 0.04, 0.030)),
    World("a dud that harms", "dud", (0.50, 0.48, 0.10, 0.090)),
    World("verify and retry", "retry", (0.25, 0.22, 0.03, 0.020), shared=True),
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
    world, rules = WORLDS[which], Rules()
    rng = np.random.default_rng([seed, which])
    after = dict(zip(BASE, world.after, strict=True))
    pairs: dict[SetWord, Pairs] = {}
    calls, each = 0, 1 if world.shared else 2
    rejected_at: int | None = None
    while True:
        want = next_pairs(pairs, claim_states(pairs, rules))
        cost = sum(want.values()) * each
        if not want or calls + cost > budget:
            break
        for name, n in want.items():
            pairs[name] = pairs.get(name, Pairs()) + draw(rng, world.base[name], after[name], n, world.shared)
        calls += cost
    found = score(pairs, rules)
    if found.verdict == "reject":
        rejected_at = calls
    truth = 1 - after["control"] / world.base["control"]
    gain = 1 - after["neighbour"] / world.base["neighbour"]
    of_case = 1 - after["case"] / world.base["case"]
    harm = after["control"] - world.base["control"]
    needed = None
    if found.verdict == "undecided":
        needed = more_needed(pairs, rules, found, {"control": (0.03, 0.03), "lookalike": (0.04, 0.04)})
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
        "needed": needed,
        "truth": truth,
    }


def judged(report: Report, runs: int, budget: int) -> None:
    rows, kinds = [], {"lever": [], "border": [], "patch": [], "dud": [], "retry": []}  # type: ignore[var-annotated]
    holds = {"harm_holds": [], "gain_holds": [], "general_holds": []}  # type: ignore[var-annotated]
    with multiprocessing.Pool(2) as pool:
        for which, world in enumerate(WORLDS):
            found = pool.map(tried, [(which, seed, budget) for seed in range(runs)], chunksize=8)
            share = {v: sum(one["verdict"] == v for one in found) / runs for v in ("accept", "reject", "undecided")}
            kinds[world.kind].append(share)
            for name, all_of in holds.items():
                all_of += [one[name] for one in found]
            ended = [one["rejected_at"] for one in found if one["rejected_at"] is not None]
            why = [reason for one in found for reason in one["reasons"]]
            most = max(set(why), key=why.count) if why else "-"
            rows.append(
                [
                    world.name,
                    world.kind,
                    *(f"{share[v]:.2f}" for v in ("accept", "reject", "undecided")),
                    round(float(np.mean([one["calls"] for one in found]))),
                    round(float(np.median(ended))) if ended else "-",
                    most,
                ]
            )
    report.add(
        "fixes",
        f"How fixes of known truth are judged ({runs} trials each, {budget} calls at most, margin 2 points)",
        ["fix", "kind", "accept", "reject", "undecided", "mean calls", "median calls of a rejection", "mostly because"],
        rows,
    )
    mean = {kind: {v: float(np.mean([s[v] for s in of])) for v in of[0]} for kind, of in kinds.items()}
    report.bar(
        "special cases and their like accepted, the worst of them", max(s["accept"] for s in kinds["patch"]), 0.02
    )
    report.bar("duds accepted, the worst of them", max(s["accept"] for s in kinds["dud"]), 0.02)
    report.bar("harmless general levers accepted, mean", mean["lever"]["accept"], 0.75, most=False)
    report.bar("harmless general levers rejected, the worst of them", max(s["reject"] for s in kinds["lever"]), 0.15)
    report.bar("control harm is below its limit", float(np.mean(holds["harm_holds"])), 0.95, most=False)
    report.bar("the neighbours' gain is inside its range", float(np.mean(holds["gain_holds"])), 0.95, most=False)
    report.bar("generalisation is inside its range", float(np.mean(holds["general_holds"])), 0.95, most=False)


if __name__ == "__main__":
    report = Report("fixes", __doc__, runs=60, budget=6000)
    judged(report, report.args.runs, report.args.budget)
    sys.exit(report.finish())
