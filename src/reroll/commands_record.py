"""`reroll record`: a proxy between a product and its model's server, until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from pathlib import Path

from aiohttp import web

from reroll.errors import UsageError
from reroll.numbers import counts
from reroll.recorder import Recorder, base_of

__all__ = ["record"]

LOOPBACK = "127.0.0.1"


def record(upstream: str, port: int, out: Path) -> int:
    """Pass calls on and keep them in the file until Ctrl-C. Raises: UsageError where it cannot listen or write."""
    return asyncio.run(_record(Recorder(base_of(upstream), out), port))


async def _record(recorder: Recorder, port: int) -> int:
    over = _stopped()
    runner = web.AppRunner(recorder.app(), access_log=None, shutdown_timeout=5.0)
    with _listening(port) as taken:
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


def _listening(port: int) -> socket.socket:
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((LOOPBACK, port))
    except (OSError, OverflowError) as error:
        taken.close()
        raise UsageError(
            f"cannot listen at port {port}: {str(getattr(error, 'strerror', None) or error).lower()}; choose another "
            "--port, or 0 for a free one",
            slug="port",
        ) from None
    return taken


def _stopped() -> asyncio.Event:
    """Set by Ctrl-C and by a signal to end."""
    over, loop = asyncio.Event(), asyncio.get_running_loop()
    for one in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # where the system has none: Ctrl-C raises
            loop.add_signal_handler(one, over.set)
    return over
