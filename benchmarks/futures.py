"""Failure rates from enumeration and the hybrid, beside plain sampling: in random worlds, and on the bundled model.

    python benchmarks/futures.py [--worlds N] [--runs N] [--out X.json]

Worlds are state machines whose every probability is known: sharp, mixed, and long flat ones of which nothing
can be enumerated. The bundled model is asked over HTTP, as any llama.cpp server is; its exact rates are read
with the whole vocabulary listed.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.exact import answer_probability, right_answer
from tests.worlds import World, flat_world, random_world

from _report import Report
from reroll.check import judge
from reroll.enumeration import Enumeration
from reroll.evidence import interval_array
from reroll.futures import Prefix
from reroll.hybrid import Stratum, freeze
from reroll.models.local import LocalModel, bundled_file
from reroll.noise import EXACT
from reroll.project import load_project
from reroll.sample import Completion, Sample, Token
from reroll.ways import calls_for_width, next_move

WIDTHS = (0.1, 0.03)
TOP = 20


# ---------------------------------------------------------------- worlds


def some_world(i: int) -> tuple[str, World]:
    rng = np.random.default_rng(1000 + i)
    kind = ("long and flat", "any", "sharp")[i % 3]
    if kind == "long and flat":
        world = flat_world(i, int(rng.integers(10, 200)), failing=float(rng.choice([0.02, 0.1, 0.5])))
    elif kind == "any":
        world = random_world(i, most=int(rng.integers(5, 60)))
    else:
        states, size = int(rng.integers(4, 12)), int(rng.integers(10, 40))
        logits = rng.normal(size=(states, size)) * rng.uniform(3, 7)
        logits[:, 0] -= rng.uniform(0, 3)
        moves, bad = rng.integers(states, size=(states, size)), rng.random(states) < rng.choice([0.1, 0.3])
        world = World(logits, moves, bad, int(rng.integers(20, 120)), rng=rng)
    world.top = 20 if i % 2 else 40
    return kind, world


def samples_needed(rate: float, width: float, runs: int, rng: np.random.Generator) -> float:
    """Mean number of samples until the interval is this narrow."""
    guess = calls_for_width(width, rate)
    if guess >= 10**7:
        return math.inf
    n = np.unique(np.geomspace(max(1, guess // 3), guess * 3 + 3, 90).astype(int))
    steps = np.diff(np.concatenate([[0], n]))
    failures = rng.binomial(steps, min(1.0, max(0.0, rate)), size=(runs, len(n))).cumsum(1)
    low, high = interval_array(failures, n, 0.05)
    narrow = high - low <= width
    return float(n[narrow.argmax(1)].mean()) if narrow.any(1).all() else math.inf


def enumerate_world(world: World, width: float) -> tuple[Enumeration, str]:
    found = Enumeration(world.sampling, EXACT, vocabulary=world.logits.shape[1], end_keys={"\x00#0"})
    while (move := next_move(found, width)) == "enumerate":
        prefix = found.next_prefix() if found.history else None
        ids = [i or 0 for i in prefix.ids] if prefix else []
        if prefix is not None and prefix.ended:
            found.add([], "end", world.outcome(ids), prefix)
        else:
            found.add(*world.complete(ids), prefix)
    return found, move


def stratum_truth(world: World, found: Enumeration, stratum: Stratum) -> tuple[float, float]:
    """The exact failure rate of a draw from the stratum, and its mean number of tokens."""
    fails, left = world.values
    rates, lengths = [], []
    for node, place in zip(stratum.nodes, stratum.places, strict=True):
        prefix = found.prefix(int(node), int(place))
        ids = [i or 0 for i in prefix.ids]
        state = 0 if prefix.ended else world.state(ids)
        rates.append(float(world.outcome(ids) == "fail") if prefix.ended else fails[len(ids), state])
        lengths.append(0.0 if prefix.ended else left[len(ids), state])
    weight = np.diff(stratum.cumulative, prepend=0.0) / stratum.mass
    return float(weight @ rates), float(weight @ lengths)


def worlds(report: Report, number: int, runs: int) -> None:
    rng = np.random.default_rng(1)
    ratios: dict[str, list[float]] = {}
    cpu = 0.0
    for i in range(number):
        kind, world = some_world(i)
        for width in WIDTHS:
            plain = samples_needed(world.failure_rate, width, runs, rng) * world.length
            if math.isinf(plain):
                continue
            started = time.process_time()
            found, move = enumerate_world(world, width)
            cpu = max(cpu, time.process_time() - started)
            tokens = float(found.tokens)
            if move == "sample":
                tokens += plain
            elif move == "draw":
                stratum = freeze(found)
                rate, length = stratum_truth(world, found, stratum)
                room = (width - stratum.error) / stratum.mass
                tokens += length * samples_needed(rate, room, runs, rng) if room < 1 else 0.0
            low, high = found.futures().failure_rate.low, found.futures().failure_rate.high
            assert low is not None
            assert high is not None
            assert low - 1e-9 <= world.failure_rate <= high + 1e-9, (i, low, world.failure_rate, high)
            ratios.setdefault(kind, []).append(tokens / plain)
    rows = [
        [kind, len(r), *(f"{np.quantile(r, q):.3g}" for q in (0.1, 0.5, 0.9, 1.0))]
        for kind, r in sorted(ratios.items())
    ]
    head = ["worlds", "compared", "10 %", "median", "90 %", "worst"]
    report.add("worlds", f"Tokens of the hybrid, times plain sampling's for the same width ({WIDTHS})", head, rows)
    everything = [r for rs in ratios.values() for r in rs]
    report.bar("worlds: hybrid's tokens, times plain sampling's, worst", max(everything), 1.1)
    report.bar("worlds: the same, median", float(np.median(everything)), 1.0)
    report.bar("worlds: CPU seconds of one enumeration, the calls of the world included", cpu, 2.0)


# ---------------------------------------------------------------- the bundled model


def token_of(entry: Mapping[str, Any]) -> Token:
    top = entry["top_logprobs"]
    pairs = tuple((t["token"], float(t["logprob"])) for t in top)
    return Token(entry["token"], float(entry["logprob"]), pairs, entry["id"], tuple(t["id"] for t in top))


async def greedy(wire: Any, prompt: list[int], prefix: Prefix | None, most: int) -> tuple[list[Token], str, str]:
    """The server's greedy completion of these token ids: its tokens, how it ended, its text."""
    before = [i for i in (prefix.ids if prefix else ()) if i is not None]
    body = {
        "prompt": [*prompt, *before],
        "n_predict": most - len(before),
        "n_probs": TOP,
        "temperature": 0,
        "return_tokens": True,
    }
    status, said = await wire.post("/completion", body)
    assert status == 200, said
    ended = "end" if said["stop_type"] == "eos" else "cut"
    return [token_of(t) for t in said["completion_probabilities"]], ended, said["content"]


