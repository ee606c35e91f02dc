"""`reroll fake-server`: an OpenAI-compatible server that costs nothing and misbehaves as told, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from reroll.errors import UsageError
from reroll.fake_faults import STATUSES, Behaviour, Deed, error_body
from reroll.opening import on_stop

__all__ = ["FakeServer", "serve", "serving"]

LENGTH = re.compile(rb"(?i)\r\ncontent-length:[ \t]*(\d{1,12})[ \t]*(?:\r\n|\Z)")
KEY = re.compile(rb"(?i)\r\nauthorization:[ \t]*bearer[ \t]+([^\r\n]*)")
CLOSE = re.compile(rb"(?i)\r\nconnection:[ \t]*close")
CONTINUE = re.compile(rb"(?i)\r\nexpect:[ \t]*100-continue")
WORDS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed",
         411: "Length Required", 413: "Content Too Large", 429: "Too Many Requests", 431: "Header Too Large",
         500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 529: "Overloaded"}  # fmt: skip
CHAT, TEXT, MODELS, STATS = "/chat/completions", "/completions", "/models", "/stats"
LONGEST_HEAD, LONGEST_BODY = 64 << 10, 64 << 20
HTML = b"<!DOCTYPE html><html><body><h1>It works!</h1></body></html>"
FILTERED = error_body("content_filter", "The prompt was filtered by the content management policy.")


class FakeServer:
    """What all connections share: the behaviour, and counts of what was done."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.calls = 0  # completions asked for, each numbered from 0 as it arrives
        self.done: Counter[str] = Counter()  # what was done: `answer`, `wrong`, or a fault's name
        self.in_flight = self.most_in_flight = self.abandoned = self.connections = self.bad_requests = 0
        self._said = {kind: self._bodies(kind) for kind in (CHAT, TEXT)}

    def stats(self) -> dict[str, Any]:
        """What was done since the start, as GET /stats shows it."""
        return {
            "schema": "reroll.fake-server-stats/1",
            "calls": self.calls,
            "done": dict(sorted(self.done.items())),
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "abandoned": self.abandoned,
            "connections": self.connections,
            "bad_requests": self.bad_requests,
        }

    def _bodies(self, kind: str) -> dict[str, tuple[bytes, bytes]]:
        """For every kind of answer, what stands before and after the model's name in its body."""
        right, wrong = self.behaviour.answer, self.behaviour.wrong
        said: dict[str, tuple[str | None, str, str | None]] = {
            "answer": (right, "stop", None),
            "wrong": (wrong, "stop", None),
            "refusal": (None, "stop", "I cannot help with that."),
            "filter": ("", "content_filter", None),
            "length": (right[: len(right) // 2], "length", None),
            "empty": ("", "stop", None),
        }
        return {name: _body(kind, *parts) for name, parts in said.items()}

    def answer(self, kind: str, name: str, model: str, index: int) -> bytes:
        """The body of an answer."""
        before, after = self._said[kind].get(name) or self._said[kind]["answer"]
        return b'{"id":"fake-%d","model":%s,%s%s' % (index, json.dumps(model).encode(), before, after)


def _body(kind: str, text: str | None, finish: str, refusal: str | None) -> tuple[bytes, bytes]:
    """What follows id and model: the choice, and the usage."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "logprobs": None}
    if kind == CHAT:
        choice["message"] = {"role": "assistant", "content": text, "refusal": refusal}
    else:
        choice["text"] = refusal if text is None else text
    wrote = max(1, len(text or refusal or "") // 4)
    usage = {"prompt_tokens": 16, "completion_tokens": wrote, "total_tokens": 16 + wrote}
    named = "chat.completion" if kind == CHAT else "text_completion"
    rest = {"object": named, "created": 1790000000, "system_fingerprint": "fp_fake", "choices": [choice]}
    return json.dumps(rest)[1:-1].encode(), b',"usage":%s}' % json.dumps(usage).encode()


class _Connection(asyncio.Protocol):
    """One connection: a request, its answer when the time has come, then the next request."""

    def __init__(self, server: FakeServer, loop: asyncio.AbstractEventLoop) -> None:
        self.server, self.loop = server, loop
        self.held = bytearray()
        self.busy = self.last = self.told = False
        self.timer: asyncio.TimerHandle | None = None
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.server.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if self.busy:
            self.server.in_flight -= 1
            self.server.abandoned += 1
            self.busy = False

    def data_received(self, data: bytes) -> None:
        self.held += data
        if not self.busy:
            self._next()

    # -- reading -------------------------------------------------------------------------------------------------------

    def _next(self) -> None:
        """Take the next whole request, if there is one."""
        held = self.held
        end = held.find(b"\r\n\r\n")
        if end < 0:
            if held and not 65 <= held[0] <= 90:  # no method: TLS, for example
                held.clear()
                self.transport.abort()
            elif len(held) > LONGEST_HEAD:
                self._refuse(431, "the headers are longer than 64 KiB")
            return
        head = bytes(held[:end])
        found = LENGTH.search(head)
        if found is None and b"\r\ntransfer-encoding:" in head.lower():
            self._refuse(411, "send Content-Length, not chunks")
            return
        length = int(found[1]) if found else 0
        if length > LONGEST_BODY:
            self._refuse(413, "the body is longer than 64 MiB")
            return
        if len(held) < end + 4 + length:
            if not self.told and CONTINUE.search(head):
                self.told = True
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        body = bytes(held[end + 4 : end + 4 + length])
        del held[: end + 4 + length]
        words = head.split(b"\r\n", 1)[0].split(b" ")
        self.told = False
        self.last = CLOSE.search(head) is not None or words[-1] == b"HTTP/1.0"
        if len(words) != 3:
            self._refuse(400, "this is no HTTP request")
            return
        self._route(words[0], words[1].split(b"?")[0].decode("latin-1"), head, body)

    def _route(self, method: bytes, path: str, head: bytes, body: bytes) -> None:
        path = path.removeprefix("/v1").rstrip("/")
        if path in (CHAT, TEXT):
            if method == b"POST":
                self._complete(path, head, body)
            else:
                self._bad(405, f"{path} takes POST")
        elif path == MODELS and method == b"GET":
            rows = [{"id": m, "object": "model", "owned_by": "reroll"} for m in self.server.behaviour.models]
            if self._let_in(head):
                self._send(200, json.dumps({"object": "list", "data": rows}).encode())
            else:
                self._turned_away("401", "models")
        elif path == STATS and method == b"GET":
            self._send(200, json.dumps(self.server.stats()).encode())
        else:
            self._bad(404, f"this server has {CHAT}, {TEXT}, {MODELS} and {STATS}, not {path[:200]}")

    def _let_in(self, head: bytes) -> bool:
        behaviour = self.server.behaviour
        if behaviour.expire_after is not None and self.server.calls > behaviour.expire_after:
            return False
        if behaviour.key is None:
            return True
        found = KEY.search(head)
        return found is not None and found[1].strip().decode("latin-1") == behaviour.key

    def _complete(self, kind: str, head: bytes, body: bytes) -> None:
        try:
            asked = json.loads(body)
            model, stream = str(asked.get("model") or "fake"), asked.get("stream")
        except (ValueError, RecursionError, AttributeError):
            self._bad(400, "the body is no JSON object")
            return
        if stream:
            self._bad(400, "this server does not stream; take `stream` out")
            return
        server, behaviour = self.server, self.server.behaviour
        index = server.calls
        server.calls += 1
        deed = behaviour.deed(index)
        if not self._let_in(head):
            deed = Deed("401", False, 0.0)
        elif behaviour.models and model not in behaviour.models:
            deed = Deed("404", False, 0.0)
        elif behaviour.most is not None and server.in_flight >= behaviour.most:
            deed = Deed("429", False, 0.0)
        server.done[deed.fault or ("wrong" if deed.wrong else "answer")] += 1
        self.busy = True
        server.in_flight += 1
        server.most_in_flight = max(server.most_in_flight, server.in_flight)
        if deed.fault == "hang":
            return
        if deed.seconds > 0:
            self.timer = self.loop.call_later(deed.seconds, self._do, deed, kind, model, index)
        else:
            self._do(deed, kind, model, index)

    # -- answering -----------------------------------------------------------------------------------------------------

    def _do(self, deed: Deed, kind: str, model: str, index: int) -> None:
        fault, name = deed.fault, f"fake-{index}"
        if fault is not None and fault in STATUSES:
            self._turned_away(fault, name)
            return
        if fault == "reset":
            self._reset()
            return
        if fault == "html":
            self._send(200, HTML, name, "text/html; charset=utf-8")
            return
        if fault == "prompt-filter":
            self._send(400, FILTERED, name)
            return
        body = self.server.answer(kind, "wrong" if deed.wrong and fault is None else fault or "answer", model, index)
        if fault == "drip":
            self.transport.write(_head(200, len(body), name))
            self._drip(body, 0)
        elif fault == "truncated":
            self.last = True
            self._write(_head(200, len(body), name) + body[: len(body) // 2])
        elif fault == "malformed":
            self._send(200, body[: len(body) // 2], name)
        else:
            self._send(200, body, name, "text/plain" if fault == "content-type" else "application/json")

    def _turned_away(self, status: str, name: str) -> None:
        more = b""
        if status == "429":
            more = b"Retry-After: %s\r\n" % f"{self.server.behaviour.retry_after:g}".encode()
        body = error_body(*STATUSES[status])
        self._write(_head(int(status), len(body), name, more=more) + body)

    def _drip(self, body: bytes, at: int) -> None:
        """One byte now, the rest later."""
        if at == len(body) - 1:
            self._write(body[at:])
            return
        self.transport.write(body[at : at + 1])
        self.timer = self.loop.call_later(self.server.behaviour.drip, self._drip, body, at + 1)

    def _reset(self) -> None:
        """End the connection with a RST, as a crashed server or a cut line does."""
        raw = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError, AttributeError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._settled()
        self.transport.abort()

    def _bad(self, status: int, message: str) -> None:
        self.server.bad_requests += 1
        self._send(status, error_body("invalid_request_error", message))

    def _refuse(self, status: int, message: str) -> None:
        """Answer and close: what follows on this connection cannot be understood."""
        self.last = True
        self.held.clear()
        self._bad(status, message)

    def _send(self, status: int, body: bytes, name: str = "fake", kind: str = "application/json") -> None:
        self._write(_head(status, len(body), name, kind) + body)

    def _write(self, data: bytes) -> None:
        """The last bytes of an answer; then the connection closes, or the next request is looked at."""
        self.transport.write(data)
        self._settled()
        if self.last:
            self.transport.close()
        elif self.held:
            self.loop.call_soon(self._again)

    def _again(self) -> None:
        if not self.busy and not self.transport.is_closing():
            self._next()

    def _settled(self) -> None:
        self.timer = None
        if self.busy:
            self.busy = False
            self.server.in_flight -= 1


def _head(status: int, length: int, name: str, kind: str = "application/json", more: bytes = b"") -> bytes:
    words = WORDS.get(status, "Error").encode()
    return b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nx-request-id: %s\r\n%s\r\n" % (
        status, words, kind.encode(), length, name.encode(), more,
    )  # fmt: skip


@asynccontextmanager
async def serving(
    behaviour: Behaviour, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[tuple[FakeServer, str]]:
    """A running fake server and its base_url; port 0 takes a free one. Raises: UsageError where it cannot listen."""
    loop = asyncio.get_running_loop()
    fake = FakeServer(behaviour)
    try:
        server = await loop.create_server(lambda: _Connection(fake, loop), host, port, backlog=4096)
    except (OSError, OverflowError) as error:
        problem = (getattr(error, "strerror", None) or str(error)).lower()
        raise UsageError(
            f"cannot listen on {host} port {port}: {problem}; choose another --port", slug="port"
        ) from None
    try:
        taken = server.sockets[0].getsockname()[1]
        yield fake, f"http://{f'[{host}]' if ':' in host else host}:{taken}/v1"
    finally:
        server.close()


async def serve(behaviour: Behaviour, host: str, port: int, tell: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; `tell` is given the base_url once it is ready."""
    over = asyncio.Event()
    on_stop(over.set)
    async with serving(behaviour, host, port) as (_, url):
        tell(url)
        await over.wait()
