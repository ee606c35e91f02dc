"""Where exporters send spans and log records: OTLP over HTTP, acknowledged when the store has them and not before.

What came is checked and kept as it is; reading it into samples is another's work, beside the server (reading.py). A
request brings an access token that may send, and that may do nothing else. A cookie opens nothing here, so no page of
another site can send anything by somebody's browser.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from reroll.errors import StoreError
from reroll.intake.otlp_bodies import (
    MOST_BODY,
    Body,
    Encoding,
    Junk,
    Signal,
    TooMuch,
    in_it,
    number,
    tagged,
    unpacked,
    without,
)
from reroll.keys import known_values
from reroll.receiving import HELD_A_KEY
from reroll.store_received import NewBatch
from reroll.web.access import RECEIVING, Access
from reroll.web.reading import Full, Reading, in_time

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["ROUTES", "Complaints", "kept"]

TYPES: dict[str, Encoding] = {"application/x-protobuf": "protobuf", "application/json": "json"}
NAMES = {encoding: name for name, encoding in TYPES.items()}
PACKINGS = {"": "", "identity": "", "gzip": "gzip", "x-gzip": "gzip", "zstd": "zstd"}
NO_STORE = "the store does not answer; send it again a little later"
RETRY_SECONDS = "5"
MOST_AT_ONCE = 64 * 2**20  # bytes of requests that are received at the same time
EACH = 60.0  # seconds between two complaints of a kind
# What google.rpc.Code calls them.
CODES = {400: 3, 401: 16, 403: 7, 413: 8, 415: 3, 503: 14}


class Declined(Exception):
    """A request that is not taken: the status, and one sentence; `said_here` is for whoever runs the server alone."""

    def __init__(self, status: int, message: str, said_here: str = "") -> None:
        super().__init__(message)
        self.status, self.said_here = status, said_here or message


class Complaints:
    """What goes wrong with exporters, on stderr: each kind once a minute, with how often it was since."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.last: dict[str, float] = {}
        self.since: dict[str, int] = {}

    def say(self, message: str) -> None:
        now = self.clock()
        self.since[message] = self.since.get(message, 0) + 1
        if now - self.last.get(message, -EACH) < EACH:
            return
        count = self.since.pop(message)
        if len(self.last) > 100:
            self.last.clear()
        self.last[message] = now
        times = "" if count == 1 else f" ({count} times)"
        print(f"received traces: {message}{times}", file=sys.stderr, flush=True)


def receive(signal: Signal) -> Callable[[Request], Any]:
    async def received(request: Request) -> Response:
        encoding = TYPES.get(request.headers.get("content-type", "").partition(";")[0].strip().lower())
        try:
            return await _received(request, signal, encoding)
        except Declined as declined:
            request.app.state.complaints.say(f"{declined.status}: {declined.said_here}")
            return _declined(encoding, declined)

    return received


async def _received(request: Request, signal: Signal, encoding: Encoding | None) -> Response:
    sender = await _sender(request)
    if encoding is None:
        raise Declined(415, "send application/x-protobuf or application/json (OTLP over HTTP; gRPC is not taken)")
    packing = PACKINGS.get(request.headers.get("content-encoding", "").strip().lower())
    if packing is None:
        raise Declined(415, "send it with Content-Encoding gzip or zstd, or as it is")
    reading: Reading = request.app.state.reading
    body = Body(signal, encoding, packing, await _body(request, reading))
    batch = await asyncio.get_running_loop().run_in_executor(reading.looking, kept, body, sender)
    if batch.spans or batch.refused:
        try:
            await reading.keep(batch)
        except Full as full:
            raise Declined(503, str(full)) from None
        except StoreError as gone:
            raise Declined(503, NO_STORE, str(gone)) from None
    return _acknowledged(signal, encoding, batch.broken, batch.refused)


