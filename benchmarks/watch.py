"""Watch: false alarms of healthy streams against the promise in weeks, delay at a rise, many streams in one process.

    python benchmarks/watch.py [--runs N] [--calls N] [--samples N] [--out X.json]

Each simulated watch has one stream, an account and a clock of its own: the hardest case, as nothing evens out.  The
arrays are held against the product's own code first, call by call.  The last table runs the product itself: samples in
a store, judged by a check, counted in 1,000 streams and kept.
"""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path

import numpy as np

from _report import Report
from _streams import (
    PER_WEEK,
    TRAFFIC,
    Floats,
    Watches,
    moved,
    of_an_account,
    same_as_the_product,
    steps_of,
    sweep,
)
from drift import limit
from reroll.check import Check
from reroll.checking import Checker
from reroll.drift_rule import baseline_limit
from reroll.program import Program
from reroll.project import Project
from reroll.sample import Completion, Sample
from reroll.store import NewSample, Store
from reroll.watch_file import First, Watched, WatchFile
from reroll.watch_rounds import Watcher
from reroll.watching import CONFIDENCE

P0, WEEKS, LEARN = 0.01, 1.0, 1000
STREAMS = 1000


def healthy(report: Report, runs: int, calls: int) -> None:
    """Streams at their baseline: alarms against what time has brought and what calls have spent."""
    rows = []
    each = runs // len(TRAFFIC)
    for known in (True, False):
        for seed, (name, gaps) in enumerate(TRAFFIC.items()):
            rng = np.random.default_rng(10 * seed + known)
            baseline = np.full(each, P0)
            if not known:
                fails = rng.binomial(LEARN, P0, each)
                limits = {f: baseline_limit(int(f), LEARN, CONFIDENCE) for f in np.unique(fails)}
                baseline = np.array([limits[f] for f in fails])
            watches, times = Watches(baseline, WEEKS), np.zeros(each)
            found = np.zeros(each)
            for i in range(calls + (0 if known else LEARN)):
                times = times + gaps(times, rng)
                learning = not known and i < LEARN
                watches.seen_by(times, spends=not learning)
                if not learning:
                    found += watches.watch((rng.random(each) < P0).astype(float))
            kind = "known" if known else f"estimated on {LEARN:,} calls"
            brought, spent, alarms = watches.brought.sum(), watches.spent.sum(), found.sum()
            error = found.std() * math.sqrt(each)
            apart = float(brought * WEEKS / alarms)
            rows.append(
                [
                    kind,
                    name,
                    f"{each:,}",
                    f"{brought:,.0f}",
                    f"{spent:,.0f}",
                    f"{alarms:,.0f} ± {error:,.0f}",
                    f"{alarms / spent:.2f}",
                    f"{apart:.2f}",
                ]
            )
            report.bar(f"weeks between false alarms, baseline {kind}, {name} / the stated", apart, WEEKS, most=False)
    head = ["baseline", "traffic", "streams", "time brought", "calls spent", "false alarms", "/ spent", "weeks apart"]
    report.add("healthy", f"Healthy at {P0:.0%}, promised: one false alarm in {WEEKS:g} week", head, rows)


def graded(report: Report, runs: int, calls: int) -> None:
    """Scores spread over 0...1, baseline known: the theorem's threshold."""
    rows = []
    for name, gaps in TRAFFIC.items():
        rng = np.random.default_rng(5)
        watches, times, found = Watches(np.full(runs, 0.1), WEEKS, loss=True), np.zeros(runs), np.zeros(runs)
        for _ in range(calls):
            times = times + gaps(times, rng)
            watches.seen_by(times)
            found += watches.watch(rng.beta(0.1, 0.9, runs))
        apart = float(watches.brought.sum() * WEEKS / max(1, found.sum()))
        rows.append([name, f"{watches.brought.sum():,.0f}", f"{watches.spent.sum():,.0f}", f"{found.sum():,.0f}"])
        report.bar(f"weeks between false alarms, scores, {name} / the stated", apart, WEEKS, most=False)
    head = ["traffic", "time brought", "calls spent", "false alarms"]
    report.add("graded", f"Losses of Beta(0.1, 0.9), mean 0.1, {runs:,} streams", head, rows)


