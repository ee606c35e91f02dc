"""The bytes between us and a server: read alike however they arrive, and never one call's answer for another's."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import aiohttp
import pytest
from yarl import URL

from reroll.models import connections, http_bytes
from reroll.models.connections import Connections, Unreachable
from reroll.models.http_bytes import BrokenOff, Garbled, Incoming, request_head
from reroll.models.model import Draw
from reroll.models.openai import OpenAIModel
from reroll.models.wire import Policy
from reroll.program import Request
from reroll.sample import Sample
from tests.fake_server import answer, hang, serving

RAW_DEFLATE = zlib.compressobj(wbits=-15)
DEFLATED = RAW_DEFLATE.compress(b"yes") + RAW_DEFLATE.flush()
HEADERS = b"Content-Type: application/json\r\nX-Request-Id: r1\r\n"


def sized(body: bytes, *more: bytes, status: bytes = b"200 OK") -> bytes:
    lines = (b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *more, b"", body)
    return b"\r\n".join(lines)


WHOLE = {
    "of a stated length": (sized(b"yes", HEADERS.strip()), b"yes"),
    "empty": (sized(b""), b""),
    "in chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\ny\r\n2\r\nes\r\n0\r\n\r\n", b"yes"),
    "in chunks with all that is allowed": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n00A;a=b\r\nline\r\n1\r\n2\r\n0;c\r\nX-Sum: 1\r\n\r\n",
        b"line\r\n1\r\n2",
    ),
    "without carriage returns": (b"HTTP/1.1 200 OK\nContent-Length: 3\n\nyes", b"yes"),
    "after hints": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + sized(b"yes"),
        b"yes",
    ),
    "packed by gzip": (sized(gzip.compress(b"yes", mtime=0), b"Content-Encoding: gzip"), b"yes"),
    "packed by zlib": (sized(zlib.compress(b"yes"), b"Content-Encoding: Deflate"), b"yes"),
    "packed without zlib's header": (sized(DEFLATED, b"Content-Encoding: deflate"), b"yes"),
    "without a reason": (sized(b"yes", status=b"200"), b"yes"),
    "without any body": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
}
ENDLESS = {
    "to the end of the connection": (b"HTTP/1.1 200 OK\r\n\r\nyes", b"yes"),
    "as HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nyes", b"yes"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_response_reads_alike_wherever_it_is_cut(name: str) -> None:
    data, body = WHOLE[name]
    for cut in range(len(data)):
        got = Incoming()
        assert not got.feed(data[:cut])
        assert got.feed(data[cut:])
        assert (got.status, got.body) == (204 if not body and b"204" in data else 200, body)
    bytewise = Incoming()
    assert [bytewise.feed(data[k : k + 1]) for k in range(len(data))] == [False] * (len(data) - 1) + [True]
    assert bytewise.body == body


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "no HTTP/1.1"),
        (b"HTTP/2 200\r\n\r\n", "no HTTP/1.1"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: tls\r\n\r\n", "another protocol"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "a header that is none"),
        (b"HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nyes", "a header that is none"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nyes", "a body whose end cannot be told"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nyes", "a body whose end cannot be told"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "a body whose end cannot be told",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "a body whose end cannot be told"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nyes\r\n", "a chunk without a size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nyes\r\n", "a chunk longer than its size"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "headers that do not end"),
        (sized(b"yes") + b"HTTP/1.1 200 OK\r\n", "more came than one response"),
        (sized(b"yes", b"Content-Encoding: br"), "a body packed as br, which nobody asked for"),
        (sized(b"yes", b"Content-Encoding: gzip"), "a body that is not the gzip it says"),
        (sized(gzip.compress(b"yes", mtime=0)[:-4], b"Content-Encoding: gzip"), "a body that is not the gzip it says"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 268435457\r\n\r\n", "a body of more than 256 MiB"),
    ],
)
def test_what_is_no_response_is_refused_in_words(data: bytes, words: str) -> None:
    with pytest.raises(Garbled, match=f"^{words}$"):
        Incoming().feed(data)


def test_a_bomb_is_refused_as_soon_as_it_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_bytes, "MOST_BODY", 100_000)
    bomb = gzip.compress(bytes(100_001), mtime=0)
    assert len(bomb) < 200
    with pytest.raises(Garbled, match="a body of more than"):
        Incoming().feed(sized(bomb, b"Content-Encoding: gzip"))
    got = Incoming()
    assert got.feed(sized(gzip.compress(bytes(100_000), mtime=0), b"Content-Encoding: gzip"))
    assert len(got.body) == 100_000
    endless = Incoming()
    endless.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    endless.feed(bytes(150_000))
    with pytest.raises(Garbled, match="a body of more than"):
        endless.feed(bytes(50_000))


def test_a_line_break_cannot_add_a_header() -> None:
    for headers in ({"X": "a\r\nHost: elsewhere"}, {"X\nY": "a"}, {"X": "a\0"}):
        with pytest.raises(ValueError, match="no line break"):
            request_head("GET", "/", headers)


# -- over real sockets

Peer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def listening(peer: Peer) -> AsyncIterator[URL]:
    """The address of a server that does this with every connection."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await peer(reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat")


