"""Ten million samples on a hundred nodes: how long, how busy, what is paid twice; simulated, beside a plain estimate.

    python benchmarks/scale.py                    the plan of docs/scale.md (some minutes)
    python benchmarks/scale.py --drivers 1        another number of commands that share the work

A discrete-event simulation of what `--engine ray` does: an actor a node; a message brings what has settled since the
last one, a linger after the first; the driver takes all messages that wait in one turn, stores them in one commit and
gives out as many new draws; one commit at a time on the store, whichever driver's. Nodes die and come back, and a draw
that was out on one is paid for again. Inputs are the numbers that benchmarks/cluster.py measures, and assumptions:
docs/scale.md says which is which. Nothing here knows a price. Other numbers of drivers get a tenth of the work.
"""

from __future__ import annotations

import heapq
import math
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))  # as a script

from _report import Report

MESSAGE, TURN, DIES, BACK = range(4)
PACE = 200  # messages a second that a driver asks for: engine_ray.MESSAGES
WAY = 0.002  # seconds from driver to node
NEVER = math.inf


@dataclass(frozen=True)
class Plan:
    """Times in seconds. `own`: the driver's work for a sample but for messages and commits."""

    samples: int
    nodes: int
    each: int  # calls in flight on a node
    drivers: int
    latency: float
    spread: float  # of the logarithm of the latency
    own: float
    message: float
    packed: float  # for one more sample in a message
    commit: float
    row: float
    mtbf: float  # of a node
    away: float  # until a node is back

    @property
    def linger(self) -> float:
        return self.nodes / self.drivers / PACE


@dataclass
class Driver:
    todo: int
    nodes: list[int]
    busy: float = 0.0
    inbox: list[tuple[int, int]] = field(default_factory=list)  # node, samples
    turn: list[tuple[int, int]] | None = None


@dataclass
class Found:
    """What one run came to."""

    seconds: float = 0.0
    calls: int = 0
    deaths: int = 0
    twice: int = 0
    messages: int = 0
    commits: int = 0
    busy: float = 0.0
    locked: float = 0.0


