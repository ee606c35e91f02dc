"""`reroll record`: a proxy between a product and its model's server, until it is stopped."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from aiohttp import web

from reroll.errors import UsageError
from reroll.numbers import counts
from reroll.opening import on_stop
from reroll.recorder import Recorder, base_of
from reroll.serving import listening_at

__all__ = ["record"]

LOOPBACK = "127.0.0.1"


def record(upstream: str, port: int, out: Path) -> int:
    """Pass calls on and keep them in the file until Ctrl-C. Raises: UsageError where it cannot listen or write."""
    return asyncio.run(_record(Recorder(base_of(upstream), out), port))


async def _record(recorder: Recorder, port: int) -> int:
    over = asyncio.Event()
    on_stop(over.set)
    runner = web.AppRunner(recorder.app(), access_log=None, shutdown_timeout=5.0)
    with listening_at(LOOPBACK, port) as taken:
        await runner.setup()
        try:
            await web.SockSite(runner, taken).start()
            base = recorder.upstream.split("//", 1)[1].partition("/")[2]
            place = f"http://{LOOPBACK}:{taken.getsockname()[1]}{'/' if base else ''}{base}"
            print(f"Listening. Let your product call {place} instead of {recorder.upstream}.", file=sys.stderr)
            print(f"Every call is kept in {recorder.path}; Ctrl-C ends it.", file=sys.stderr, flush=True)
            await over.wait()
        finally:
            await runner.cleanup()
    print(f"{counts('call', recorder.kept)} in {recorder.path}. Next: reroll import {recorder.path}", file=sys.stderr)
    if recorder.lost:
        raise UsageError(
            f"{counts('call', recorder.lost)} could not be written to {recorder.path}, though the answers went back; "
            "make room, and start again with the same --out",
            slug="record-lost",
        )
    return 0
