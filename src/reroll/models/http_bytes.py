"""HTTP/1.1 as bytes: the head of a request, and a response read from pieces as they come. No socket here."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping

__all__ = ["MOST_BODY", "TOO_LONG", "BrokenOff", "Garbled", "Incoming", "request_head"]

HEAD_END = re.compile(rb"\r?\n\r?\n")
STATUS = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: .*)?")
NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
UNSENDABLE = re.compile(r"[\r\n\0]")
DIGITS, HEX = re.compile(r"[0-9]{1,18}"), re.compile(r"[0-9A-Fa-f]{1,15}")
LONGEST_HEAD = 1 << 16  # bytes
MOST_BODY = 1 << 28  # bytes, as they come and unpacked: more than any answer has, and no more than fits in memory
TOO_LONG = f"a body of more than {MOST_BODY // 2**20} MiB"
NO_BODY = (204, 304)


class Garbled(OSError):
    """What came is no HTTP/1.1; the text says what is wrong with it."""


class BrokenOff(OSError):
    """The connection ended in the middle of a body."""


def request_head(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    r"""The request line and headers, with the blank line. Raises: ValueError where a line break would add a header.

    >>> request_head("GET", "/v1/models", {"Host": "localhost"})
    b'GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n'
    """
    lines = [f"{method} {target} HTTP/1.1", *[f"{name}: {value}" for name, value in headers.items()]]
    if UNSENDABLE.search("".join(lines)):
        raise ValueError("a header can hold no line break")
    return "\r\n".join([*lines, "", ""]).encode()


class Incoming:
    """One response, fed in pieces of any size. `headers` have small letters, `body` is as it was before packing.

    Interim responses (1xx) are passed over. `keeps`: whether the connection may be used again.
    """

    __slots__ = ("_buffer", "_chunked", "_length", "_parts", "_size", "_trailers", "body", "headers", "keeps", "status")

    def __init__(self) -> None:
        self.status, self.body, self.keeps = 0, b"", False
        self.headers: dict[str, str] = {}
        self._buffer = bytearray()
        self._length: int | None = None  # of the body; None: it goes on to the end of the connection
        self._chunked = self._trailers = False
        self._parts: list[bytes] = []
        self._size = 0  # bytes that came

    def feed(self, data: bytes) -> bool:
        """Whether the response is whole with this piece. Raises: Garbled, also for more than a response."""
        self._size += len(data)
        if self._size > MOST_BODY + LONGEST_HEAD:
            raise Garbled(TOO_LONG)
        self._buffer += data
        while not self.status:
            if not self._take_head():
                return False
        if self._chunked:
            whole = self._take_chunks()
        elif self._length is None or len(self._buffer) < self._length:
            return False
        else:
            self._parts.append(bytes(self._buffer[: self._length]))
            del self._buffer[: self._length]
            whole = True
        if whole:
            if self._buffer:
                raise Garbled("more came than one response")
            self.body = _unpacked(b"".join(self._parts), self.headers.get("content-encoding", ""))
        return whole

    def end(self, error: Exception | None = None) -> None:
        """The connection ended; without an error, so does a body of no stated length.

        Raises: BrokenOff where more was to come; ConnectionResetError where not even the head is whole.
        """
        if not self.status:
            raise ConnectionResetError("closed before the response")
        if error is not None or self._chunked or self._length is not None:
            raise BrokenOff("closed in the middle of the body")
        self.body = _unpacked(bytes(self._buffer), self.headers.get("content-encoding", ""))

    def _take_head(self) -> bool:
        """Whether the head of a response, interim or not, was there to be taken."""
        found = HEAD_END.search(self._buffer)
        if found is None:
            if len(self._buffer) > LONGEST_HEAD:
                raise Garbled("headers that do not end")
            return False
        first, *rest = self._buffer[: found.start()].decode("utf-8", "surrogateescape").split("\n")
        del self._buffer[: found.end()]
        status = STATUS.fullmatch(first.rstrip("\r"))
        if status is None:
            raise Garbled("no HTTP/1.1")
        if (code := int(status[2])) < 200:
            if code == 101:
                raise Garbled("another protocol")
            return True
        for line in rest:
            name, colon, value = line.partition(":")
            if not colon or not NAME.fullmatch(name):
                raise Garbled("a header that is none")
            name, value = name.lower(), value.strip(" \t\r")
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
        self.status = code
        self._take_framing(closes=status[1] == "0")
        return True

    def _take_framing(self, closes: bool) -> None:
        """How long the body is, and whether another response can follow. closes: unless the server says otherwise."""
        coding, length = self.headers.get("transfer-encoding"), self.headers.get("content-length")
        if self.status in NO_BODY:
            self._length = 0
        elif coding is not None:
            if coding.lower() != "chunked" or length is not None:
                raise Garbled("a body whose end cannot be told")
            self._chunked = True
        elif length is not None:
            if not DIGITS.fullmatch(length):
                raise Garbled("a body whose end cannot be told")
            self._length = int(length)
            if self._length > MOST_BODY:
                raise Garbled(TOO_LONG)
        said = self.headers.get("connection", "").lower()
        kept = "keep-alive" in said if closes else "close" not in said
        self.keeps = kept and (self._chunked or self._length is not None)

    def _take_chunks(self) -> bool:
        """Take the chunks that are whole; whether the last one and the trailers after it are among them."""
        while (end := self._buffer.find(b"\n")) >= 0:
            line = self._buffer[:end].rstrip(b"\r")
            if self._trailers:
                del self._buffer[: end + 1]
                if not line:
                    return True
                continue
            text = line.split(b";")[0].strip().decode("latin-1")
            if not HEX.fullmatch(text):
                raise Garbled("a chunk without a size")
            if (size := int(text, 16)) == 0:
                self._trailers = True
                del self._buffer[: end + 1]
                continue
            start, stop = end + 1, end + 1 + size
            after = self._buffer.find(b"\n", stop)
            if after < 0:
                return False
            if self._buffer[stop:after].strip(b"\r"):
                raise Garbled("a chunk longer than its size")
            self._parts.append(bytes(self._buffer[start:stop]))
            del self._buffer[: after + 1]
        if len(self._buffer) > LONGEST_HEAD:
            raise Garbled("a chunk without a size")
        return False


def _unpacked(body: bytes, coding: str) -> bytes:
    """The body as it was before the server packed it; only what we ask for can be unpacked. Raises: Garbled."""
    coding = coding.lower()
    if coding in ("", "identity") or not body:
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise Garbled(f"a body packed as {coding}, which nobody asked for")
    for window in (47, -15):  # gzip or zlib, whichever it is; some servers send deflate without zlib's header
        unpack = zlib.decompressobj(window)
        try:
            whole = unpack.decompress(body, MOST_BODY + 1)
        except zlib.error:
            continue
        if len(whole) > MOST_BODY:
            raise Garbled(TOO_LONG)
        if not unpack.eof:
            break
        return whole
    raise Garbled(f"a body that is not the {coding} it says")