def saying(*pieces: bytes) -> Peer:
    """A server that says these things, each once it has read a request, and then closes."""

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            await reader.readuntil(b"}")
            writer.write(piece)
            await writer.drain()

    return peer


BODY = b'{"messages": []}'


@contextlib.asynccontextmanager
async def connected_to(url: URL) -> AsyncIterator[Connections]:
    kept = Connections(url)
    try:
        yield kept
    finally:
        await kept.close()
        assert not kept._open


def call(kept: Connections, url: URL, seconds: float = 5.0, body: bytes = BODY) -> Coroutine[Any, Any, Incoming]:
    return kept.send("POST", url, {"Content-Type": "application/json"}, body, seconds)


async def number_of(kept: Connections, wanted: int) -> None:
    """Wait until so many connections are open."""
    while len(kept._open) != wanted:  # noqa: ASYNC110 (nothing tells of it)
        await asyncio.sleep(0)


@pytest.mark.parametrize("name", [*WHOLE, *ENDLESS])
def test_every_response_reads_as_a_client_of_others_reads_it(name: str) -> None:
    data, body = {**WHOLE, **ENDLESS}[name]

    async def both() -> tuple[Incoming, int, bytes]:
        async with listening(saying(data)) as url, connected_to(url) as kept:
            ours = await call(kept, url)
            async with aiohttp.ClientSession() as session, session.post(url, data=b"{}") as theirs:
                return ours, theirs.status, await theirs.read()

    ours, status, theirs = asyncio.run(both())
    assert (ours.status, ours.body) == (status, theirs)
    assert ours.body == body


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", ConnectionResetError),
        (b"HTTP/1.1 200 OK\r\nContent-Le", ConnectionResetError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nyes", BrokenOff),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nyes\r\n", BrokenOff),
        (b"220 mail.example ESMTP\r\n\r\n", Garbled),
    ],
)
def test_an_answer_that_breaks_off_is_none(data: bytes, error: type[OSError]) -> None:
    async def run() -> None:
        async with listening(saying(data)) as url, connected_to(url) as kept:
            with pytest.raises(error):
                await call(kept, url)

    asyncio.run(run())


def test_calls_in_turn_share_one_connection_and_calls_at_once_have_their_own() -> None:
    async def run() -> None:
        async with serving(answer()) as (server, base):
            url = URL(f"{base}/v1/chat/completions")
            async with connected_to(url) as kept:
                for _ in range(3):
                    assert (await call(kept, url)).status == 200
                assert len(kept._open) == 1
                await asyncio.gather(*(call(kept, url) for _ in range(5)))
                assert len(kept._open) == 5
            assert server.calls == 8

    asyncio.run(run())


@pytest.mark.parametrize("said", [sized(b"yes", b"Connection: close"), ENDLESS["as HTTP/1.0"][0], sized(b"yes")])
def test_where_the_server_closes_after_an_answer_the_next_call_opens_anew(said: bytes) -> None:
    opened = 0

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await saying(said)(reader, writer)

    async def run() -> None:
        async with listening(peer) as url, connected_to(url) as kept:
            for _ in range(3):
                assert (await call(kept, url)).body == b"yes"
                await number_of(kept, 0)

    asyncio.run(run())
    assert opened == 3


def test_a_connection_that_was_kept_too_long_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = 0

    async def patient(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await saying(sized(b"yes"), sized(b"yes"), sized(b"yes"))(reader, writer)

    async def run() -> None:
        async with listening(patient) as url, connected_to(url) as kept:
            await call(kept, url)
            await call(kept, url)
            assert opened == 1
            monkeypatch.setattr(connections, "KEPT", -1.0)
            await call(kept, url)
            assert opened == 2

    asyncio.run(run())


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://localhost:80/v1", "localhost"),
        ("https://localhost:443/v1", "localhost"),
        ("https://localhost:8443/v1", "localhost:8443"),
        ("http://[::1]:8080/v1", "[::1]:8080"),
    ],
)
def test_the_server_is_called_by_its_name_and_a_port_that_is_not_usual(url: str, host: str) -> None:
    async def place() -> str:
        return Connections(URL(url))._place

    assert asyncio.run(place()) == host


def test_what_comes_too_late_is_not_taken_for_the_next_answer() -> None:
    asked = 0

    async def late_at_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        nth = asked
        await reader.readuntil(b"}")
        if nth == 1:
            await over.wait()
        writer.write(sized(b"answer %d" % nth))
        await writer.drain()

    over = asyncio.Event()

    async def run() -> None:
        async with listening(late_at_first) as url, connected_to(url) as kept:
            with pytest.raises(TimeoutError):
                await call(kept, url, 0.05)
            over.set()
            assert (await call(kept, url)).body == b"answer 2"

    asyncio.run(run())