async def exact_rates() -> list[dict[str, Any]]:
    """Per case: its exact failure rate, and when the bracket became so narrow."""
    model = LocalModel(bundled_file(), "bundled")
    project = load_project(bundled_file().parent / "meetings")
    wire = await model.wire()
    rows = []
    try:
        for case in project.cases:
            body = project.program.render(case.input, case.history).body
            truth = 1 - await answer_probability(wire, body["messages"], right_answer(project.program, case))
            _, said = await wire.post("/apply-template", {"messages": body["messages"]})
            _, said = await wire.post("/tokenize", {"content": said["prompt"], "parse_special": True})
            found, row, cpu = Enumeration(asked=TOP), {"case": case.id, "truth": truth}, 0.0
            while found.tokens < 6000:
                started = time.process_time()
                prefix = found.next_prefix() if found.history else None
                cpu += time.process_time() - started
                if prefix is None and found.history:
                    break
                if prefix is not None and prefix.ended:
                    tokens, ended, text = [], "end", ""
                else:
                    tokens, ended, text = await greedy(wire, said["tokens"], prefix, body["max_tokens"])
                text = (prefix.text if prefix else "") + text
                outcome = judge_text(project, case, text)
                started = time.process_time()
                found.add(tokens, ended, outcome, prefix, said=text)  # type: ignore[arg-type]
                cpu += time.process_time() - started
                for half in (0.01, 0.001):
                    if found.unknown <= 2 * half and half not in row:
                        futures = found.futures()
                        row[half] = (found.calls, found.tokens, futures.failure_rate.low, futures.failure_rate.high)
                if 0.001 in row:
                    break
            row["cpu"], row["unknown"], row["noise"] = cpu, found.unknown, found.futures().noise
            rows.append(row)
    finally:
        await model.close()
    return rows


def judge_text(project: Any, case: Any, text: str) -> str:
    sample = Sample(Completion(text))
    outcomes = [judge(check, sample, response=project.program.response).outcome for check in case.checks]
    return "invalid" if "invalid" in outcomes else "fail" if "fail" in outcomes else "pass"


def bundled(report: Report) -> None:
    rows = asyncio.run(exact_rates())
    lines = []
    for row in rows:
        cells = [row["case"], f"{row['truth']:.4f}"]
        for half in (0.01, 0.001):
            at = row.get(half)
            cells += [f"[{at[2]:.4f}, {at[3]:.4f}]", at[0], at[1]] if at else ["not reached", "", ""]
        lines.append([*cells, f"{row['cpu']:.2f}"])
    head = ["case", "exact", "±1 point", "calls", "tokens", "±0.1 point", "calls", "tokens", "CPU s"]
    head = [*head[:6], "calls (0.1)", "tokens (0.1)", "CPU s"]
    report.add("bundled", "The bundled model: failure rate, enumerated", head, lines)
    for half, tokens in ((0.01, 300), (0.001, 5000)):
        spent = [row[half][1] if half in row else math.inf for row in rows]
        report.bar(f"bundled: tokens to ±{100 * half:g} points, worst case", max(spent), tokens)
    outside = max(
        max(row[h][2] - row["truth"], row["truth"] - row[h][3]) for row in rows for h in (0.01, 0.001) if h in row
    )
    report.bar(
        "bundled: exact rate outside the bracket by at most (other spellings of the right answer)", outside, 0.001
    )
    report.bar("bundled: CPU seconds a case besides the calls", max(row["cpu"] for row in rows), 1.0)


def main() -> int:
    report = Report("futures", __doc__, worlds=200, runs=40)
    worlds(report, report.args.worlds, report.args.runs)
    bundled(report)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
