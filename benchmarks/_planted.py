"""A server on loopback with one fault of serving planted in it, for the audit: what it does to each call is seeded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import web

__all__ = ["FAULTS", "Planted", "planted_server", "serving"]

FAULTS = ("none", "load", "cold_cache", "replica", "model", "seed", "nondeterminism", "steady")
BUSY = 4  # in flight at once: here the planted load fault strikes; half a burst, so that a slow machine meets it too
SEEN = 64  # characters of a prompt that the planted cache knows it by
STAY = 0.008  # seconds after the last arrival that a batch is worked on: calls of a burst are in it together


@dataclass
class Planted:
    """What is planted: a fault's name, and how often ordinary calls fail by chance (never at temperature 0).

    `load`: a call fails that shares the server with so many others at any time of its stay. `cold_cache`: a prompt
    whose first characters were never seen fails half the time. `replica`: calls with the header x-replica: b fail 7
    in 10 more. `model`: the model `new` fails 6 in 10 more than `old`. `seed`: seeds are ignored, as they are not
    elsewhere. `nondeterminism`: temperature 0 is as random as any. `steady`: nothing ever varies.
    """

    fault: str = "none"
    rate: float = 0.2
    seed: int = 0
    calls: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.seen: set[str] = set()
        self.here: dict[int, int] = {}

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.calls += 1
        me, self.in_flight = self.calls, self.in_flight + 1
        self.bodies.append(body)
        self.here[me] = 0
        for other in self.here:
            self.here[other] = max(self.here[other], self.in_flight)
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        arrived = 0
        while arrived != self.calls:
            arrived = self.calls
            await asyncio.sleep(STAY)
        busiest = self.here.pop(me)
        self.in_flight -= 1
        right = not self._fails(body, request.headers.get("x-replica", ""), busiest)
        said = self._words(body, right)
        if "messages" not in body:
            return web.json_response({"model": "m", "choices": [{"index": 0, "finish_reason": "stop", "text": said}]})
        message = {"role": "assistant", "content": said}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
        return web.json_response({"model": body.get("model"), "choices": [choice], "usage": usage})

    def _draw(self, body: dict[str, Any], what: int) -> float:
        """A number in 0...1: chance, unless a seed is honoured or temperature 0 leaves nothing to it."""
        if body.get("temperature", 1) == 0 and self.fault != "nondeterminism":
            return 1.0
        if "seed" in body and self.fault != "seed":
            return float(np.random.default_rng([body["seed"], what]).random())
        return float(self.rng.random())

    def _fails(self, body: dict[str, Any], replica: str, busiest: int) -> bool:
        prompt = json.dumps(body.get("messages") or body.get("prompt"))[:SEEN]
        cold = prompt not in self.seen
        self.seen.add(prompt)
        rate = 0.0 if self.fault == "steady" else self.rate
        if self._draw(body, 0) < rate:
            return True
        if self.fault == "load":
            return busiest >= BUSY
        if self.fault == "cold_cache":
            return cold and float(self.rng.random()) < 0.5
        if self.fault == "replica":
            return replica == "b" and float(self.rng.random()) < 0.7
        if self.fault == "model":
            return body.get("model") == "new" and self._draw(body, 2) < 0.6
        return False

    def _words(self, body: dict[str, Any], right: bool) -> str:
        """One of a few ways to say it, always the first one where nothing is left to chance."""
        if self.fault == "steady":
            return "yes"
        pick = self._draw(body, 1)
        more = "" if pick == 1.0 else ("", ", sure", ", gladly", ", of course")[int(4 * pick)]
        return ("yes" if right else "no") + more


@contextlib.asynccontextmanager
async def serving(planted: Planted) -> AsyncIterator[str]:
    app = web.Application()
    for path in ("/v1/chat/completions", "/v1/completions"):
        app.router.add_post(path, planted.handle)

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": name} for name in ("tiny", "new", "old")]})

    app.router.add_get("/v1/models", models)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def planted_server(planted: Planted) -> Iterator[str]:
    """Its base_url, from a thread of its own."""
    ready, held = threading.Event(), {}  # type: ignore[var-annotated]

    async def serve() -> None:
        async with serving(planted) as url:
            held.update(url=url, loop=asyncio.get_running_loop(), over=asyncio.Event())
            ready.set()
            await held["over"].wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    if not ready.wait(20):
        raise RuntimeError("the planted server did not start")
    try:
        yield held["url"]
    finally:
        held["loop"].call_soon_threadsafe(held["over"].set)
        thread.join(20)
