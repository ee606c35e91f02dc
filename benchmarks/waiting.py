"""How long a certificate waits for its calls: calls that overlap beside batches waited for, and what each spends.

    python benchmarks/waiting.py              three runs a row (two minutes)
    python benchmarks/waiting.py --runs 1     one

The real loop with a model that answers after a latency of its own, on a clock that jumps to the next thing that
happens: it counts the waiting for calls, and CPU stands beside it. 99 % at zero failures takes 355 calls. The bound
is what nobody can undercut who keeps to the plan (on average an eighth of the calls at most after the decision) where
every call takes the mean latency. `in rounds` waits for each batch's slowest call.
"""

from __future__ import annotations

import asyncio
import random
import selectors
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # as a script

from _report import Report
from reroll.case import Case
from reroll.check import Check
from reroll.checking import Checker
from reroll.models.model import Capabilities, Draw
from reroll.plan import Plan, next_draws
from reroll.program import Program
from reroll.project import Project
from reroll.rolling import roll_case
from reroll.runner import run_case
from reroll.sample import Completion, Sample
from reroll.session import Options, Session
from reroll.store import Store

CASE = Case(id="greet", input={"request": "Say yes"}, checks=(Check(kind="contains", value="yes"),))
ROWS = [(50, "spread", 200, 0.0), (50, "tail", 200, 0.0), (500, "spread", 200, 0.0), (500, "spread", 8, 0.0),
        (500, "tail", 8, 0.0), (500, "spread", 8, 0.03)]  # fmt: skip


class Timed:
    """A model that answers after a latency, failing as often as told; the same for the same seed."""

    name = identity = "timed"
    priced = True

    def __init__(self, kind: str, ms: int, width: int, fails: float, seed: int) -> None:
        self.kind, self.mean, self.concurrency, self.fails, self.seed = kind, ms / 1000, width, fails, seed

    async def check(self) -> None: ...

    async def probe(self) -> Capabilities:
        return Capabilities()

    async def close(self) -> None: ...

    async def draw(self, draw: Draw) -> Sample:
        chance = random.Random(f"{self.seed} {draw.index}")
        failing = chance.random() < self.fails
        # Mean 1: lognormal with a standard deviation of a half; or Pareto, whose thousandth takes 33 times as long.
        share = chance.lognormvariate(-0.11157, 0.47238) if self.kind == "spread" else chance.paretovariate(1.5) / 3
        await asyncio.sleep(self.mean * share)
        return Sample(Completion("no" if failing else "yes"))


class Jumping(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer where others would wait for it."""

    def __init__(self) -> None:
        class Selector(selectors.DefaultSelector):
            def select(inner, timeout: float | None = None) -> Any:
                self.now += max(0.0, timeout or 0.0)
                return super().select(0)

        self.now = 0.0
        super().__init__(Selector())

    def time(self) -> float:
        return self.now


def measured(loop: Any, kind: str, ms: int, width: int, fails: float, seed: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder, Checker(folder) as checker:
        project = Project(Path(folder), Program(program="p", model="timed"), (CASE,), (), ())
        with Store.open(":memory:") as store:
            session = Session(project, store, Timed(kind, ms, width, fails, seed), checker, Options(budget=2000))
            store.put_program(project.program)

            async def plan_for(outcomes: Any) -> Plan:
                return Plan("certify", target=0.99, concurrency=width)

            cpu, clock = time.process_time(), Jumping()
            with asyncio.Runner(loop_factory=lambda: clock) as runner:
                runs = runner.run(loop(session, CASE, plan_for))
            return {"wall": clock.now, "cpu": time.process_time() - cpu, "calls": len(runs)}


def least(width: int) -> int:
    """Rounds of the mean latency that the plan takes at zero failures."""
    n = rounds = 0
    while more := next_draws(Plan("certify", target=0.99, concurrency=width), ["pass"] * n):
        n, rounds = n + more, rounds + 1
    return rounds


def main() -> int:
    report = Report("waiting", __doc__, runs=3)
    rows: list[list[Any]] = []
    seeds = range(report.args.runs)
    for ms, kind, width, fails in ROWS:
        bound = least(width) * ms / 1000
        found = {
            name: [measured(loop, kind, ms, width, fails, seed) for seed in seeds]
            for name, loop in (("in rounds", run_case), ("overlapping", roll_case))
        }
        walls = {n: statistics.median(f["wall"] for f in all) for n, all in found.items()}
        calls = {n: statistics.mean(f["calls"] for f in all) for n, all in found.items()}
        for name, all in found.items():
            over = "–" if fails else f"{walls[name] / bound:.2f}"
            cpu = 1000 * sum(f["cpu"] for f in all) / sum(f["calls"] for f in all)
            cells = [f"{walls[name]:.2f}", over, f"{calls[name]:.0f}", f"{cpu:.2f}"]
            rows.append([f"{ms} ms, {kind}", width, f"{fails:.0%}", name, *cells])
        where = f"{ms} ms, {kind}, {width} in flight, {fails:.0%} failing"
        ratio = walls["overlapping"] / walls["in rounds"]
        report.bar(f"wall, overlapping to rounds, {where}", ratio, 1.02 if width > 8 or fails else 0.8)
        report.bar(f"calls, overlapping to rounds, {where}", calls["overlapping"] / calls["in rounds"], 1.02)
    head = ["latency", "in flight", "failing", "loop", "wall s", "over the bound", "calls", "CPU ms a call"]
    report.add("waiting", "To certify 99 %", head, rows)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
