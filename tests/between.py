"""A real llama.cpp server with the bundled model, and something between it and its users that changes what they ask."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
from aiohttp import web

from reroll.models.local import LocalModel, bundled_file

Own = Callable[[aiohttp.ClientSession, str, dict[str, Any]], Awaitable[Any]]
"""What is answered to this body without asking the server (a session and its address are there); None: it is asked."""
Alter = Callable[[str, dict[str, Any]], dict[str, Any] | tuple[int, str]]
"""What becomes of a request (path and body): another body, or the status and the words with which it is turned away."""


@contextlib.contextmanager
def between(
    alter: Alter = lambda path, body: body, reply: Callable[[Any], Any] = lambda said: said, own: Own | None = None
) -> Iterator[str]:
    """The address of the server, in a thread of its own, for a program with `model: openai:bundled`.

    reply: what becomes of a response (JSON).
    """
    started, held = threading.Event(), dict[str, Any]()

    async def serve() -> None:
        model = LocalModel(bundled_file(), "bundled")
        wire = await model.wire()
        upstream = wire.base.removesuffix("/v1")
        async with aiohttp.ClientSession() as session:

            async def forward(request: web.Request) -> web.Response:
                body = await request.json() if request.can_read_body else None
                if (
                    own is not None
                    and isinstance(body, dict)
                    and (said := await own(session, upstream, body)) is not None
                ):
                    return web.json_response(said)
                altered = alter(request.path, body) if isinstance(body, dict) else body
                if isinstance(altered, tuple):
                    return web.json_response({"error": {"message": altered[1]}}, status=altered[0])
                data = None if altered is None else json.dumps(altered).encode()
                headers = {"Content-Type": "application/json"}
                url = upstream + request.path_qs
                async with session.request(request.method, url, data=data, headers=headers) as got:
                    return web.json_response(reply(await got.json()), status=got.status)

            app = web.Application(client_max_size=1 << 26)
            app.router.add_route("*", "/{path:.*}", forward)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            held.update(url=f"http://127.0.0.1:{port}", loop=asyncio.get_running_loop(), done=asyncio.Event())
            started.set()
            await held["done"].wait()
            await runner.cleanup()
        await model.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(60)
    try:
        yield held["url"]
    finally:
        held["loop"].call_soon_threadsafe(held["done"].set)
        thread.join(30)
