"""How well a cause is named: planted causes behind a server on loopback, the whole command scored.

python benchmarks/cause.py [--worlds N] [--kinds a,b] [--diagnoser product|loo|oracle] [--budget 600] [--out X.json]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks._causes import World
from benchmarks._causes_kinds import KINDS, world
from benchmarks._causes_peers import leave_one_out, oracle
from benchmarks._causes_server import Server, write_project
from benchmarks._report import Report

Answer = dict[str, Any]
START = "from reroll.cli import main; raise SystemExit(main())"


def product(w: World, folder: Path, budget: int, seed: int) -> Answer:
    """What `reroll cause` says, in a process of its own; an answer with `error` where it ends otherwise."""
    command = [sys.executable, "-c", START, "cause", "reported", "--project", str(folder), "--json", "--yes"]
    command += ["--budget", str(budget), "--seed", str(seed), "--quiet"]
    if w.person:
        command += ["--person", f"{sys.executable} {folder / 'person.py'}"]
    env = {**os.environ, "OPENAI_API_KEY": "none"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=600, env=env, check=False)
    except subprocess.TimeoutExpired:
        return {"error": "600 seconds passed"}
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        answer = json.loads(run.stdout)
    except ValueError:
        return {"error": (run.stderr.strip() or run.stdout)[-300:] or f"exit code {run.returncode}"}
    if not isinstance(answer, dict):
        return {"error": "no JSON object"}
    return answer | {"cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def score(w: World, answer: Answer) -> dict[str, Any]:
    """One world's numbers, by what the simulator knows (research section 6; issue 6)."""
    named = [str(f["id"]) for f in answer.get("factors", [])]
    verdict = answer.get("verdict", "error")
    guilty = bool(w.cues)
    right = 1.0 if verdict in w.verdicts else 0.5 if verdict == "undecided" else 0.0
    hit = sum(any(n in cue.ids for n in named) for cue in w.cues)
    wrong = [n for n in named if n not in w.also and not any(n in cue.ids for cue in w.cues)]
    f1 = 2 * hit / (hit + len(wrong) + len(w.cues)) if guilty else float(not wrong)
    p0, best = w.rate, w.without(frozenset(i for c in w.cues for i in c.ids))
    circumstance = w.between and guilty
    if not guilty:
        value = float(not wrong)
    elif circumstance:  # the rate without the named circumstance is the lower one
        value = float(hit > 0)
    else:
        value = (p0 - w.without(frozenset(named))) / (p0 - best)
    rate = answer.get("rate") or {}
    covers, narrow = interval(w, rate)
    cost = answer.get("cost") or {}
    calls = int(cost.get("calls") or 0) + int(cost.get("control_calls") or 0)
    economy = min(1.0, 250 / calls) if calls else float("error" not in answer and answer.get("oracle", False))
    accused = not guilty and bool(wrong)
    total = 0.25 * right + 0.25 * f1 + 0.25 * value + 0.15 * (covers and narrow) + 0.10 * economy - 0.5 * accused
    return {
        "kind": w.kind,
        "seed": w.seed,
        "verdict": verdict,
        "best_verdict": w.verdicts[0],
        "right": verdict in w.verdicts,
        "f1": f1,
        "value": value,
        "covers": bool(covers),
        "effects": [e for f in answer.get("factors", []) if (e := effect_covered(w, f)) is not None],
        "false": bool(wrong),
        "accused": accused,
        "guilty": guilty,
        "named": named,
        "truth": [sorted(c.ids) for c in w.cues],
        "calls": calls,
        "cpu": answer.get("cpu", 0.0),
        "score": total,
        "error": answer.get("error", ""),
    }


def interval(w: World, rate: Answer) -> tuple[bool, bool]:
    """Whether the rate's interval meets the truth, and is at most twice the binomial width."""
    low, high, n = rate.get("low"), rate.get("high"), rate.get("n") or 0
    if low is None or high is None:
        return False, False
    truth = w.between or (w.rate, w.rate)
    p = w.rate
    usual = 2 * 1.96 * math.sqrt(max(p * (1 - p), 1 / (n + 4)) / n) if n else 1.0
    return low <= truth[1] and truth[0] <= high, high - low <= 2 * usual


def effect_covered(w: World, factor: Answer) -> bool | None:
    """Whether the effect's interval holds the true change on taking this factor out; None where unknown."""
    effect = factor.get("effect") or {}
    if effect.get("low") is None or effect.get("high") is None or w.between or factor["id"] in w.also:
        return None
    true = w.rate - w.without(frozenset({factor["id"]}))
    low, high = sorted((abs(effect["low"]), abs(effect["high"])))
    if effect["low"] < 0 < effect["high"]:
        low = -min(abs(effect["low"]), abs(effect["high"]))
    return bool(low <= true <= high)