MOVING = (  # baseline, how its run length moves, and that
    (0.01, "always 600", steps_of(600.0, each=1)),
    (0.01, "600 and 30,000, 200 calls each", steps_of(600.0, 30_000.0, each=200)),
    (0.01, "600 and 30,000, 20 calls each", steps_of(600.0, 30_000.0, each=20)),
    (0.01, "600 for one call in 20, else 1,000,000", lambda i: 1e6 if i % 20 else 600.0),
    (0.01, "500 and 260, 50 calls each", steps_of(500.0, 260.0, each=50)),
    (0.01, "from 600 to 30,000 every 20 calls", sweep(600, 50, 20)),
    (0.01, "from 600 to 600,000 every 6 calls", sweep(600, 1000, 6)),
    (0.01, "from 1,200 to 480,000 every 20 calls", sweep(1200, 400, 20)),
    (0.01, "from 30,000 to 6,000,000 every 20 calls", sweep(30_000, 200, 20)),
    (0.003, "from 2,000 to 800,000 every 20 calls", sweep(2000, 400, 20)),
    (0.03, "from 250 to 100,000 every 10 calls", sweep(250, 400, 10)),
    (0.05, "from 150 to 60,000 every 20 calls", sweep(150, 400, 20)),
    (0.05, "from 150 to 60,000 every 6 calls", sweep(150, 400, 6)),
    (0.1, "from 100 to 40,000 every 10 calls", sweep(100, 400, 10)),
    (0.003, "one of 250 streams, weekly batches, 10 false alarms a week", of_an_account(0.1, 250, 10_000)),
    (0.003, "one of 40 streams, weekly batches, one false alarm a week", of_an_account(1.0, 40, 10_000)),
)


def moving(report: Report, runs: int) -> None:
    """Healthy streams whose run length moves as no traffic makes it: the thresholds were simulated for fixed ones."""
    rng, rows, worst = np.random.default_rng(6), [], 0.0
    for baseline, name, lengths in MOVING:
        each = sum(1 / lengths(i) for i in range(1440)) / 1440
        alarms, spent = moved(baseline, lengths, int(min(12_000, 8 / each)), runs, rng)
        share, error = alarms.mean() / spent, alarms.std() / math.sqrt(runs) / spent
        rows.append(
            [f"{baseline:.1%}", name, f"{spent * runs:,.0f}", f"{alarms.sum():,.0f}", f"{share:.3f} ± {error:.3f}"]
        )
        worst = max(worst, share - 2 * error)
    report.bar("false alarms / spent where the run length moves, worst of 16, less two standard errors", worst, 1.0)
    head = ["baseline", "calls between false alarms", "spent", "false alarms", "/ spent"]
    report.add("moving", f"Healthy streams whose share of false alarms moves, {runs:,} each", head, rows)


def delays(baseline: Floats, rate: float, quiet: int, rng: np.random.Generator, cap: int = 20_000) -> Floats:
    """Calls to the alarm at this rate after so many healthy ones; streams that alarm before are left out."""
    watches = Watches(baseline, WEEKS, primed=int(PER_WEEK))
    times, out = np.zeros(len(baseline)), np.full(len(baseline), float(cap))
    waits = np.ones(len(baseline), bool)
    for i in range(quiet + cap):
        times = times + TRAFFIC["steady"](times, rng)
        watches.seen_by(times)
        hit = watches.watch((rng.random(len(times)) < (P0 if i < quiet else rate)).astype(float)) & waits
        if i < quiet:
            out[hit] = math.nan
        else:
            out[hit] = i + 1 - quiet
        waits &= ~hit
        if not waits.any():
            break
    return out[~np.isnan(out)]


