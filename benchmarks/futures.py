"""Failure rates and verdicts by enumeration, beside plain sampling: in random worlds, and on the bundled model.

    python benchmarks/futures.py [--worlds N] [--runs N] [--cases N] [--out X.json]

Worlds are state machines whose every probability is known: sharp, mixed, and long flat ones of which nothing
can be enumerated. The bundled model is asked over HTTP, as any llama.cpp server is; its exact rates are read
with the whole vocabulary listed.
"""

from __future__ import annotations

import asyncio
import math
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.exact import answer_probability, right_answer
from tests.worlds import World, enumerated, flat_world, random_world

from _report import Report
from reroll.answer import Answer, CertifySection
from reroll.case import Case
from reroll.case import Report as Reported
from reroll.check import Surroundings, judge_sample, overall
from reroll.checking import Checker
from reroll.enumeration import Enumeration
from reroll.evidence import Evidence, interval_array
from reroll.futures import Prefix
from reroll.hybrid import Stratum, freeze, hybrid_rate
from reroll.investigation import Asked, investigate
from reroll.models.local import LocalModel, bundled_file
from reroll.project import Project, load_project
from reroll.sample import Completion, Sample, Token
from reroll.session import Options, Session
from reroll.store import Store
from reroll.ways import calls_for_width, next_move

WIDTHS = (0.1, 0.03)
TOP = {0.01: 100, 0.001: 1000}
"""To which half width how many alternatives are asked for. Of the bundled model's tokens those beyond the first
100 add up to 0.3 % of a completion, which is more than the finer width; 1,000 are all of them."""
HALVES = tuple(TOP)


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


