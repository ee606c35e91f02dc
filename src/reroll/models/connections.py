"""Connections to one server, kept open between calls: what a call over them costs is what makes a run cheap."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from typing import TypeAlias, cast

import aiohappyeyeballs
from yarl import URL

from reroll.models.http_bytes import Garbled, Incoming, request_head

__all__ = ["Connections", "Unreachable"]

Address: TypeAlias = aiohappyeyeballs.AddrInfoType

KEPT = 30.0  # seconds that a connection waits for its next call
NAMES_KEPT = 10.0  # seconds that the addresses of a name are believed; a thousand connections ask once
NEXT_ADDRESS = 0.25  # seconds before a name's next address is tried beside the first (RFC 8305)


class Unreachable(OSError):
    """No connection came about; `cause` is what the system, the resolver (gaierror) or TLS (SSLError) said."""

    def __init__(self, host: str, port: int, cause: OSError) -> None:
        super().__init__(f"{host}:{port}: {cause}")
        self.host, self.port, self.cause = host, port, cause


class Connections:
    """Any number of connections to the server of `url`, each with one call at a time. Of one event loop."""

    def __init__(self, url: URL) -> None:
        assert url.host is not None
        assert url.raw_host is not None
        assert url.port is not None
        self._host, self._name, self._port = url.host, url.raw_host, url.port
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        if self._tls:
            self._tls.set_alpn_protocols(["http/1.1"])
        named = f"[{self._name}]" if ":" in self._name else self._name
        self._place = named if url.is_default_port() else f"{named}:{self._port}"
        self._idle: deque[_Link] = deque()
        self._open: set[_Link] = set()
        self._loop = asyncio.get_running_loop()
        self._asking: asyncio.Future[list[Address]] | None = None  # for the addresses of the name
        self._asked = 0.0

    async def send(self, method: str, url: URL, headers: Mapping[str, str], body: bytes, seconds: float) -> Incoming:
        """One call, its response read to the end.

        Raises: TimeoutError after `seconds`; Unreachable; ConnectionResetError before a response, BrokenOff within
        one; Garbled for what is none.
        """
        head = {"Host": self._place, "Accept": "*/*", "Accept-Encoding": "gzip, deflate", **headers}
        if body or method != "GET":
            head["Content-Length"] = str(len(body))
        data = request_head(method, url.raw_path_qs, head) + body
        until = self._loop.time() + seconds
        link = self._kept()
        if link is None:
            async with asyncio.timeout_at(until):
                link = await self._connect()
        try:
            got = await link.call(data, until)
        except BaseException:  # whatever still comes would be taken for the next call's response
            link.abort()
            raise
        if got.keeps and not link.busy:
            link.since = self._loop.time()
            self._idle.append(link)
        else:
            link.close()
        return got

    async def close(self) -> None:
        """End all connections, also those with a call."""
        for link in tuple(self._open):
            link.abort()
        self._idle.clear()
        if self._asking is not None:
            self._asking.cancel()
        await asyncio.sleep(0)  # that they are gone is told in the next turn of the loop

    def _kept(self) -> _Link | None:
        """The connection used last that may be used again, if there is one."""
        too_old = self._loop.time() - KEPT
        while self._idle and self._idle[0].since < too_old:
            self._idle.popleft().abort()
        while self._idle:
            link = self._idle.pop()
            if not link.closed:
                return link
        return None

    async def _connect(self) -> _Link:
        try:
            near = await self._addresses()
            held = await aiohappyeyeballs.start_connection(near, happy_eyeballs_delay=NEXT_ADDRESS, interleave=1)
            name = self._name if self._tls else None
            try:
                _, link = await self._loop.create_connection(
                    lambda: _Link(self._open), sock=held, ssl=self._tls, server_hostname=name
                )
            except BaseException:
                held.close()
                raise
        except OSError as error:
            raise Unreachable(self._host, self._port, error) from error
        except UnicodeError as error:  # it can be no name
            unknown = socket.gaierror(socket.EAI_NONAME, str(error))
            raise Unreachable(self._host, self._port, unknown) from error
        return link

    async def _addresses(self) -> list[Address]:
        """Where the name leads, asked once for all that want to know at a time."""
        if self._asking is None or (self._asking.done() and self._loop.time() > self._asked + NAMES_KEPT):
            self._asking, self._asked = asyncio.ensure_future(look_up(self._name, self._port)), self._loop.time()
            self._asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())  # seen, if none waits
        asked = self._asking
        try:
            return await asyncio.shield(asked)  # who stops waiting must not stop the others
        except OSError:
            if self._asking is asked:
                self._asking = None
            raise


async def look_up(name: str, port: int) -> list[Address]:
    """The addresses that the system's resolver gives for a name. Raises: OSError (gaierror), UnicodeError."""
    found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return cast(list[Address], found)


class _Link(asyncio.Protocol):
    """One connection; `among` are those that are open."""

    __slots__ = ("_among", "_incoming", "_transport", "_waiting", "since")

    def __init__(self, among: set[_Link]) -> None:
        self._among = among
        self._incoming = Incoming()
        self._waiting: asyncio.Future[Incoming] | None = None  # for the response
        self.since = 0.0  # when its last call ended, by the loop's clock

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._among.add(self)

    async def call(self, data: bytes, until: float) -> Incoming:
        """The response to what is sent. Raises: TimeoutError at `until`, by the loop's clock."""
        loop = asyncio.get_running_loop()
        self._incoming = Incoming()
        self._waiting = loop.create_future()
        self._transport.write(data)
        late = loop.call_at(until, self._settle, TimeoutError())
        try:
            return await self._waiting
        finally:
            late.cancel()

    @property
    def busy(self) -> bool:
        """Whether the server answered before it had all of the request."""
        return self._transport.get_write_buffer_size() > 0

    @property
    def closed(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._transport.close()

    def abort(self) -> None:
        """End it at once, whatever was not sent yet."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._waiting is None:  # nobody asked for anything
            return self.abort()
        try:
            if self._incoming.feed(data):
                self._settle(None)
        except Garbled as error:
            self._settle(error)

    def connection_lost(self, error: Exception | None) -> None:
        self._among.discard(self)
        if self._waiting is None:
            return
        try:
            self._incoming.end(error)
        except OSError as broken:
            self._settle(broken)
        else:
            self._settle(None)

    def _settle(self, error: OSError | None) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            if error is None:
                waiting.set_result(self._incoming)
            else:
                waiting.set_exception(error)