def seen(report: Report, runs: int) -> None:
    rng = np.random.default_rng(3)
    best = limit(P0, 0.05, PER_WEEK * WEEKS)
    limits = {f: baseline_limit(f, LEARN, CONFIDENCE) for f in range(60)}
    drawn = np.array([limits[min(59, int(f))] for f in rng.binomial(LEARN, P0, runs)])
    rows = []
    for kind, baseline in (("known", np.full(4 * runs, P0)), (f"estimated on {LEARN:,} calls", drawn)):
        for quiet in (0, 3000):
            late = delays(baseline, 0.05, quiet, rng)
            mean, error = float(late.mean()), float(late.std() / math.sqrt(len(late)))
            ends = ", ".join(f"{x:.0f}" for x in np.quantile(late, [0.1, 0.5, 0.9]))
            rows.append([kind, f"{quiet:,}", f"{mean:.0f} ± {error:.1f}", f"{best:.0f}", f"{mean / best:.3f}", ends])
            if kind == "known":
                report.bar(f"delay from 1 % to 5 %, known, {quiet:,} calls before / the exact limit", mean / best, 1.25)
    head = ["baseline", "healthy calls before", "mean delay", "exact limit", "ratio", "10, 50, 90 % of delays"]
    report.add("delay", f"From 1 % to 5 % at once, one false alarm in {PER_WEEK * WEEKS:,.0f} calls' time", head, rows)


def at_once(report: Report, many: int) -> None:
    """The product: samples of 1,000 versions in a store, each two streams: failures, and calls that bring nothing."""
    rng = np.random.default_rng(4)
    told = WatchFile(
        watch="bench", streams=(Watched(name="all", checks=(Check.of("contains", "yes"),), baseline=First(first=50)),)
    )
    project = Project(Path("."), Program(program="bench", model="bundled"))
    texts = ["yes, " + "a usual answer. " * 20, "no, " + "a usual answer. " * 20]
    with tempfile.TemporaryDirectory() as place, Store.open(Path(place) / "s.sqlite") as store, Checker(".") as checker:
        new = [
            NewSample(
                Sample(Completion(texts[int(rng.random() < P0)]), model=f"m-{i % STREAMS}"),
                f"r1:{i % 5000}",
                f"imported {i}",
                0,
                "p1:0",
                f"call-{i % 5000}",
                source="imported",
                settled=1.7e9 + i * 60.0,
            )
            for i in range(many)
        ]
        for at in range(0, many, 2000):
            store.put_samples(new[at : at + 2000])
        watcher = Watcher(project, told, store, checker)
        began, wall = time.process_time(), time.perf_counter()
        slowest = 0.0
        more = True
        while more:
            look = time.perf_counter()
            more = watcher.look(1.9e9).more
            slowest = max(slowest, time.perf_counter() - look)
        cpu, wall = time.process_time() - began, time.perf_counter() - wall
        pass_fail = sum(held.named["what"] == "fail" for held in watcher.streams.values())
    rows = [[f"{pass_fail:,}", f"{many:,}", f"{many / cpu:,.0f}", f"{many / wall:,.0f}", f"{slowest:.2f} s"]]
    head = ["streams", "outcomes", "outcomes per CPU second", "per second", "slowest look of 1,000"]
    report.add("at_once", "One process, from the store to the store, each outcome in two streams", head, rows)
    report.bar(f"outcomes per CPU second in {STREAMS:,} streams", many / cpu, 1000, most=False)


def main() -> int:
    report = Report("watch", __doc__, runs=10_000, calls=20_000, samples=40_000)
    print(f"The arrays and the product raise the same {same_as_the_product()} alarms, at the same calls.\n")
    at_once(report, report.args.samples)
    seen(report, report.args.runs)
    moving(report, max(100, report.args.runs // 5))
    healthy(report, report.args.runs, report.args.calls)
    graded(report, max(200, report.args.runs // 10), report.args.calls // 2)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