def samples_needed(rate: float, width: float, runs: int) -> float:
    """Mean number of samples until the interval is this narrow; the same draws for every method, as far as can be."""
    rng = np.random.default_rng(1)
    guess = calls_for_width(width, rate)
    if guess >= 10**7:
        return math.inf
    n = np.unique(np.geomspace(max(1, guess // 3), guess * 3 + 3, 90).astype(int))
    steps = np.diff(np.concatenate([[0], n]))
    failures = rng.binomial(steps, min(1.0, max(0.0, rate)), size=(runs, len(n))).cumsum(1)
    low, high = interval_array(failures, n, 0.05)
    narrow = high - low <= width
    return float(n[narrow.argmax(1)].mean()) if narrow.any(1).all() else math.inf


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
    ratios: dict[str, list[float]] = {}
    cpu = 0.0
    for i in range(number):
        kind, world = some_world(i)
        for width in WIDTHS:
            plain = samples_needed(world.failure_rate, width, runs) * world.length
            if math.isinf(plain):
                continue
            started = time.process_time()
            found, move = enumerated(world, width)
            cpu = max(cpu, time.process_time() - started)
            tokens = float(found.tokens)
            if move == "sample":
                tokens += plain
            elif move == "draw":
                stratum = freeze(found)
                rate, length = stratum_truth(world, found, stratum)
                room = (width - stratum.error) / stratum.mass
                tokens += length * samples_needed(rate, room, runs) if room < 1 else 0.0
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


async def complete(
    wire: Any, prompt: list[int], prefix: Prefix | None, most: int, top: int
) -> tuple[list[Token], str, str | None]:
    """The server's completion of these token ids: its tokens, how it ended, its text; None: it brought none back."""
    before = [i for i in (prefix.ids if prefix else ()) if i is not None]
    if len(before) >= most:
        return [], "cut", ""
    body = {
        "prompt": [*prompt, *before],
        "n_predict": most - len(before),
        "n_probs": top,
        "temperature": 0 if top else 1,  # without a list it is a draw
        "return_tokens": True,
    }
    status, said = await wire.post("/completion", body)
    if status == 0 and not top:  # llama.cpp hangs up on some draws, it seems on bytes that are no text
        return [Token("")] * (most - len(before)), "cut", None
    assert status == 200, (status, said, len(before))
    listed = [token_of(t) for t in said.get("completion_probabilities", ())]
    return (
        listed or [Token("")] * said["tokens_predicted"],
        "end" if said["stop_type"] == "eos" else "cut",
        said["content"],
    )


class Followed:
    """One case until its rate is known to ± half: enumerated as long as the planner says so, the rest drawn."""

    def __init__(self, project: Any, case: Any, wire: Any, half: float) -> None:
        self.project, self.case, self.wire, self.half = project, case, wire, half
        self.body = project.program.render(case.input, case.history).body
        self.found = Enumeration(asked=TOP[half])
        self.low, self.high, self.by = 0.0, 1.0, "enumeration"
        self.calls = self.tokens = 0
        self.cpu = 0.0

    async def run(self) -> None:
        _, said = await self.wire.post("/apply-template", {"messages": self.body["messages"]})
        _, said = await self.wire.post("/tokenize", {"content": said["prompt"], "parse_special": True})
        prompt, most = said["tokens"], self.body["max_tokens"]
        while (move := self._timed(next_move, self.found, 2 * self.half)) == "enumerate":
            prefix = self._timed(self.found.next_prefix) if self.found.history else None
            tokens, ended, text = [], "end", ""
            if prefix is None or not prefix.ended:
                tokens, ended, text = await complete(self.wire, prompt, prefix, most, TOP[self.half])
            text = (prefix.text if prefix else "") + text
            self._timed(self.found.add, tokens, ended, self.judge(text), prefix, said=text)
        rate = self._timed(self.found.futures).failure_rate
        self.low, self.high = rate.low, rate.high
        self.calls, self.tokens = self.found.calls, self.found.tokens
        if move != "done":
            self.by = "hybrid"
            await self._draw(prompt, most)

    async def _draw(self, prompt: list[int], most: int) -> None:
        """Draws from what is left, until the rate is known so well; nothing is enumerated after that."""
        stratum, evidence, rng = self._timed(freeze, self.found), Evidence(), np.random.default_rng(0)
        while self.high - self.low > 2 * self.half and self.tokens < 20_000:
            prefix = self.found.prefix(*stratum.pick(rng.random()))
            tokens, text = [], ""
            if not prefix.ended:
                tokens, _, text = await complete(self.wire, prompt, prefix, most, top=0)
                self.calls, self.tokens = self.calls + 1, self.tokens + len(tokens)
            evidence = evidence.add("invalid" if text is None else self.judge(prefix.text + text))
            rate = hybrid_rate(stratum, evidence)
            self.low, self.high = rate.low, rate.high

    def judge(self, text: str) -> str:
        around = Surroundings(self.project.program.response, self.case.input, self.case.expected)
        return overall(judge_sample(check, Sample(Completion(text)), around) for check in self.case.checks).outcome

    def _timed(self, work: Any, *args: Any, **named: Any) -> Any:
        started = time.process_time()
        out = work(*args, **named)
        self.cpu += time.process_time() - started
        return out


async def follow_cases(number: int) -> list[tuple[float, list[Followed]]]:
    """Per case its exact rate, and how it was found to each of HALVES."""
    model, rows = LocalModel(bundled_file(), "bundled"), []
    project = load_project(bundled_file().parent / "meetings")
    wire = await model.wire()
    try:
        for case in project.cases[:number]:
            followed = [Followed(project, case, wire, half) for half in HALVES]
            for one in followed:
                await one.run()
            answer = right_answer(project.program, case)
            rows.append((1 - await answer_probability(wire, followed[0].body["messages"], answer), followed))
    finally:
        await model.close()
    return rows


def bundled(report: Report, number: int) -> None:
    rows = asyncio.run(follow_cases(number))
    lines = []
    for truth, followed in rows:
        cells: list[Any] = [followed[0].case.id, f"{truth:.4f}"]
        for one in followed:
            cells += [f"{one.low:.4f}–{one.high:.4f}", one.by, one.calls, one.tokens, f"{one.cpu:.2f}"]
        lines.append(cells)
    head = ["case", "exact"]
    head += [f"{word} (±{100 * half:g})" for half in HALVES for word in ("rate", "by", "calls", "tokens", "CPU s")]
    report.add("bundled", "The bundled model: failure rate to ±1 point and ±0.1 point", head, lines)
    everyone = [(truth, one) for truth, followed in rows for one in followed]
    for half, tokens in zip(HALVES, (300, 5000), strict=True):
        spent = [one.tokens if one.high - one.low <= 2 * half else math.inf for _, one in everyone if one.half == half]
        report.bar(f"bundled: tokens to ±{100 * half:g} points, worst case", max(spent), tokens)
    outside = max(max(one.low - truth, truth - one.high) for truth, one in everyone)
    report.bar(
        "bundled: exact rate outside by at most (the server's drift, which is not measured here)", outside, 0.002
    )
    cpu = max(one.cpu for _, one in everyone if one.half == HALVES[0])
    report.bar("bundled: CPU seconds a case to ±1 point, besides the calls", cpu, 1.0)


# ---------------------------------------------------------------- verdicts


async def certified(project: Project, case: Case, method: Literal["auto", "sampling"]) -> tuple[Answer, float]:
    """What `certify` answers about this case, from an empty store, and its CPU seconds (those of the model too)."""
    with tempfile.TemporaryDirectory() as folder:
        model, started = LocalModel(bundled_file(), "bundled"), time.process_time()
        try:
            with Store.open(Path(folder) / "store.sqlite") as store, Checker(Path(folder)) as checker:
                options = Options(budget=2000, seed=1, method=method)
                session = Session(project, store, model, checker, options)
                asked = Asked(Reported(case_id=case.id), case, "certify", target=TARGET)
                return await investigate(session, asked), time.process_time() - started
        finally:
            await model.close()


TARGET = 0.99
TEMPERATURES = (1.0, 0.4)


def verdicts(report: Report, number: int) -> None:
    """Calls of `certify --target 0.99` where it may read, beside counting runs only: every case at two temperatures."""
    found, lines, totals, differ = load_project(bundled_file().parent / "meetings"), [], [0, 0], 0
    for temperature in TEMPERATURES:
        params = {**found.program.params, "temperature": temperature}
        project = replace(found, program=found.program.model_copy(update={"params": params}))
        for case in project.cases[:number]:
            (read, cpu), (counted, _) = (asyncio.run(certified(project, case, m)) for m in ("auto", "sampling"))
            a, b = read.certify, counted.certify
            assert isinstance(a, CertifySection)
            assert isinstance(b, CertifySection)
            differ += {a.verdict, b.verdict} == {"met", "not_met"}
            totals[0], totals[1] = totals[0] + read.cost.calls, totals[1] + counted.cost.calls
            runs = f"{b.rate.failures} of {b.rate.n}"
            mine = (a.verdict, a.rate.method, read.cost.calls, f"{cpu:.1f}")
            lines.append([case.id, temperature, *mine, b.verdict, counted.cost.calls, runs])
    head = ["case", "temperature", "verdict", "by", "calls", "CPU s", "by runs alone", "calls", "failed"]
    report.add("verdicts", f"certify --target {TARGET}, reading where it is shorter, beside runs alone", head, lines)
    report.bar("verdicts: calls, times those of runs alone, all cases together", totals[0] / totals[1], 1.0)
    report.bar("verdicts: cases where the two contradict one another", differ, 0)


def main() -> int:
    report = Report("futures", __doc__, worlds=200, runs=40, cases=99)
    if report.args.worlds:
        worlds(report, report.args.worlds, report.args.runs)
    bundled(report, report.args.cases)
    verdicts(report, report.args.cases)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
