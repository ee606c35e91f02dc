"""How fast draws run: the bundled model's completions a second, and what our wire costs on top of a bare loop.

    python benchmarks/throughput.py               Markdown, then one JSON block (about 40 seconds)
    python benchmarks/throughput.py --out X.json  also writes the JSON to a file

The fake server runs in a process of its own, so that its work is not counted; bare loop and wire take
turns in one process, so that both meet the same load. CPU per call is the fair number on a machine with
other work; completions a second need an idle one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from _report import Report
from reroll.engine import run_draws
from reroll.models.model import Draw
from reroll.models.openai import OpenAIModel
from reroll.models.registry import open_model
from reroll.program import Request
from reroll.sample import Sample

# The request of the bundled example project, case next-friday.
MESSAGES = [
    {
        "role": "system",
        "content": "You turn a request into one meeting.\nToday is Wednesday 2026-11-18.\n"
        "Answer with one JSON object and nothing else.\nFields:\n- date (string)\n- time (string)\n"
        "- duration_min (integer)\n- attendees (array of string)",
    },
    {"role": "user", "content": "Lunch with Ana next Friday at noon"},
]
BAR = 150  # completions a second on 2 idle cores


def fake_answer(tokens: int) -> bytes:
    """A whole HTTP response: a short answer with so many logprobs, five alternatives each."""
    top = [{"token": f"t{i}", "bytes": [116, 48 + i], "logprob": -1.5 - i} for i in range(5)]
    content = [{"token": "word", "bytes": [119, 111, 114, 100], "logprob": -0.25, "top_logprobs": top}] * tokens
    body = json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1790000000,
            "model": "fake",
            "system_fingerprint": "fp",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": "The answer is 42. " * 25, "refusal": None},
                    "logprobs": {"content": content} if tokens else None,
                }
            ],
            "usage": {"prompt_tokens": 57, "completion_tokens": 100, "total_tokens": 157},
        }
    ).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Constant(asyncio.Protocol):
    """Answers every POST at once with the same bytes."""

    answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.held = transport, b""

    def data_received(self, data: bytes) -> None:
        self.held += data
        while (end := self.held.find(b"\r\n\r\n")) >= 0:
            head = self.held[:end].lower()
            start = head.index(b"content-length:") + 15
            total = end + 4 + int(head[start:].split(b"\r\n", 1)[0])
            if len(self.held) < total:
                return
            self.held = self.held[total:]
            self.transport.write(self.answer)  # type: ignore[attr-defined]


async def serve_fake(tokens: int) -> None:
    """Serve on a free port, printed first, until standard input ends."""
    Constant.answer = fake_answer(tokens)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Constant, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


@contextlib.asynccontextmanager
async def fake_server(tokens: int) -> AsyncIterator[str]:
    """The address of a fake server in a process of its own."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, __file__, "--serve", str(tokens))
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}/v1"
    finally:
        process.stdin.close()
        await process.wait()


def draws(n: int, **params: Any) -> list[Draw]:
    request = Request("any", None, {"messages": MESSAGES, "max_tokens": 96, **params})
    return [Draw(request, "case", i, 1000 + i) for i in range(n)]


async def bundled(seconds: float, concurrency: int, **params: Any) -> dict[str, Any]:
    """Completions a second of the bundled model through the engine."""
    model = open_model("bundled")
    try:
        await model.check()
        await run_draws(model, draws(50, **params), concurrency, lambda d, s: None)
        got: list[Sample] = []
        load, wall, cpu = os.getloadavg()[0], time.perf_counter(), time.process_time()
        until = time.monotonic() + seconds
        await run_draws(model, draws(100_000, **params), concurrency, lambda d, s: got.append(s), deadline=until)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    finally:
        await model.close()
    tokens = [s.usage.completion_tokens or 0 for s in got]
    return {
        "model": model.identity,
        "concurrency": concurrency,
        "logprobs": params.get("top_logprobs", 0),
        "completions": len(got),
        "errors": sum(s.error is not None for s in got),
        "per_second": round(len(got) / wall, 1),
        "tokens_per_completion": round(statistics.fmean(tokens), 1),
        "cpu_ms_per_completion": round(1000 * cpu / len(got), 3),
        "load_average_before": round(load, 2),
    }