def share(values: list[Any]) -> float:
    return statistics.fmean(map(float, values)) if values else math.nan


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The issue's numbers over these worlds; the verdict is averaged over its true words first."""
    words = sorted({r["best_verdict"] for r in rows})
    guilty = [r for r in rows if r["guilty"]]
    calls = sorted(r["calls"] for r in rows)
    return {
        "worlds": len(rows),
        "macro verdict": share([share([r["right"] for r in rows if r["best_verdict"] == x]) for x in words]),
        "locator F1": share([r["f1"] for r in guilty]),
        "true effect": share([r["value"] for r in guilty]),
        "false accusation": share([r["accused"] for r in rows if not r["guilty"]]),
        "innocent named": share([r["false"] for r in rows]),
        "rate covered": share([r["covers"] for r in rows]),
        "effect covered": share([e for r in rows for e in r["effects"]]),
        "mean calls": share(calls),
        "p90 calls": float(calls[min(len(calls) - 1, math.ceil(0.9 * len(calls)) - 1)]),
        "CPU s": share([r["cpu"] for r in rows]),
        "score": share([r["score"] for r in rows]),
        "errors": share([bool(r["error"]) for r in rows]),
    }


SAYS = {
    "worlds": "worlds",
    "macro verdict": "verdict right, mean over verdicts",
    "locator F1": "what was named, F1",
    "true effect": "what taking it out cures, of what could be",
    "false accusation": "named where nothing is to blame",
    "innocent named": "any innocent part named",
    "rate covered": "range of the rate holds",
    "effect covered": "range of an effect holds",
    "mean calls": "calls, mean",
    "p90 calls": "calls, 90th percentile",
    "CPU s": "CPU s of the command, start-up and calls included",
    "score": "score",
    "errors": "commands that brought no answer",
}
OF_A_KIND = ("macro verdict", "locator F1", "true effect", "innocent named", "rate covered", "mean calls")


def shown(number: float) -> str:
    """With two decimals where it is a share, a whole number from ten on; – where there is none."""
    return "–" if math.isnan(number) else f"{number:.0f}" if number >= 10 else f"{number:.2f}"


def by_kind(rows: list[dict[str, Any]]) -> list[list[str]]:
    """A line for each kind of world, those of the family first."""
    kinds = sorted(dict.fromkeys(r["kind"] for r in rows), key=lambda kind: not KINDS[kind][0])
    sums = {kind: summary([r for r in rows if r["kind"] == kind]) for kind in kinds}
    return [[kind.replace("_", " "), *(shown(sums[kind][number]) for number in OF_A_KIND)] for kind in kinds]


def one(kind: str, seed: int, diagnoser: str, budget: int, folder: Path) -> dict[str, Any]:
    w, server = world(kind, seed), Server()
    try:
        server.play(w, seed)
        if diagnoser == "oracle":
            answer = oracle(w)
        elif diagnoser == "loo":
            answer = leave_one_out(w, server.url, budget)
        else:
            answer = product(w, write_project(w, folder / f"{kind}-{seed}", server.url), budget, seed)
    finally:
        server.close()
    return score(w, answer)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=3, help="per kind")
    parser.add_argument("--kinds", default="", help="comma between them; default: all")
    parser.add_argument("--diagnoser", choices=["product", "loo", "oracle"], default="product")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--budget", type=int, default=600)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    kept = Report.of("cause", args)
    kinds = args.kinds.split(",") if args.kinds else list(KINDS)
    todo = [(k, s) for k in kinds for s in range(args.first, args.first + args.worlds)]
    with tempfile.TemporaryDirectory() as home, ThreadPoolExecutor(args.jobs) as pool:
        rows = list(pool.map(lambda t: one(*t, args.diagnoser, args.budget, Path(home)), todo))
    report = kept.report
    report |= {"diagnoser": args.diagnoser}
    sums = {}
    for name, inside in (("in family", True), ("out of family", False)):
        if not (some := [r for r in rows if KINDS[r["kind"]][0] == inside]):
            continue
        numbers = sums[name] = summary(some)
        kept.bar(f"{name}: macro verdict", numbers["macro verdict"], 0.9 if inside else 0.7, most=False)
        kept.bar(f"{name}: false accusation", numbers["false accusation"], 0.05 if inside else 0.10)
        if inside:
            kept.bar("locator F1", numbers["locator F1"], 0.85, most=False)
            kept.bar("true effect of removing it, of the possible", numbers["true effect"], 0.85, most=False)
            kept.bar("rate covered", numbers["rate covered"], 0.93, most=False)
            kept.bar("effect covered", numbers["effect covered"], 0.93, most=False)
            kept.bar("mean calls", numbers["mean calls"], 250)
            kept.bar("p90 calls", numbers["p90 calls"], 450)
    told = [[says, *(shown(numbers[number]) for numbers in sums.values())] for number, says in SAYS.items()]
    kept.add("sums", f"{args.diagnoser}: all worlds", ["", *sums], told)
    kept.add("kinds", f"{args.diagnoser}: kinds", ["kind", *(SAYS[n] for n in OF_A_KIND)], by_kind(rows))
    report["worlds"] = rows
    return kept.finish()


if __name__ == "__main__":
    raise SystemExit(main())