def test_what_nobody_asked_for_ends_the_connection() -> None:
    opened = 0

    async def talkative(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await saying(sized(b"answer %d" % opened))(reader, writer)
        if opened == 1:
            await over.wait()
            writer.write(sized(b"and another thing"))
            await reader.read()  # to the end

    over = asyncio.Event()

    async def run() -> None:
        async with listening(talkative) as url, connected_to(url) as kept:
            assert (await call(kept, url)).body == b"answer 1"
            over.set()
            await number_of(kept, 0)
            assert (await call(kept, url)).body == b"answer 2"

    asyncio.run(run())


def test_an_answer_before_all_was_sent_is_taken_and_the_connection_left() -> None:
    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sized(b"too large", status=b"413 Content Too Large"))
        await writer.drain()
        await over.wait()

    over = asyncio.Event()

    async def run() -> None:
        async with listening(hasty) as url, connected_to(url) as kept:
            got = await call(kept, url, body=b"x" * 20_000_000)
            assert (got.status, got.body) == (413, b"too large")
            over.set()
            await number_of(kept, 0)

    asyncio.run(run())


def test_a_call_that_is_given_up_gives_up_its_connection() -> None:
    async def run() -> None:
        async with serving(hang()) as (_, base):
            url = URL(f"{base}/v1/chat/completions")
            async with connected_to(url) as kept:
                calling = asyncio.create_task(call(kept, url))
                await number_of(kept, 1)
                calling.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await calling
                await number_of(kept, 0)

    asyncio.run(run())


def test_a_name_is_looked_up_once_for_all_and_again_after_it_was_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    known = True

    async def look_up(name: str, port: int) -> Any:
        asked.append(name)
        await asyncio.sleep(0)
        if not known:
            raise OSError("gone")
        return await found("127.0.0.1", port)

    found = connections.look_up
    monkeypatch.setattr(connections, "look_up", look_up)

    async def run() -> None:
        nonlocal known
        async with serving(answer()) as (_, url):
            at = URL(f"{url}/v1/chat/completions").with_host("bücher.example")
            async with connected_to(at) as kept:
                await asyncio.gather(*(call(kept, at) for _ in range(20)))
                assert asked == ["xn--bcher-kva.example"]
            async with connected_to(at) as kept:
                known = False
                for _ in range(2):
                    with pytest.raises(Unreachable):
                        await call(kept, at)
                known = True
                assert (await call(kept, at)).status == 200
                assert len(asked) == 4

    asyncio.run(run())


# -- behind a proxy


def drawn_through(peer: Peer, base_url: str, monkeypatch: pytest.MonkeyPatch) -> Sample:
    """One draw, one try, with this proxy in the environment."""

    async def run() -> Sample:
        async with listening(peer) as proxy:
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.delenv("no_proxy", raising=False)
            model = OpenAIModel("tiny", base_url, environment={}, policy=Policy(timeout=5, tries=1))
            try:
                return await model.draw(Draw(Request("openai:tiny", None, {"messages": []}), "case", 0))
            finally:
                await model.close()

    return asyncio.run(run())


def test_a_proxy_is_asked_for_the_whole_address(monkeypatch: pytest.MonkeyPatch) -> None:
    heads: list[bytes] = []
    said = b'{"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}'

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        await reader.readuntil(b"}")
        writer.write(sized(said, b"Content-Type: application/json; charset=utf-8", b"X-Request-Id: r1"))
        await writer.drain()

    sample = drawn_through(proxy, "http://models.example", monkeypatch)
    assert sample.completion is not None
    assert sample.completion.text == "yes"
    assert sample.attempts[0].request_id == "r1"
    assert heads[0].startswith(b"POST http://models.example/v1/chat/completions HTTP/1.1\r\nHost: models.example\r\n")


@pytest.mark.parametrize(
    ("base_url", "answer_of_proxy", "words"),
    [
        ("http://models.example", b"", "connection reset"),
        ("http://models.example", sized(b"yes")[:-1], "connection broke in the middle of the body"),
        ("https://models.example", sized(b"", status=b"407 Proxy Authentication Required"), "the proxy says http 407"),
    ],
)
def test_what_goes_wrong_at_a_proxy_is_said_as_elsewhere(
    monkeypatch: pytest.MonkeyPatch, base_url: str, answer_of_proxy: bytes, words: str
) -> None:
    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer_of_proxy)
        await writer.drain()

    sample = drawn_through(proxy, base_url, monkeypatch)
    assert sample.error is not None
    assert words in sample.error
    assert [a.error for a in sample.attempts] == [sample.error]
