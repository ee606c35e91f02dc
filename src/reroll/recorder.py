"""A proxy on this machine that passes calls on to a model's server and keeps each one, whole, in a file.

A call is on the disk before its last byte goes back, so what was paid for is kept. Headers are passed on and never
written down; of an address the query is left out, where some servers take their keys.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from reroll.errors import UsageError
from reroll.keys import is_loopback
from reroll.models.secrets import scrub
from reroll.streamed import events_of, joined

__all__ = ["Recorder", "base_of"]

# Between two servers, not to be passed on (RFC 9110, 7.6.1), and what the client here works out anew.
HOP = frozenset(
    "connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    "upgrade host content-length content-encoding accept-encoding expect".split()
)
MOST_BODY = 64 * 2**20
PIECE = 64 * 1024
SILENCE = 600.0  # seconds without a byte after which a server counts as gone


def base_of(upstream: str) -> str:
    """The address without a slash at its end. Raises: UsageError for what is none."""
    parts = urlsplit(upstream)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise UsageError(
            f"--upstream {upstream!r} is no address of a server; give one such as https://api.openai.com/v1",
            slug="record-upstream",
        )
    return upstream.rstrip("/")


@dataclass(slots=True)
class Recorder:
    """What passes calls on and keeps them. kept: calls in the file by now; lost: that could not be written."""

    upstream: str
    path: Path
    kept: int = 0
    lost: int = 0
    _file: int = -1
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _session: aiohttp.ClientSession | None = None

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MOST_BODY)
        app.router.add_route("*", "/{path:.*}", self.call)
        app.cleanup_ctx.append(self._open)
        return app

    async def _open(self, app: web.Application) -> Any:
        try:
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            problem = (error.strerror or str(error)).lower()
            raise UsageError(f"{self.path} cannot be written: {problem}; choose another --out", slug="out") from None
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=SILENCE)
        self._session = aiohttp.ClientSession(
            timeout=timeout, auto_decompress=True, cookie_jar=aiohttp.DummyCookieJar()
        )
        yield
        await self._session.close()
        os.close(self._file)

    def address(self, path: str) -> str:
        """Where a call goes, whether the client was told the server's path too or not.

        >>> one = Recorder("https://api.example.com/v1", Path("x"))
        >>> one.address("/v1/chat/completions"), one.address("/chat/completions")
        ('https://api.example.com/v1/chat/completions', 'https://api.example.com/v1/chat/completions')
        """
        base = urlsplit(self.upstream).path
        rest = path.removeprefix(base) if base and (path == base or path.startswith(f"{base}/")) else path
        return f"{self.upstream}{rest}"

    async def call(self, request: web.Request) -> web.StreamResponse:
        host = urlsplit(f"//{request.host}").hostname or ""
        if not is_loopback(host):
            return _refusal(421, "this proxy is for this machine alone; use 127.0.0.1 in the address")
        if not _of_this_machine(request.headers.get("origin"), request.headers.get("sec-fetch-site")):
            return _refusal(403, "a page of another site sent this; calls that it invents are not recorded")
        assert self._session is not None
        body = await request.read()
        url = self.address(request.rel_url.raw_path)
        query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
        row: dict[str, Any] = {"started": _now(), "url": url, "method": request.method, **_sent(body)}
        start = time.monotonic()
        try:
            async with self._session.request(
                request.method,
                f"{url}{query}",
                data=body or None,
                headers={k: v for k, v in request.headers.items() if k.lower() not in HOP},
                allow_redirects=False,
            ) as reply:
                return await self._passed_on(request, reply, row, start)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = scrub(str(error) or type(error).__name__)
            await self._keep({**row, "seconds": time.monotonic() - start, "error": f"the server gave no answer: {why}"})
            return _refusal(502, f"{self.upstream} gave no answer: {why}")

    async def _passed_on(
        self, request: web.Request, reply: aiohttp.ClientResponse, row: dict[str, Any], start: float
    ) -> web.StreamResponse:
        """The answer as it comes, its last piece held back until the call is on the disk."""
        headers = {k: v for k, v in reply.headers.items() if k.lower() not in HOP and k.lower() != "set-cookie"}
        answer = web.StreamResponse(status=reply.status, headers=headers)
        pieces, size, gone, broke = [], 0, False, ""
        held = b""
        try:
            async for piece in reply.content.iter_chunked(PIECE):
                size += len(piece)
                if size <= MOST_BODY:
                    pieces.append(piece)
                if not gone:
                    gone = not await _send(request, answer, held)
                    held = piece
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            broke = f"the answer broke off: {scrub(str(error) or type(error).__name__)}"
        row["seconds"] = time.monotonic() - start
        row |= _got(reply.status, reply.content_type, b"".join(pieces), cut=size > MOST_BODY)
        if broke:
            row["error"] = broke
        if gone:
            row["hung_up"] = True  # the client; its call was paid for all the same
        await self._keep(row)
        if broke:
            if request.transport is not None:
                request.transport.close()  # as the server did: no answer that looks whole
            return answer
        if not gone and await _send(request, answer, held):
            await answer.write_eof()
        return answer

    async def _keep(self, row: Mapping[str, Any]) -> None:
        """The call is in the file, whole, when this returns; one that has no request to a model is not kept."""
        if "request" not in row:
            return
        line = (json.dumps(row, ensure_ascii=False) + "\n").encode(errors="replace")
        async with self._lock:
            try:
                await asyncio.to_thread(_append, self._file, line)
                self.kept += 1
            except OSError:
                self.lost += 1


def _of_this_machine(origin: str | None, site: str | None) -> bool:
    """Whether a call comes from a program, or from a page that this machine serves; browsers always say whose it is."""
    if origin is not None:
        try:
            return is_loopback(urlsplit(origin).hostname or "")
        except ValueError:
            return False
    return site in (None, "same-origin", "none")


def _append(file: int, line: bytes) -> None:
    start = os.fstat(file).st_size
    try:
        while line:
            line = line[os.write(file, line) :]
        os.fsync(file)
    except OSError:
        os.ftruncate(file, start)  # no half line: the ones before and after it stay readable
        raise


async def _send(request: web.Request, answer: web.StreamResponse, piece: bytes) -> bool:
    """Whether the client is still there."""
    try:
        if not answer.prepared:
            await answer.prepare(request)
        if piece:
            await answer.write(piece)
    except (ConnectionError, aiohttp.ClientError):
        return False
    return True


def _sent(body: bytes) -> dict[str, Any]:
    """The body of a call to a model, as an object; nothing for anything else, such as a list of models."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return {"request": found} if isinstance(found, dict) else {}


def _got(status: int, kind: str, body: bytes, *, cut: bool) -> dict[str, Any]:
    text = body.decode(errors="replace")
    if cut:
        return {"response": {"status": status, "body": None}, "error": f"the answer has more than {MOST_BODY:,} bytes"}
    if kind == "text/event-stream":
        whole = joined(events_of(text))
        if whole is None:
            return {"response": {"status": status, "body": scrub(text)}, "error": "the stream holds no answer"}
        return {"response": {"status": status, "body": whole}, "streamed": True}
    if status >= 400:
        text = scrub(text)  # some servers repeat the key that they refuse
    try:
        return {"response": {"status": status, "body": json.loads(text)}}
    except (ValueError, RecursionError):
        return {"response": {"status": status, "body": text}}


def _refusal(status: int, why: str) -> web.Response:
    return web.json_response({"error": {"message": f"reroll record: {why}", "type": "reroll"}}, status=status)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
