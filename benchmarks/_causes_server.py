"""A planted world on loopback: an OpenAI-compatible server in a thread of its own, and the project that asks it."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from aiohttp import web

from benchmarks._causes import Around, World

__all__ = ["Server", "write_project"]

PATIENCE = 60  # seconds


class Server:
    """Serves one world at a time at `url`; `play` puts the next one there.

    port: where it listens, once that is free (after `PATIENCE` seconds: elsewhere); 0: anywhere. What a program's calls
    are is drawn from its identity, the address included: at the same port the same command makes the same calls.
    """

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.ready.wait()

    def play(self, world: World, seed: int = 0) -> None:
        self.world, self.calls, self.now = world, 0, 0
        self.prefixes: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.salt = f"{world.kind}/{world.seed}/{seed}"

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._start())
        self.ready.set()
        self.loop.run_forever()
        self.loop.run_until_complete(self.runner.cleanup())
        self.loop.close()

    async def _start(self) -> None:
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/v1/chat/completions", self._chat)
        self.runner = web.AppRunner(app, shutdown_timeout=0.05)
        await self.runner.setup()
        for wait in [0.1] * int(PATIENCE / 0.1) if self.port else []:
            try:
                await web.TCPSite(self.runner, "127.0.0.1", self.port).start()
                break
            except OSError:  # another test has it
                await asyncio.sleep(wait)
        else:
            await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}/v1"

    async def _chat(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        self.now += 1
        try:
            if self.world.kind == "load":
                await asyncio.sleep(0.004)  # so that calls made at once meet
            around = Around(self.now, self._cold(body), request.headers.get("x-replica", ""), self.calls)
            self.calls += 1
            rng = self._chance(body)
            choices = [self._choice(body, around, i, rng) for i in range(body.get("n") or 1)]
        finally:
            self.now -= 1
        usage = {"prompt_tokens": 50, "completion_tokens": 9, "total_tokens": 59}
        head = {"id": f"call-{self.calls}", "object": "chat.completion", "model": body.get("model", "")}
        return web.json_response({**head, "choices": choices, "usage": usage})

    def _cold(self, body: Any) -> bool:
        first = json.dumps(body.get("messages", [])[:1])[:120]
        new = first not in self.prefixes
        self.prefixes.add(first)
        return new

    def _chance(self, body: Any) -> random.Random:
        """Its own for every call: what was sent, and how often before. In which order calls happen to arrive moves
        nothing, so that a command with a seed ends the same way each time."""
        sent = json.dumps(body, sort_keys=True)
        self.asked[sent] += 1
        return random.Random(f"{self.salt}/{self.asked[sent]}/{sent}")

    def _choice(self, body: Any, around: Around, index: int, rng: random.Random) -> dict[str, Any]:
        fails = rng.random() < self.world.fails(body, around)
        text = rng.choice(self.world.failing if fails else self.world.passing)
        cut = fails and self.world.kind == "truncation"
        if cut:
            text = text[: max(1, len(text) // 2)]
        finish = "length" if cut else "stop"
        return {"index": index, "finish_reason": finish, "message": {"role": "assistant", "content": text}}


def write_project(world: World, folder: Path, url: str) -> Path:
    """The project folder of the world; JSON is YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    program = {**world.program, "base_url": url}
    (folder / "program.yaml").write_text(json.dumps(program, indent=1, ensure_ascii=False), encoding="utf-8")
    cases = json.dumps({"cases": world.cases}, indent=1, ensure_ascii=False)
    (folder / "cases.yaml").write_text(cases, encoding="utf-8")
    for name, text in world.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder
