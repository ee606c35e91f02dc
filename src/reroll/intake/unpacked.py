"""A file into the JSON values that it holds, whatever it is packed and encoded with, within stated limits."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from reroll.errors import FileError
from reroll.intake.taken import Skipped, Value
from reroll.json_text import json_value

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["MOST_BYTES", "MOST_VALUE", "Amiss", "beginning", "opened", "values_of"]

JSON = Any
# What a packed file may unpack to, and what one JSON value (a line, or a whole file that is one) may take.
MOST_BYTES = 64 * 2**30
MOST_VALUE = 100 * 2**20
# More than this, and more than so many times what was packed, is no recording but a bomb.
SUSPICIOUS = 2**28
MOST_RATIO = 500
DECODER = json.JSONDecoder(parse_constant=str)  # says where a value ends that others follow
DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, zstd.ZstdError)
BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class Amiss(Exception):
    """The bytes end early, are damaged, or are more than the limits allow; the text says which."""


class Bounded(io.RawIOBase):
    """What unpacks, but no more than the limits: reading on raises Amiss."""

    def __init__(self, source: IO[bytes], packed: int) -> None:
        super().__init__()
        self._source, self._packed, self._read = source, packed, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._source.read(min(len(buffer), 2**16))
        except DAMAGED:
            raise Amiss("the packed file breaks off or is damaged here; copy it again") from None
        self._read += len(data)
        bomb = self._read > SUSPICIOUS and self._read > MOST_RATIO * max(1, self._packed)
        if bomb or self._read > MOST_BYTES:
            limit = f"{MOST_RATIO} times its size" if bomb else f"{MOST_BYTES // 2**30} GiB"
            raise Amiss(f"the file unpacks to more than {limit}, which no recording does; nothing more of it is read")
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, unpacked where they are gzipped or zstd-compressed. Raises: FileError."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            if head[:2] == b"\x1f\x8b":
                # Left to the garbage collector with its file: the reader holds nothing of its own.
                inner: IO[bytes] = gzip.GzipFile(fileobj=file)  # type: ignore[assignment]
            elif head == b"\x28\xb5\x2f\xfd":
                inner = zstd.ZstdFile(file)  # type: ignore[assignment]
            else:
                yield file
                return
            yield io.BufferedReader(Bounded(inner, size), 2**16)
    except FileNotFoundError:
        raise FileError(path, "there is no such file", slug="import-file") from None
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror or error}", slug="import-file") from None


def values_of(path: Path, source: IO[bytes]) -> Iterator[Value | Skipped]:
    """The JSON values of a text: one a line, or one over many lines, or a list of them; a `curl` command is a text.

    A line that is no JSON is skipped with its number. Raises: FileError for what is no JSON from the start.
    """
    lines = _lines(path, source)
    first = next((line for line in lines if isinstance(line, Skipped) or line[1].strip()), None)
    if first is None:
        raise FileError(path, "the file is empty; give one with recorded calls", slug="import-file")
    if isinstance(first, Skipped):
        raise FileError(path, first.why, line=1, slug="import-file")
    number, text = first
    if text.lstrip().startswith("curl"):
        yield Value(f"{path}:{number}", None, _whole(path, text, lines))
        return
    try:
        value = json_value(text)
    except ValueError:
        yield from _over_lines(path, number, text, lines)
        return
    if isinstance(value, list):
        yield from _items(path, value)
    else:
        yield Value(f"{path}:{number}", value, text)
    yield from _line_by_line(path, lines)


def beginning(source: IO[bytes]) -> bytes:
    """The first four bytes, which are read again afterwards; none where they are damaged."""
    try:
        return source.peek(4)[:4] if isinstance(source, io.BufferedReader) else b""
    except Amiss:
        return b""


Line = tuple[int, str]


def _lines(path: Path, source: IO[bytes]) -> Iterator[Line | Skipped]:
    """Numbered lines as text. A line that is too long or not in the file's encoding is skipped with its reason."""
    head = beginning(source)
    encoding = next((name for bom, name in BOMS if head.startswith(bom)), _guess(head))
    if encoding.startswith("utf-16"):
        yield from enumerate(_utf16(path, source, encoding), 1)
        return
    number = 0
    while True:
        number += 1
        try:
            line = source.readline(MOST_VALUE + 1)
            if len(line) > MOST_VALUE:
                yield Skipped("", f"{path}:{number}", f"is longer than {MOST_VALUE // 2**20} MiB, the most for a line")
                while len(line) > MOST_VALUE and not line.endswith(b"\n"):
                    line = source.readline(MOST_VALUE + 1)
                continue
        except Amiss as amiss:
            yield Skipped("", f"{path}:{number}", str(amiss))
            return
        if not line:
            return
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            yield Skipped("", f"{path}:{number}", "is not in the encoding of the file (UTF-8)")


