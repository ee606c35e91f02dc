"""What the gate makes of a server that lets only so many calls in at once: throughput, 429s, and fair shares.

    python benchmarks/gate.py                 4,000 calls a row (a minute)
    python benchmarks/gate.py --calls 1000    fewer

The server is `reroll fake-server --most 16` in a process of its own: a call above sixteen in flight is sent away with a
429 and asked to wait a second. The ideal is a run that asks for sixteen in flight and no more, before each row on the
same server; `of 16 / latency` is what a machine without any cost of its own would make 1. `starved` counts draws that
were sent away eight times and gave up.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # as a script

from _report import Report
from kills import fake_server, stats
from reroll.engine import gate_of, run_draws
from reroll.models.model import Draw
from reroll.models.registry import open_model
from reroll.opening import run
from reroll.program import Request
from reroll.sample import Sample

MOST = 16


def draws(n: int) -> list[Draw]:
    request = Request("openai:m", None, {"messages": [{"role": "user", "content": "Say yes"}]})
    return [Draw(request, "case", i) for i in range(n)]


async def alone(url: str, calls: int, width: int) -> dict[str, Any]:
    """One run, and how wide its gate was when each draw settled."""
    model = open_model("openai:m", base_url=url)
    gate, samples, limits = gate_of(model), [], []

    def keep(draw: Draw, sample: Sample) -> None:
        samples.append(sample)
        limits.append(gate.limit)

    started = time.perf_counter()
    await run_draws(model, draws(calls), width, keep)
    wall = time.perf_counter() - started
    await model.close()
    late = limits[calls // 2 :]
    return {
        "wall": wall,
        "good": sum(s.completion is not None for s in samples),
        "starved": sum(s.error is not None for s in samples),
        "tries": max(len(s.attempts) for s in samples),
        "low": min(late),
        "high": max(late),
    }


async def beside(url: str, calls: int, few: int) -> tuple[list[float], int]:
    """Seconds that runs of a few draws take, one after the other, beside one that asks for many; draws lost."""
    model, lost, seconds = open_model("openai:m", base_url=url), 0, []

    def keep(draw: Draw, sample: Sample) -> None:
        nonlocal lost
        lost += sample.error is not None

    many = asyncio.create_task(run_draws(model, draws(calls), 200, keep))
    while gate_of(model).limit > 2 * MOST:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    while not many.done() and len(seconds) < 7:
        started = time.perf_counter()
        await run_draws(model, draws(few), few, keep)
        seconds.append(time.perf_counter() - started)
    many.cancel()
    await asyncio.gather(many, return_exceptions=True)
    await model.close()
    return seconds, lost


def server(latency: int, spread: int = 0) -> Sequence[str]:
    return ("--answer", "yes", "--most", str(MOST), "--latency", str(latency), "--spread", str(spread))


def main() -> int:
    report = Report("gate", __doc__, calls=4000)
    calls, rows = report.args.calls, []
    for width, latency, spread in [(200, 50, 0), (200, 50, 25), (1000, 100, 50), (32, 50, 25)]:
        with fake_server(*server(latency, spread)) as url:
            told = run(alone(url, calls // 2, MOST))
            before = stats(url)
            found = run(alone(url, calls, width))
            after = stats(url)
        rate = found["good"] / found["wall"]
        ratio = rate / (told["good"] / told["wall"])
        away = after["done"].get("429", 0) - before["done"].get("429", 0)
        share = away / (after["calls"] - before["calls"])
        bare = rate * latency / 1000 / MOST
        gate = f"{found['low']:.1f} to {found['high']:.1f}"
        cells = [f"{ratio:.3f}", f"{bare:.3f}", f"{share:.1%}", found["starved"], found["tries"], gate]
        rows.append([width, f"{latency} ± {spread}", *cells])
        where = f"{width} wanted, {latency} ± {spread} ms"
        report.bar(f"throughput to ideal, {where}", ratio, 0.85, most=False)
        report.bar(f"draws that gave up, {where}", found["starved"], 0)
    head = [
        "in flight wanted",
        "latency ms",
        "to ideal",
        "of 16 / latency",
        "sent away",
        "starved",
        "most tries",
        "gate, second half",
    ]
    report.add("alone", f"A server that lets {MOST} in", head, rows)
    with fake_server(*server(50)) as url:
        seconds, lost = run(beside(url, calls, 16))
    fair = 0.05 * (16 / (MOST / 2) + 1)  # places for all, every other one of those that fall free; then the last call
    took = statistics.median(seconds)
    report.add(
        "beside",
        f"Runs of 16 draws beside one of {calls:,}",
        ["small runs", "median s", "with half of the places", "draws lost"],
        [[len(seconds), f"{took:.2f}", f"{fair:.2f}", lost]],
    )
    report.bar("a small run beside a large one: time over that of a fair half", took / fair, 2.0)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
