"""What an inquiry finds in planted worlds, at how many calls, beside what others do.

    python benchmarks/inquiry.py [--runs N] [--peers N] [--out X.json]

A world says with which probability a request fails whose factors are as reported or neutral. Every
method sees outcomes only. "Cured": what is named takes away three quarters of the excess failures.
The second half of the table is outside the family that the screen assumes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from _inquiry_peers import PEERS
from _report import Report
from reroll.inquiry import Found, Inquiry

ALPHA, BUDGET = 0.05, 450
N = 30


def logistic(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def logit(p: Any) -> Any:
    return np.log(p / (1 - p))


@dataclass
class World:
    """One planted world; `fails` gives the probability of a failure for the factors made neutral."""

    n: int
    low: float
    high: float
    triggers: tuple[int, ...]
    how: str = "and"  # and | or | add
    breaking: tuple[int, ...] = ()  # neutral: fails at .95, controls too
    case_breaking: tuple[int, ...] = ()  # the same, on the case only
    protective: tuple[int, ...] = ()  # +1 logit each when neutral
    filler: tuple[int, ...] = ()  # neutral: a third of the draws fail at `high`
    effects: np.ndarray | None = None  # logit shift of each factor when neutral
    drift: tuple[int, float] = (0, 0.0)  # from which call, logit shift
    flip: float = 0.0
    controls: bool = True

    def fails(self, neutral: frozenset[int], call: int = 0, *, control: bool = False) -> float:
        there = [i not in neutral for i in self.triggers]
        if control or not self.triggers:
            p = 0.05 if control else self.low
        elif self.how == "add":
            p = float(logistic(logit(self.low) + sum(there) * (logit(self.high) - logit(self.low)) / len(there)))
        else:
            p = self.high if (all(there) if self.how == "and" else any(there)) else self.low
        shift = 1.0 * len(neutral.intersection(self.protective))
        if self.effects is not None and not control:
            shift += float(self.effects[list(neutral)].sum())
        if not control and self.drift[0] and call >= self.drift[0]:
            shift += self.drift[1]
        p = float(logistic(logit(p) + shift))
        for _ in neutral.intersection(self.filler):
            p = 1 - (1 - p) * (1 - 0.6 / 3)
        if neutral.intersection(self.breaking) or (not control and neutral.intersection(self.case_breaking)):
            p = 0.95
        return p * (1 - self.flip) + (1 - p) * self.flip


def world(kind: str, rng: np.random.Generator, n: int = N) -> World:
    """The planted world of that name: parts joined by "+"."""
    order = [int(i) for i in rng.permutation(n)]
    base, *extras = kind.split("+")
    rates = {
        "single": (0.05, 0.60),
        "weak": (0.10, 0.30),
        "rare": (0.01, 0.15),
        "often": (0.45, 0.90),
        "and": (0.05, 0.60),
        "or": (0.05, 0.60),
        "additive": (0.05, 0.77),
        "and3": (0.05, 0.60),
        "or3": (0.05, 0.60),
        "always": (0.02, 0.98),
    }
    count = {"and": 2, "or": 2, "additive": 2, "and3": 3, "or3": 3}.get(base, 1)
    if base.startswith("null"):
        rate = int(base[4:]) / 100
        w = World(n, rate, rate, ())
    else:
        low, high = rates[base]
        how = "or" if base.startswith("or") else "add" if base == "additive" else "and"
        w = World(n, low, high, tuple(order[:count]), how)
    rest = order[3:]
    for extra in extras:
        if extra == "lb3":
            w.breaking = tuple(rest[:3])
        elif extra == "caselb":
            w.case_breaking = (rest[3],)
        elif extra == "prot4":
            w.protective = tuple(rest[4:8])
        elif extra == "filler":
            w.filler = tuple(rest[8 : 8 + max(1, n // 15)]) if n > 12 else (rest[-1],)
        elif extra == "dense":
            w.effects = rng.normal(0, 0.35, n)
        elif extra == "drift":
            w.drift = (int(rng.integers(30, 130)), float(rng.choice([-1.2, 1.2])))
        elif extra == "flip":
            w.flip = 0.10
        elif extra == "nomap":
            w.controls = False
        else:
            raise ValueError(extra)
    return w


def run_inquiry(w: World, rng: np.random.Generator, **options: Any) -> tuple[Found, float]:
    """One inquiry to its end and the CPU seconds of its own thinking."""
    started = time.process_time()
    inquiry = Inquiry(w.n, alpha=ALPHA, rng=rng, budget=BUDGET, controls=w.controls, **options)
    cpu = time.process_time() - started
    call = 0
    while True:
        started = time.process_time()
        asks = inquiry.next()
        cpu += time.process_time() - started
        if not asks:
            return inquiry.found(), cpu
        outcomes = []
        for ask in asks:
            failed = rng.random() < w.fails(ask.neutral, call, control=ask.on == "control")
            call += ask.on == "case"
            outcomes.append("fail" if failed else "pass")
        started = time.process_time()
        for ask, outcome in zip(asks, outcomes, strict=True):
            inquiry.add(ask, outcome)
        cpu += time.process_time() - started


def judged(w: World, named: tuple[int, ...]) -> tuple[bool, bool, bool]:
    """Exactly right, cured, falsely accused."""
    truth = frozenset(w.triggers)
    if not truth:
        return not named, not named, bool(named)
    if not named:
        return False, False, False
    end = 10**9 if w.drift[0] else 0
    now, after = w.fails(frozenset(), end), w.fails(frozenset(named), end)
    best = w.fails(truth, end)
    cured = now - after >= 0.75 * (now - best) and len(named) <= 3
    return frozenset(named) == truth, cured, not set(named) <= truth


def row(kind: str, runs: int, n: int = N) -> dict[str, Any]:
    """One line of the table: `runs` seeded inquiries in worlds of this kind."""
    exact = cured = accused = undecided = right = covered = shown = 0
    calls, maps, cpus = [], [], []
    verdicts: Counter[str] = Counter()
    for r in range(runs):
        rng = np.random.default_rng([r, n, *kind.encode()])
        w = world(kind, rng, n)
        found, cpu = run_inquiry(w, rng)
        named = tuple(i for i, _ in found.factors)
        e, c, a = judged(w, named)
        exact, cured, accused = exact + e, cured + c, accused + a
        undecided += found.verdict == "undecided"
        right += c and found.verdict != "undecided"
        verdicts[found.verdict] += 1
        calls.append(sum(found.calls.values()) - found.calls["map"])
        maps.append(found.calls["map"])
        cpus.append(cpu)
        if found.joint and not w.drift[0]:
            shown += 1
            drop = w.fails(frozenset()) - w.fails(frozenset(named))
            covered += found.joint.low - 1e-9 <= drop <= found.joint.high + 1e-9
    return {
        "world": kind, "factors": n, "exact": exact / runs, "cured": cured / runs, "accused": accused / runs,
        "undecided": undecided / runs, "right": right / runs,
        "calls": float(np.mean(calls)), "p90": float(np.percentile(calls, 90)),
        "map": float(np.mean(maps)), "cpu": float(np.mean(cpus)), "covered": covered, "shown": shown,
        "all": calls, "verdicts": dict(verdicts),
    }  # fmt: skip


def peer(method: Callable[..., tuple[tuple[int, ...], int]], kind: str, runs: int) -> tuple[float, float, float]:
    """Cured, falsely accused, calls."""
    cured = accused = calls = 0.0
    for r in range(runs):
        rng = np.random.default_rng([r, N, *kind.encode()])
        w = world(kind, rng)
        named, used = method(w, rng)
        _, c, a = judged(w, named)
        cured, accused, calls = cured + c / runs, accused + a / runs, calls + used / runs
    return cured, accused, calls


FAMILY = (
    "single single@60 single@12 single@5 and and@60 or or@60 additive weak rare often often+lb3 single+lb3 and+lb3 "
    "or+lb3 single+prot4 or+prot4 single+flip and+flip or+flip always null5 null8 null15 null30 null60 null98 "
    "null30+lb3 null15+flip"
).split()
OUTSIDE = (
    "and3 or3 single+filler or+filler null30+filler null15+filler single+drift and+drift or+drift null30+drift "
    "single+dense or+dense null30+dense null15+dense single+nomap+lb3 and+nomap+lb3 or+nomap+lb3 "
    "often+nomap+lb3 null30+nomap+lb3 single+caselb or+caselb null30+caselb"
).split()
COMPARED = "single weak and or additive single+lb3 or+lb3 single+flip null30 null30+lb3".split()


def shown(x: dict[str, Any]) -> list[str]:
    keys = ("exact", "cured", "accused", "undecided")
    return [
        x["world"],
        str(x["factors"]),
        *(f"{x[k]:.2f}" for k in keys),
        f"{x['calls']:.0f}",
        f"{x['p90']:.0f}",
        f"{x['map']:.0f}",
        f"{x['cpu']:.2f}",
    ]


def main() -> int:
    report = Report("inquiry", __doc__, runs=40, peers=60)
    runs = report.args.runs
    head = ["world", "factors", "exact", "cured", "accused", "undecided", "calls", "90 %", "map", "CPU s"]
    rows: dict[str, dict[str, Any]] = {}
    for name, title, kinds in (("family", "Inside the family", FAMILY), ("outside", "Outside the family", OUTSIDE)):
        for kind in kinds:
            plain, _, n = kind.partition("@")
            rows[kind] = row(plain, runs, int(n or N))
        report.add(name, f"{title}: {runs} seeded inquiries a row", head, [shown(rows[kind]) for kind in kinds])
    table, found = [], {}
    for kind in COMPARED:
        mine = rows[kind]
        cells = [f"{mine['cured']:.2f} / {mine['accused']:.2f} / {mine['calls'] + mine['map']:.0f}"]
        for name, method in PEERS.items():
            cured, accused, calls = found[kind, name] = peer(method, kind, report.args.peers)
            cells.append(f"{cured:.2f} / {accused:.2f} / {calls:.0f}")
        table.append([kind, *cells])
    report.add(
        "peers",
        "Beside others: cured / falsely accused / calls (control calls included)",
        ["world", "inquiry", *PEERS],
        table,
    )
    bars(report, rows, found)
    return report.finish()


def bars(
    report: Report, rows: dict[str, dict[str, Any]], theirs: dict[tuple[str, str], tuple[float, float, float]]
) -> None:
    def share(key: str, kinds: list[str]) -> float:
        return float(np.mean([rows[k][key] for k in kinds]))

    every = np.concatenate([rows[k]["all"] for k in FAMILY])
    nulls = [k for k in FAMILY if k.startswith("null")]
    covered, named = (sum(rows[k][key] for k in rows) for key in ("covered", "shown"))
    for kind in COMPARED:
        worst = kind.startswith("null")
        if worst:
            name = min(PEERS, key=lambda m: theirs[kind, m][1])
            what, mine, peer = "falsely accused", rows[kind]["accused"], theirs[kind, name][1]
        else:
            name = max(PEERS, key=lambda m: theirs[kind, m][0])
            what, mine, peer = "cured", rows[kind]["cured"], theirs[kind, name][0]
        report.number(f"{kind} among 30: {what}, beside the best of the others", mine, peer=(name, peer))
    report.bar("a strong single factor among 30: found", rows["single"]["exact"], 0.95, most=False)
    report.bar("its mean calls", rows["single"]["calls"], 150)
    report.bar("the same cue twice: found", rows["or"]["exact"], 0.90, most=False)
    report.bar(
        "with three load-bearing factors: cured", share("cured", ["single+lb3", "and+lb3", "or+lb3"]), 0.9, most=False
    )
    report.bar("nothing to blame: a factor named", share("accused", nulls), 0.05)
    report.bar("60 factors, times the calls of 30", rows["single@60"]["calls"] / rows["single"]["calls"], 1.5)
    report.bar("10 % of verdicts flipped: single found", rows["single+flip"]["exact"], 0.95, most=False)
    report.bar("mean calls over the family", float(every.mean()), 250)
    report.bar("90th percentile of calls over the family", float(np.percentile(every, 90)), 450)
    report.bar("interval of the joint drop covers", covered / max(1, named), 0.93, most=False)
    report.bar("CPU seconds of an inquiry", share("cpu", list(rows)), 0.5)
    report.bar("outside the family: cured, or said to be nothing", share("right", OUTSIDE), 0.7, most=False)
    report.bar("inside the family: cured, or said to be nothing", share("right", FAMILY), 0.85, most=False)
    report.bar("outside the family: falsely accused", share("accused", OUTSIDE), 0.10)


if __name__ == "__main__":
    raise SystemExit(main())