class Run:
    def __init__(self, plan: Plan, seed: int) -> None:
        self.plan, self.rng, self.random = plan, np.random.default_rng(seed), random.Random(seed)
        self.now, self.free, self.found = 0.0, 0.0, Found()
        self.events: list[tuple[float, int, int, int]] = []
        self.back_at = np.full((plan.nodes, plan.each), NEVER)  # when each place's call comes back; NEVER: none is out
        self.epoch = [0] * plan.nodes
        self.waiting = [False] * plan.nodes  # whether a message is on its way
        share = -(-plan.samples // plan.drivers)
        self.drivers = [
            Driver(min(share, plan.samples - d * share), list(range(d, plan.nodes, plan.drivers)))
            for d in range(plan.drivers)
        ]
        self.done = 0

    def go(self) -> Found:
        for node in range(self.plan.nodes):
            self._at(self.random.expovariate(1 / self.plan.mtbf), DIES, node)
            self._give(node)
        while self.done < self.plan.samples:
            self.now, kind, who, epoch = heapq.heappop(self.events)
            if kind == MESSAGE and epoch == self.epoch[who]:
                self._sent(who)
            elif kind == TURN:
                self._turned(self.drivers[who])
            elif kind == DIES:
                self._died(who)
            elif kind == BACK:
                self._give(who)
        self.found.seconds = self.now
        self.found.busy = sum(d.busy for d in self.drivers) / self.now / len(self.drivers)
        self.found.locked /= self.now
        return self.found

    def _at(self, seconds: float, kind: int, who: int) -> None:
        heapq.heappush(self.events, (self.now + seconds, kind, who, self.epoch[who] if kind == MESSAGE else 0))

    def _driver(self, node: int) -> Driver:
        return self.drivers[node % self.plan.drivers]

    def _give(self, node: int) -> None:
        """New draws into every place that is free, and the next message."""
        driver, places = self._driver(node), self.back_at[node]
        free = np.flatnonzero(places == NEVER)[: driver.todo]
        if len(free):
            driver.todo -= len(free)
            self.found.calls += len(free)
            mean = math.log(self.plan.latency) - self.plan.spread**2 / 2
            places[free] = self.now + WAY + self.rng.lognormal(mean, self.plan.spread, len(free))
        first = float(places.min())
        if first < NEVER and not self.waiting[node]:
            self.waiting[node] = True
            self._at(max(0.0, first - self.now) + self.plan.linger + WAY, MESSAGE, node)

    def _sent(self, node: int) -> None:
        """What has settled on the node reaches its driver."""
        places = self.back_at[node]
        settled = np.flatnonzero(places <= self.now)
        places[settled] = NEVER
        self.waiting[node] = False
        driver = self._driver(node)
        driver.inbox.append((node, len(settled)))
        self.found.messages += 1
        if driver.turn is None:
            self._turn(driver)

    def _turn(self, driver: Driver) -> None:
        """The driver takes what waits: unpacks, stores in one commit (one at a time on the store), gives draws out."""
        plan, (driver.turn, driver.inbox) = self.plan, (driver.inbox, [])
        rows = sum(k for _, k in driver.turn)
        work = len(driver.turn) * plan.message + rows * (plan.packed + plan.own)
        storing = plan.commit + rows * plan.row
        begin = max(self.now + work, self.free)
        self.free = begin + storing
        self.found.commits += 1
        self.found.locked += storing
        driver.busy += self.free - self.now
        self._at(self.free - self.now, TURN, self.drivers.index(driver))

    def _turned(self, driver: Driver) -> None:
        turn, driver.turn = driver.turn or [], None
        for node, settled in turn:
            self.done += settled
            self._give(node)
        if driver.inbox:
            self._turn(driver)

    def _died(self, node: int) -> None:
        """Its calls are lost and done again; what its last message brought is not."""
        places = self.back_at[node]
        lost = int((places < NEVER).sum())
        places[:] = NEVER
        self.epoch[node] += 1
        self.waiting[node] = False
        self.found.deaths += 1
        self.found.twice += lost
        self._driver(node).todo += lost
        self._at(self.plan.away, BACK, node)
        self._at(self.plan.away + self.random.expovariate(1 / self.plan.mtbf), DIES, node)
        for other in self._driver(node).nodes:  # who has nothing to do may take them
            if not self.waiting[other] and other != node:
                self._give(other)


def estimate(plan: Plan) -> tuple[float, float]:
    """Seconds and calls paid twice, from means alone: the length of a turn and what it carries, made to agree.

    A sample takes its call, half a linger, half a turn until a message is made of it, and a turn and a half until it is
    stored; so in each second come as many as are in flight by that time (Little). A turn is the driver's work, its wait
    for the store (a queue with commits of one length, the other drivers' at most) and its commit.
    """
    nodes = plan.nodes / plan.drivers
    up = plan.mtbf / (plan.mtbf + plan.away)
    turn = plan.commit
    for _ in range(10_000):
        rate = up * nodes * plan.each / (plan.latency + plan.linger / 2 + 2 * WAY + 2 * turn)  # of one driver
        carried = max(1.0, rate * turn)
        cycle = turn + max(plan.linger, plan.latency / plan.each) + 2 * WAY
        messages = min(carried, max(1.0, nodes * turn / cycle))
        storing = plan.commit + carried * plan.row
        load = plan.drivers * rate / carried * storing  # of the store: commits a second, times what one takes
        queue = (plan.drivers - 1) * storing
        if load < 1:
            queue = min(queue, storing * load / (2 * (1 - load)))
        turn += 0.02 * (messages * plan.message + carried * (plan.packed + plan.own) + storing + queue - turn)
    seconds = plan.samples / (rate * plan.drivers)
    return seconds, plan.nodes / plan.mtbf * seconds * plan.each


def main() -> int:
    defaults = {
        "samples": 10_000_000,
        "nodes": 100,
        "each": 32,
        "drivers": 10,
        "latency": 2000,
        "own": 150,
        "message": 2000,
        "packed": 100,
        "commit": 3000,
        "row": 150,
        "mtbf": 24,
        "away": 120,
        "seed": 1,
    }
    report = Report("scale", __doc__, **defaults)
    args = report.args
    rows = []
    for drivers in sorted({1, 4, args.drivers}):
        samples = args.samples if drivers == args.drivers else args.samples // 10
        plan = Plan(
            samples=samples,
            nodes=args.nodes,
            each=args.each,
            drivers=drivers,
            latency=args.latency / 1e3,
            spread=0.5,
            own=args.own / 1e6,
            message=args.message / 1e6,
            packed=args.packed / 1e6,
            commit=args.commit / 1e6,
            row=args.row / 1e6,
            mtbf=args.mtbf * 3600.0,
            away=float(args.away),
        )
        found = Run(plan, args.seed).go()
        seconds, twice = estimate(plan)
        rows.append(
            [
                drivers,
                f"{samples:,}",
                f"{found.seconds / 3600:.2f}",
                f"{seconds / 3600:.2f}",
                f"{samples / found.seconds:.0f}",
                f"{found.busy:.0%}",
                f"{found.locked:.0%}",
                f"{samples / found.commits:.1f}",
                found.deaths,
                found.twice,
                f"{twice:.0f}",
            ]
        )
        if drivers == args.drivers:
            report.bar("samples missing or twice", abs(found.calls - found.twice - args.samples), 0)
            report.bar("simulated time, times the estimate", found.seconds / seconds, 1.1)
            report.bar("the estimate, times the simulated time", seconds / found.seconds, 1.1)
            report.bar("share of calls paid twice", found.twice / args.samples, 0.05)
    head = [
        "drivers",
        "samples",
        "hours",
        "estimated",
        "samples a second",
        "drivers busy",
        "store busy",
        "samples a commit",
        "nodes died",
        "calls paid twice",
        "estimated ",
    ]
    report.add("plan", f"{args.nodes} nodes, {args.each} calls in flight on each", head, rows)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