async def bare_loop(url: str, n: int, concurrency: int) -> None:
    """What anyone would write first: no retries, no records, only the text."""
    todo = iter(range(n))
    done = 0

    async def worker(session: aiohttp.ClientSession) -> None:
        nonlocal done
        for i in todo:
            body = {"messages": MESSAGES, "max_tokens": 96, "model": "fake", "seed": 1000 + i}
            async with session.post(f"{url}/chat/completions", json=body) as response:
                done += bool(json.loads(await response.read())["choices"][0]["message"]["content"])

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(worker(session) for _ in range(concurrency)))
    assert done == n


async def our_wire(url: str, n: int, concurrency: int) -> None:
    """The same through model and engine: samples with attempts, tokens, usage and the raw body."""
    model = OpenAIModel("fake", url, environment={})
    done = 0

    def on_sample(draw: Draw, sample: Sample) -> None:
        nonlocal done
        done += sample.completion is not None

    await run_draws(model, draws(n), concurrency, on_sample)
    await model.close()
    assert done == n


async def cpu_of(work: Awaitable[None]) -> float:
    """CPU seconds of this process that the work takes."""
    before = time.process_time()
    await work
    return time.process_time() - before


async def wire_cost(calls: int, tokens: int, concurrency: int, rounds: int) -> dict[str, Any]:
    """Microseconds of CPU per call, bare and ours, taking turns; the ratio is the median over rounds."""
    async with fake_server(tokens) as url:
        kinds: tuple[Callable[[str, int, int], Awaitable[None]], ...] = (bare_loop, our_wire)
        for kind in kinds:
            await kind(url, calls // 5, concurrency)
        pairs = [[await cpu_of(kind(url, calls, concurrency)) for kind in kinds] for _ in range(rounds)]
    bare, ours = ([1e6 * pair[k] / calls for pair in pairs] for k in (0, 1))
    return {
        "calls": calls,
        "rounds": rounds,
        "concurrency": concurrency,
        "logprobs": tokens,
        "body_bytes": len(fake_answer(tokens)),
        "bare_us": round(statistics.median(bare), 1),
        "ours_us": round(statistics.median(ours), 1),
        "ratio": round(statistics.median(o / b for b, o in zip(bare, ours, strict=True)), 2),
        "ratio_range": [round(f(o / b for b, o in zip(bare, ours, strict=True)), 2) for f in (min, max)],
    }


def tables(kept: Report, result: dict[str, Any]) -> None:
    kept.add(
        "bundled",
        f"The bundled model through the engine (bar: {BAR}/s on 2 idle cores)",
        ["in flight", "logprobs", "completions/s", "tokens each", "CPU ms each", "errors", "load before"],
        [
            [
                *(r[k] for k in ("concurrency", "logprobs", "per_second", "tokens_per_completion")),
                r["cpu_ms_per_completion"],
                f"{r['errors']} of {r['completions']}",
                r["load_average_before"],
            ]
            for r in result["bundled"]
        ],
    )
    kept.add(
        "wire",
        "The wire against a fake server: CPU of a call in this process",
        ["in flight", "logprobs", "body", "bare aiohttp", "reroll", "ratio (range)"],
        [
            [
                *(r[k] for k in ("concurrency", "logprobs")),
                f"{r['body_bytes']:,} B",
                f"{r['bare_us']} µs",
                f"{r['ours_us']} µs",
                f"{r['ratio']} ({r['ratio_range'][0]}–{r['ratio_range'][1]})",
            ]
            for r in result["wire"]
        ],
    )


async def measure(seconds: float, calls: int, rounds: int) -> dict[str, Any]:
    return {
        "bundled": [await bundled(seconds, 8), await bundled(seconds / 2, 8, logprobs=True, top_logprobs=5)],
        "wire": [
            await wire_cost(calls, 0, 8, rounds),
            await wire_cost(calls, 0, 200, rounds),
            await wire_cost(max(calls // 3, 5), 60, 8, rounds),
        ],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    try:
        from uvloop import run
    except ImportError:
        from asyncio import run
    if args.serve is not None:
        run(serve_fake(args.serve))
        return 0
    kept = Report.of("throughput", args)
    result = run(measure(args.seconds, args.calls, args.rounds))
    tables(kept, result)
    plain, read = result["bundled"]
    kept.bar("completions a second of the bundled model", plain["per_second"], BAR, most=False, unit="1/s")
    kept.number("completions a second of the bundled model, with logprobs", read["per_second"], unit="1/s")
    for one in result["wire"]:
        what = f"CPU µs of a call on the wire, {one['concurrency']} in flight, {one['logprobs']} logprobs"
        kept.number(what, one["ours_us"], unit="µs", peer=("bare aiohttp", one["bare_us"]))
    return kept.finish()


if __name__ == "__main__":
    raise SystemExit(main())