async def _sender(request: Request) -> str:
    """The name of the token that may send. Raises: Declined for any other, and for none."""
    access: Access = request.app.state.access
    secret = _secret(request.headers.get("authorization", ""))
    try:
        token = await in_time(run_in_threadpool(access.store.token_of, secret)) if secret else None
    except StoreError as gone:
        raise Declined(503, NO_STORE, str(gone)) from None
    except TimeoutError:
        raise Declined(503, NO_STORE) from None
    if token is None:
        came = "an access token that is not in force" if secret else "no access token"
        raise Declined(401, f"a request came with {came}; make one with `reroll token NAME --scope send`")
    if "send" not in token.scopes:
        raise Declined(403, "a request came with an access token without the scope `send`, which is what it needs")
    return token.name


def _secret(header: str) -> str:
    """The token, also where it is the password of Basic, which is how Langfuse's SDK sends it."""
    word, _, given = header.partition(" ")
    if word.lower() == "bearer":
        return given.strip()
    if word.lower() != "basic":
        return ""
    try:
        return base64.b64decode(given.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


async def _body(request: Request, reading: Reading) -> bytes:
    """What was sent, within limits. Raises: Declined."""
    if int(request.headers.get("content-length") or 0) > MOST_BODY:
        raise Declined(413, f"a request of more than {MOST_BODY // 2**20} MiB came; export smaller batches")
    pieces: list[bytes] = []
    size = 0
    try:
        async for piece in request.stream():
            size += len(piece)
            reading.arriving += len(piece)
            if size > MOST_BODY:
                raise Declined(413, f"a request of more than {MOST_BODY // 2**20} MiB came; export smaller batches")
            if reading.arriving > MOST_AT_ONCE:
                raise Declined(503, "more comes at the same time than is taken; send it again a little later")
            pieces.append(piece)
    except ClientDisconnect:
        raise Declined(400, "a request broke off") from None
    finally:
        reading.arriving -= size
    return b"".join(pieces)


def kept(body: Body, sender: str) -> NewBatch:
    """What is to be kept: all that can be read and holds no key in use. Raises: Declined where nothing can be read."""
    try:
        data = unpacked(body)
        spans, broken = in_it(body, data)
        if spans and broken == spans:
            raise Junk("none of the spans in it can be read")
        refused = 0
        if broken or any(key.encode() in data for key in known_values().values()):
            data, broken, refused = without(body, data, _holds_a_key)
            body = Body(body.signal, body.encoding, "", data)
    except Junk as junk:
        raise Declined(400, str(junk)) from None
    except TooMuch as much:
        raise Declined(413, str(much)) from None
    # As it is kept: packed as it came, else with zstd.
    data, packing = (body.data, body.packing) if body.packing else (zstd.compress(body.data, 1), "zstd")
    return NewBatch(body.signal, body.encoding, packing, data, spans - broken - refused, broken, refused, sender)


def _holds_a_key(part: bytes) -> bool:
    return any(key.encode() in part for key in known_values().values())


# -- replies -----------------------------------------------------------------------------------------------------------


def _acknowledged(signal: Signal, encoding: Encoding, broken: int, refused: int) -> Response:
    """ExportTraceServiceResponse, or that of logs: empty where all was taken."""
    left = broken + refused
    why = [f"{broken} cannot be read"] * bool(broken) + [f"{refused} {HELD_A_KEY}"] * bool(refused)
    if encoding == "json":
        name = "rejectedSpans" if signal == "traces" else "rejectedLogRecords"
        said = {"partialSuccess": {name: str(left), "errorMessage": "; ".join(why)}} if left else {}
        return Response(json.dumps(said), media_type=NAMES[encoding])
    partial = number(1, left) + tagged(2, "; ".join(why).encode())
    return Response(tagged(1, partial) if left else b"", media_type=NAMES[encoding])


def _declined(encoding: Encoding | None, declined: Declined) -> Response:
    """google.rpc.Status, in the encoding of the request."""
    code, message = CODES[declined.status], str(declined)
    headers = {"retry-after": RETRY_SECONDS} if declined.status == 503 else {}
    if declined.status == 401:
        headers["www-authenticate"] = "Bearer"
    if encoding == "protobuf":
        body = number(1, code) + tagged(2, message.encode())
        return Response(body, declined.status, headers, NAMES[encoding])
    return Response(json.dumps({"code": code, "message": message}), declined.status, headers, NAMES["json"])


ROUTES = [Route(path, receive(signal), methods=["POST"]) for path, signal in RECEIVING.items()]
