"""What a call costs from end to end: CPU, wall and memory of the whole product, beside bare loops in the same run.

    python benchmarks/runner.py                     10,000 calls of each (about a minute)
    python benchmarks/runner.py --memory 200000     and memory at a tenth of these calls and at all (several minutes)
    python benchmarks/runner.py --calls 0 --memory 200000     that alone

Every row is a process of its own, against `reroll fake-server` in another one. `reroll` is what a command does
once it knows how many runs it wants: reserve, draw, store, read back, judge, store outcomes; starting Python and
loading the project is left out of all rows alike (`CPU ms` is what the calls add). `command` is a certificate that
never stops: it asks for its runs in batches, so that it could stop early, which costs wall time.
The bare loops keep the answer's text and nothing else.

Memory is that of a whole command, `certify` asked about one case whose rate is the target's, so that it goes on to the
end of its budget: it asks the plan, draws, judges and looks again in batches, and at the end decides, stores the
decision and makes the answer as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # as a script

from _report import Report
from kills import fake_server, project, stats

MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Say yes"}]
MIX = {"429": 0.05, "500": 0.02, "reset": 0.01, "hang": 0.01, "malformed": 0.02}
FAILING = 0.1  # of the answers, and what the target allows, where the whole command is measured
FAILS = ("--wrong", "no", "--fail", str(FAILING))
MB = 1024 if sys.platform == "linux" else 1024 * 1024  # ru_maxrss in KB or bytes


async def whole(url: str, folder: Path, calls: int, width: int, chunk: int) -> int:
    """The product: a session's draws, stored, read back and judged; `chunk` draws to a batch."""
    from reroll.checking import Checker
    from reroll.models.registry import open_model
    from reroll.project import load_project
    from reroll.runner import draw_more
    from reroll.session import Options, Session, judged, slots
    from reroll.store import Store

    found = load_project(project(folder, url))
    model = open_model(found.program.model, base_url=url, timeout=2.0)
    with Store.open(folder / "store.sqlite") as store, Checker(folder) as checker:
        session = Session(found, store, model, checker, Options(budget=calls, concurrency=width))
        store.put_program(found.program)
        store.put_case(found.cases[0])
        at = slots(session, found.cases[0])
        runs = judged(session, at)  # none yet: only what is drawn after its checks were known counts
        while len(runs) < calls:
            await draw_more(session, [at], min(chunk, calls - len(runs)))
            runs = judged(session, at, runs)
        await model.close()
    return len(runs)


async def command(url: str, folder: Path, calls: int, width: int, chunk: int) -> int:
    """The product as `reroll certify` uses it, from the first batch to the answer."""
    from reroll.answer import to_json
    from reroll.case import Report
    from reroll.checking import Checker
    from reroll.investigation import Asked, investigate
    from reroll.models.registry import open_model
    from reroll.output import print_json
    from reroll.project import load_project
    from reroll.session import Options, Session
    from reroll.store import Store

    found = load_project(project(folder, url))
    model = open_model(found.program.model, base_url=url, timeout=2.0)
    with Store.open(folder / "store.sqlite") as store, Checker(folder) as checker:
        options = Options(alpha=1e-9, budget=calls, concurrency=width)  # so small that it never stops early
        session = Session(found, store, model, checker, options)
        case = found.cases[0]
        answer = await investigate(session, Asked(Report(case_id=case.id), case, "certify", target=1 - FAILING))
        with (folder / "answer.json").open("w") as out, contextlib.redirect_stdout(out):
            print_json(to_json(answer, "reroll.answer/1"))
        await model.close()
    assert len(answer.outcomes) == calls, answer.stopped
    return calls


async def bare_aiohttp(url: str, folder: Path, calls: int, width: int, chunk: int) -> int:
    import aiohttp

    todo, done = iter(range(calls)), 0

    async def worker(session: aiohttp.ClientSession) -> None:
        nonlocal done
        for _ in todo:
            async with session.post(f"{url}/chat/completions", json={"model": "m", "messages": MESSAGES}) as got:
                done += bool((await got.json())["choices"][0]["message"]["content"])

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(worker(session) for _ in range(width)))
    return done


KINDS: dict[str, Callable[..., Awaitable[int]]] = {
    "reroll": whole,
    "command": command,
    "bare aiohttp": bare_aiohttp,
}


