"""reroll beside promptfoo, Inspect, pydantic-evals and a bare openai loop: cost of a call, faults, kill -9.

    python benchmarks/peers.py --install          install the peers first (several minutes, 2 GB), then as below
    python benchmarks/peers.py                    about six minutes; without any peer installed it says so and ends
    python benchmarks/peers.py --percent 10       a tenth of the calls
    python benchmarks/peers.py --only 2           one table: 1 cost, 2 faults, 3 kill -9

All do the same job one after the other: one prompt N times, `contains "yes"`, from `reroll fake-server` in another
process. Each is a command measured from outside: CPU of all its processes, less what 20 calls take (the start-up),
except in the columns "in all". For reroll the command is `certify`, which asks for its runs in batches so that it can
stop early, stores every one and decides after each. How each is set: benchmarks/_peers/jobs.py.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # as a script

from _peers import installing
from _peers.jobs import JOBS, Asked, Job, environment, versions, why_not
from _peers.measuring import Spent, kill_when, spend
from _report import Report
from kills import fake_server, stats
from runner import MIX, row

LATENCY, FEW = 500, 20
# Calls and calls in flight: as many as each can be given in about a minute.
COST = [
    ("reroll", 10_000, 1000),
    ("reroll", 2_000, 200),
    ("openai", 2_000, 200),
    ("pydantic-evals", 2_000, 200),
    ("promptfoo", 1_000, 200),
    ("inspect-ai", 500, 200),
]
LIMIT = 300.0
# Of the first twelve seeds, the one whose first 300 calls meet the faults most nearly as often as their shares say.
SEED = ["--seed", "8"]


@contextmanager
def asked(n: int, width: int, *server: str, seconds: float = 60.0, also: bool = False) -> Iterator[Asked]:
    """A fresh folder and a fresh server for one run."""
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        fake_server("--answer", "yes", *server) as url,
    ):
        yield Asked(Path(folder), url, n, width, seconds, also)


def run(job: Job, asked: Asked) -> Spent:
    return spend(job.ask(asked), asked.folder, environment(asked), LIMIT)


# -- cost --------------------------------------------------------------------------------------------------------------


def cost(peer: str, n: int, width: int) -> dict[str, Any]:
    """What a call adds, after what so few calls take."""
    job, spent, seen = JOBS[peer], [], {}
    for calls in (FEW, n):
        with asked(calls, width, "--latency", str(LATENCY)) as told:
            spent.append(run(job, told))
            seen = stats(told.url)
            passed = job.kept(told).passed
        if passed != calls:
            return {"failed": f"{passed} of {calls} passed: {spent[-1].said[-120:]}"}
    few, many = spent
    rounds = -(-n // width) - -(-FEW // width)
    return {
        "ms": 1000 * (many.cpu - few.cpu) / (n - FEW),
        "startup": few.cpu,
        "cpu": many.cpu,
        "wall": many.wall,
        "ideal": (many.wall - few.wall) / (rounds * LATENCY / 1000) if rounds else float("nan"),
        "mb": many.mb,
        "flight": seen["most_in_flight"],
    }


def costs(report: Report) -> None:
    rows, found = [], {}
    part = report.args.percent / 100

    def cells(what: str, n: int, width: int, got: dict[str, Any]) -> None:
        found[what, width] = got
        if "failed" in got:
            rows.append([what, n, width, f"not run: {got['failed']}", *["–"] * 6])
            return
        shown = [f"{got['ms']:.3f}", f"{got['startup']:.2f}" if "startup" in got else "–", f"{got['cpu']:.1f}"]
        rows.append(
            [what, n, width, *shown, f"{got['wall']:.1f}", f"{got['ideal']:.2f}", f"{got['mb']:.0f}", got["flight"]]
        )

    for kind in ("bare aiohttp", "reroll"):
        n = max(1000, round(10_000 * part))
        got = row(kind, n, LATENCY, 1000)
        cells(
            f"{kind}, from inside" if kind == "reroll" else kind,
            n,
            1000,
            got | {"flight": got["server"]["most_in_flight"]},
        )
    for peer, calls, width in COST:
        n = max(width + FEW, round(calls * part))
        why = why_not(peer)
        cells(JOBS[peer].name, n, width, {"failed": why} if why else cost(peer, n, width))
    head = ["what", "calls", "asked in flight", "CPU ms a call", "start-up CPU s", "CPU s in all", "wall s in all"]
    report.add("cost", f"Cost of a call at {LATENCY} ms", [*head, "wall over ideal", "peak MB", "most in flight"], rows)
    for (what, width), got in found.items():
        if "failed" not in got:
            report.number(f"CPU ms a call of {what}, {width} in flight", got["ms"], unit="ms")
    inside, ours = found["reroll, from inside", 1000], found[JOBS["reroll"].name, 200]
    if "failed" not in inside:
        report.bar("CPU ms a call, from inside, 1,000 in flight", inside["ms"], 0.4)  # as in runner.py
        openai = found[JOBS["openai"].name, 200]
        if "failed" not in openai:
            question = "CPU a call of the bare openai loop, times reroll's from inside"
            report.bar(question, openai["ms"] / inside["ms"], 5, most=False)
    for peer in ("openai", "pydantic-evals", "promptfoo", "inspect-ai"):
        theirs = found[JOBS[peer].name, 200]
        if "failed" not in theirs and "failed" not in ours:
            question = f"CPU a call of {JOBS[peer].name}, times reroll certify's, 200 in flight"
            report.bar(question, theirs["ms"] / ours["ms"], 5, most=False)


# -- faults ------------------------------------------------------------------------------------------------------------


def faults(report: Report) -> None:
    n, rows = max(30, 3 * report.args.percent), []
    mix = [word for name, chance in MIX.items() for word in ("--fault", f"{name}={chance}")]
    for peer, job in JOBS.items():
        why = why_not(peer)
        if why:
            rows.append([job.name, n, f"not run: {why}", *["–"] * 8])
            continue
        for also in (False, True) if job.also else (False,):
            with asked(n, 50, "--latency", "50", *mix, *SEED, seconds=5, also=also) as told:
                spent = run(job, told)
                calls, kept = stats(told.url)["calls"], job.kept(told)
            lost = n - kept.answers - kept.errors
            code = "stopped by us" if spent.code is None else spent.code
            name = f"{job.name}, {job.also}" if also else job.name
            counts = [kept.answers, kept.passed, kept.errors, lost, calls, kept.attempts]
            rows.append([name, n, *counts, code, f"{spent.wall:.0f}", kept.says or "–"])
            if code not in (0, 3, 100):  # 3: reroll is undecided, as it should be; 100: promptfoo has errors
                print(f"{name} ended with {code}: {spent.said[-300:]}\n", file=sys.stderr)
            if peer == "reroll":
                report.bar("reroll: rows lost under the mix of faults", abs(lost), 0)
                report.bar("reroll: attempts not recorded", abs(calls - kept.attempts), 0)
    head = [
        "what",
        "rows wanted",
        "with an answer",
        "of these passed",
        "recorded as errors",
        "lost",
        "calls the server got",
    ]
    title = "Under faults: " + ", ".join(f"{chance:.0%} {name}" for name, chance in MIX.items()) + ", 5 s a try"
    report.add("faults", title, [*head, "attempts on record", "exit code", "wall s", "what it says itself"], rows)


# -- kill -9 -----------------------------------------------------------------------------------------------------------


def killed(report: Report) -> None:
    n, width, rows = max(200, 4 * report.args.percent), 50, []
    for peer, job in JOBS.items():
        why = why_not(peer)
        if why:
            rows.append([job.name, n, f"not run: {why}", *["–"] * 5])
            continue
        with asked(n, width, "--latency", "200") as told:

            def half(url: str = told.url) -> bool:
                return bool(stats(url)["calls"] >= n / 2 + width / 2)

            kill_when(job.ask(told), told.folder, environment(told), half)
            while stats(told.url)["in_flight"]:  # it notices that they are gone
                time.sleep(0.01)
            seen = stats(told.url)
            answered, kept = seen["calls"] - seen["abandoned"], job.kept(told)
            if job.resume is None:
                rows.append([job.name, n, answered, kept.answers, "no: from the start", "–", "–", "–"])
                continue
            spent = spend(job.resume(told), told.folder, environment(told), LIMIT)
            whole, calls = job.kept(told), stats(told.url)["calls"]
            end = whole.answers if spent.code is not None else f"{whole.answers} (stopped by us)"
            rows.append([job.name, n, answered, kept.answers, "yes", end, calls - n, whole.says or "–"])
            if peer == "reroll":
                report.bar("reroll: answers missing after kill -9 and going on", n - whole.answers, 0)
                report.bar("reroll: calls paid twice, in shares of those in flight", (calls - n) / width, 1)
    head = ["what", "rows wanted", "answered when killed", "of these on disk", "goes on", "answers in the end"]
    report.add("kill", "kill -9 half-way", [*head, "calls paid twice", "what it says itself"], rows)


def main() -> int:
    if "--install" in sys.argv:
        sys.argv.remove("--install")
        installing.install()
    if all(why_not(peer) for peer in JOBS if peer != "reroll"):
        print("not run: no peer is installed; python benchmarks/peers.py --install installs them (2 GB)")
        return 0
    report = Report("peers", __doc__, percent=100, only=0)
    rows = [[JOBS[peer].name, why or versions(peer)] for peer in JOBS for why in [why_not(peer)]]
    report.add("versions", "Versions", ["what", "version"], rows)
    report.report["load average at the start"] = round(os.getloadavg()[0], 1)
    for number, part in enumerate((costs, faults, killed), 1):
        if report.args.only in (0, number):
            part(report)
    report.report["load average at the end"] = round(os.getloadavg()[0], 1)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
