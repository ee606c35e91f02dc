"""A hostile OpenAI-compatible server on loopback: it does to each request what the test's script says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

Act = Callable[[web.Request], Awaitable[web.StreamResponse]]


def completion(text: str | None = "ok", **more: Any) -> dict[str, Any]:
    """The body of a good answer; `more` goes into the choice, its `message` key into the message."""
    message = {"role": "assistant", "content": text, **more.pop("message", {})}
    return {
        "id": "x",
        "object": "chat.completion",
        "model": "tiny-2026-01-01",
        "system_fingerprint": "fp_1",
        "choices": [{"index": 0, "finish_reason": "stop", "message": message, **more}],
        "usage": {
            "prompt_tokens": 9,
            "completion_tokens": 3,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 4},
        },
    }


def answer(text: str | None = "ok", **more: Any) -> Act:
    return body(completion(text, **more), headers={"x-request-id": "req-1"})


def body(data: Any, status: int = 200, headers: dict[str, str] | None = None, kind: str = "application/json") -> Act:
    """This very body: bytes as they are, anything else as JSON."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()

    async def act(request: web.Request) -> web.StreamResponse:
        return web.Response(body=raw, status=status, headers=headers, content_type=kind)

    return act


def error(status: int, message: str = "no", headers: dict[str, str] | None = None, **more: Any) -> Act:
    return body({"error": {"message": message, **more}}, status, headers)


def reset(after: bytes = b"") -> Act:
    """The connection is cut: at once, or after these bytes of a body that was announced as longer."""

    async def act(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        if after:
            response = web.StreamResponse(headers={"Content-Length": "9999", "Content-Type": "application/json"})
            await response.prepare(request)
            await response.write(after)
            await asyncio.sleep(0)
        request.transport.abort()
        return web.Response()

    return act


def hang() -> Act:
    async def act(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError("never")

    return act


def drip(data: Any, pause: float) -> Act:
    """A good body, one byte at a time."""

    async def act(request: web.Request) -> web.StreamResponse:
        raw = json.dumps(data).encode()
        response = web.StreamResponse(headers={"Content-Length": str(len(raw)), "Content-Type": "application/json"})
        await response.prepare(request)
        for i in range(len(raw)):
            await response.write(raw[i : i + 1])
            await asyncio.sleep(pause)
        return response

    return act


class FakeServer:
    """Plays its acts in order, the last one again and again; `bodies` and `headers` are what it was sent."""

    def __init__(self, acts: Sequence[Act], models: Act | None = None) -> None:
        self.acts, self.models = list(acts), models
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.arrived = asyncio.Event()  # set by the first call
        self.most_at_once = 0
        self._now = 0

    @property
    def calls(self) -> int:
        return len(self.bodies)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.read())
        self.arrived.set()
        self.headers.append(dict(request.headers))
        act = self.acts[min(self.calls, len(self.acts)) - 1]
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            return await act(request)
        finally:
            self._now -= 1

    async def list_models(self, request: web.Request) -> web.StreamResponse:
        if self.models is None:
            raise web.HTTPNotFound
        self.headers.append(dict(request.headers))
        return await self.models(request)


@contextlib.asynccontextmanager
async def serving(*acts: Act, models: Act | None = None) -> AsyncIterator[tuple[FakeServer, str]]:
    """A running fake server and its address (without /v1)."""
    server = FakeServer(acts or [answer()], models)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.chat)
    app.router.add_get("/v1/models", server.list_models)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield server, f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