def inside(told: dict[str, Any]) -> dict[str, Any]:
    """One row's work, in the process that was made for it: what the calls add after a first few."""
    from reroll.opening import run

    kind, folder = KINDS[told["kind"]], Path(told["folder"])

    async def work() -> dict[str, Any]:
        await kind(told["url"], folder / "warm", 20, 4, 20)
        cpu, wall = time.process_time(), time.perf_counter()
        n = await kind(told["url"], folder / "real", told["calls"], told["width"], told["chunk"])
        return {"n": n, "cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}

    found: dict[str, Any] = run(work())
    return {**found, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MB}


def row(kind: str, calls: int, ms: int, width: int, *server: str, chunk: int | None = None) -> dict[str, Any]:
    """CPU, wall and memory of one kind of loop; what the server saw; and for the product what SQLite counts."""
    with tempfile.TemporaryDirectory() as folder, fake_server("--answer", "yes", "--latency", str(ms), *server) as url:
        told = {"kind": kind, "url": url, "folder": folder, "calls": calls, "width": width, "chunk": chunk or calls}
        command = [sys.executable, __file__, "--inside", json.dumps(told)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return {"failed": (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]}
        found: dict[str, Any] = json.loads(done.stdout)
        found["server"] = stats(url)
        found["attempts"] = 0
        for part in ("warm", "real"):
            with contextlib.suppress(sqlite3.Error):
                file = f"file:{folder}/{part}/store.sqlite?mode=ro"
                with contextlib.closing(sqlite3.connect(file, uri=True)) as store:
                    count = "SELECT count(*), count(DISTINCT idx), max(idx) FROM samples"
                    found["rows"] = store.execute(count).fetchone()
                    found["attempts"] += store.execute("SELECT count(*) FROM attempts").fetchone()[0]
    return {**found, "ms": 1000 * found["cpu"] / calls, "ideal": found["wall"] / (calls / width * ms / 1000)}


def main() -> int:
    if sys.argv[1:2] == ["--inside"]:
        print(json.dumps(inside(json.loads(sys.argv[2]))))
        return 0
    report = Report("runner", __doc__, calls=10_000, memory=0)
    if report.args.calls:
        loops(report, report.args.calls)
    if report.args.memory:
        memory(report, report.args.memory)
    return report.finish()


def loops(report: Report, calls: int) -> None:
    rows = []
    for kind, n, ms, width in [
        ("reroll", calls, 500, 1000),
        ("reroll", calls, 50, 200),
        ("command", calls, 500, 1000),
        ("command", calls, 50, 200),
        ("bare aiohttp", calls, 500, 1000),
    ]:
        found = row(kind, n, ms, width, *(FAILS if kind == "command" else ()))
        if "failed" in found:
            rows.append([kind, n, ms, width, f"not run: {found['failed'][:80]}", "–", "–"])
            continue
        rows.append([kind, n, ms, width, f"{found['ms']:.3f}", f"{found['ideal']:.2f}", f"{found['mb']:.0f}"])
        if kind == "bare aiohttp":
            report.number("CPU ms a call, bare aiohttp, at 500 ms and 1000 in flight", found["ms"], unit="ms")
        where = f"at {ms} ms and {width} in flight"
        if kind == "command":
            report.number(f"wall over ideal of a certificate that does not stop, {where}", found["ideal"])
        if kind == "reroll":
            if ms == 500:
                report.bar(f"CPU ms a call, {where}", found["ms"], 0.4, unit="ms")
                report.bar(f"memory in MB, {where}", found["mb"], 150)
            report.bar(f"wall over ideal, {where}", found["ideal"], 1.3 if ms == 500 else 1.5)
    head = ["what", "calls", "latency ms", "in flight", "CPU ms a call", "wall over ideal", "peak MB"]
    report.add("cost", "Cost of a call", head, rows)
    faults = [word for name, chance in MIX.items() for word in ("--fault", f"{name}={chance}")]
    found = row("reroll", max(200, calls // 5), 20, 200, *faults)
    total, slots, last = found["rows"]
    report.add(
        "faults",
        "Under the mix of faults (calls and attempts with those of 20 runs to warm up)",
        ["runs wanted", "stored", "different slots", "calls asked of the server", "attempts stored"],
        [[max(200, calls // 5), total, slots, found["server"]["calls"], found["attempts"]]],
    )
    report.bar("slots lost", last + 1 - slots, 0)
    report.bar("slots twice", total - slots, 0)
    report.bar("attempts not recorded", found["server"]["calls"] - found["attempts"], 0)


def memory(report: Report, calls: int) -> None:
    """Peak memory of a command of so many calls, and of a tenth of them."""
    rows = [row("command", n, 1, 200, *FAILS) for n in (calls // 10, calls)]
    for found in rows:
        if "failed" in found:
            raise SystemExit(found["failed"])
    cells = [[r["n"], f"{r['ms']:.3f}", f"{r['mb']:.0f}"] for r in rows]
    report.add("memory", "Memory of a whole command", ["calls", "CPU ms a call", "peak MB"], cells)
    report.bar(f"memory in MB, a command of {calls:,} calls", rows[1]["mb"], 150)
    slope = (rows[1]["mb"] - rows[0]["mb"]) / (rows[1]["n"] - rows[0]["n"]) * 1e6
    report.bar("MB more for a million more calls", slope, 50)


if __name__ == "__main__":
    raise SystemExit(main())