def _guess(head: bytes) -> str:
    """UTF-16 without a mark begins with a character of one byte and a zero."""
    if len(head) == 4 and head[1] == head[3] == 0 and head[0]:
        return "utf-16-le"
    return "utf-16-be" if len(head) == 4 and head[0] == head[2] == 0 and head[1] else "utf-8"


def _utf16(path: Path, source: IO[bytes], encoding: str) -> Iterator[str]:
    try:
        yield from io.TextIOWrapper(source, encoding)
    except UnicodeDecodeError:
        raise FileError(
            path, "begins as UTF-16 and goes on as something else; save it as UTF-8", slug="import-file"
        ) from None
    except Amiss as amiss:
        raise FileError(path, str(amiss), slug="import-file") from None


def _whole(path: Path, begun: str, lines: Iterable[Line | Skipped]) -> str:
    pieces, size = [begun], len(begun)
    for line in lines:
        if isinstance(line, Skipped):
            raise FileError(path, line.why, slug="import-file")
        size += len(line[1])
        if size > MOST_VALUE:
            problem = f"is one JSON value of more than {MOST_VALUE // 2**20} MiB; write one record a line instead"
            raise FileError(path, problem, slug="import-file")
        pieces.append(line[1])
    return "".join(pieces)


def _over_lines(path: Path, number: int, begun: str, lines: Iterable[Line | Skipped]) -> Iterator[Value | Skipped]:
    """Values that go over several lines, one after the other."""
    if begun.lstrip()[:1] not in ("{", "["):
        raise FileError(path, "does not begin with JSON", line=number, slug="import-format")
    text = _whole(path, begun, lines)
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        line = number + text.count("\n", 0, place)
        try:
            value, end = DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            if place == 0:
                at = number + text.count("\n") if _breaks_off(text) else number
                problem = "is no whole JSON; does the file break off?"
                raise FileError(path, problem, line=at, slug="import-file") from None
            yield Skipped("", f"{path}:{line}", "is no JSON; does the file break off here?")
            return
        if isinstance(value, list):
            yield from _items(path, value)
        else:
            yield Value(f"{path}:{line}", value, text[place:end])
        place = end


def _breaks_off(text: str) -> bool:
    return text.rstrip()[-1:] not in ("}", "]")


def _items(path: Path, values: list[JSON]) -> Iterator[Value]:
    for i, value in enumerate(values, 1):
        yield Value(f"{path}, entry {i}", value)


def _line_by_line(path: Path, lines: Iterable[Line | Skipped]) -> Iterator[Value | Skipped]:
    name = str(path)
    for line in lines:
        if isinstance(line, Skipped):
            yield line
            continue
        number, text = line
        if text.isspace():
            continue
        try:
            value = json_value(text)
        except ValueError:
            breaks = "is no JSON; does the file break off here?" if not text.endswith("\n") else "is no JSON"
            yield Skipped("", f"{name}:{number}", breaks)
            continue
        yield Value(f"{name}:{number}", value, text)
