"""Long texts, tokens with their logprobs, and raw bodies, as small blobs; exact both ways."""

from __future__ import annotations

import json
import struct
import sys
import threading
import zlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reroll.sample import Token

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["LONG", "Base", "base_of", "pack_text", "pack_tokens", "unpack_all", "unpack_text", "unpack_tokens"]

LONG = 200  # characters: zstd makes nothing of less
LEVEL = 1  # on 1 KB of text it takes a third of zlib's time for fewer bytes; higher levels gain nothing there
ZSTD = b"\x28\xb5\x2f\xfd"  # how zstd's frames begin; what older versions wrote is zlib

_here = threading.local()  # a compressor serves one thread, and making one costs more than using it


def pack_text(text: str) -> bytes:
    return _shrink(text.encode(errors="surrogatepass"))


def unpack_text(blob: bytes) -> str:
    return _grow(blob).decode(errors="surrogatepass")


def _shrink(data: bytes) -> bytes:
    compressor = getattr(_here, "compressor", None)
    if compressor is None:
        compressor = _here.compressor = zstd.ZstdCompressor(level=LEVEL)
    blob: bytes = compressor.compress(data, mode=zstd.ZstdCompressor.FLUSH_FRAME)
    return blob


def _grow(blob: bytes) -> bytes:
    data: bytes = zstd.decompress(blob) if blob[:4] == ZSTD else zlib.decompress(blob)
    return data


# Format 2: the byte 2, then zstd of these counts and arrays, little-endian: per token its length where the
# tokens make up the text, else the number of its text; its flags; how many alternatives; per alternative the
# number of its text; ids; ids of alternatives, where they are known; logprobs of tokens and of alternatives,
# byte by byte; the numbered texts as a JSON list.
# What a token shares with an earlier sample of its request is stored there, once for all that begin alike.
HEAD = struct.Struct("<BQIIII")  # bits; that sample's seq, tokens shared with it; tokens, alternatives, logprobs
WIDE, SPELT, LARGE, ALIKE, SMALL = 1, 2, 4, 8, 16
HAS_LOGPROB, HAS_ID, HAS_TOP_IDS = 1, 2, 4


@dataclass(frozen=True, slots=True)
class Base:
    """The earlier sample whose first `shared` tokens are also this one's."""

    seq: int
    shared: int


def pack_tokens(tokens: Sequence[Token], text: str = "", base: Base | None = None) -> bytes:
    """The tokens of a completion with this text, exactly: logprobs in 4 bytes where all are such numbers, else in 8.

    >>> unpack_tokens(pack_tokens([Token("hi", -0.5, (("hi", -0.5), ("ho", -0.93)), 7)], "hi"), "hi")
    (Token(text='hi', logprob=-0.5, top=(('hi', -0.5), ('ho', -0.93)), id=7, top_ids=()),)
    """
    shared = base.shared if base else 0
    own = tokens[shared:]
    places: dict[str, int] = {}
    if spelt := "".join([t.text for t in tokens]) == text:
        texts = [len(t.text) for t in own]
    else:
        texts = [places.setdefault(t.text, len(places)) for t in own]
    alternatives = [pair for t in own for pair in t.top]
    numbered = [places.setdefault(word, len(places)) for word, _ in alternatives]
    tops = [len(t.top) for t in own] if alternatives else []
    flags = bytes([_flags(t) for t in own])
    alike = len(set(flags)) <= 1
    ids = [t.id for t in own if t.id is not None]
    top_ids = [number for t in own for number in t.top_ids]
    logprobs = [t.logprob for t in own if t.logprob is not None] + [number for _, number in alternatives]
    narrow = array("f", logprobs)
    wide = narrow.tolist() != logprobs
    counts = (*texts, *tops, *numbered)
    most = max(counts, default=0)
    bits = wide * WIDE | spelt * SPELT | (most > 65535) * LARGE | alike * ALIKE | (most < 256) * SMALL
    head = HEAD.pack(bits, base.seq if base else 0, shared, len(own), len(alternatives), len(logprobs))
    parts = [
        head,
        flags[:1] if alike else flags,
        _little(array(_form(bits), counts)),
        _little(array("q", ids)),
        _planes(_little(array("q", top_ids)), 8),
        _planes(_little(array("d", logprobs) if wide else narrow), 8 if wide else 4),
    ]
    if places:
        parts.append(json.dumps(list(places), separators=(",", ":")).encode())
    return b"\x02" + _shrink(b"".join(parts))


def _flags(token: Token) -> int:
    """Which of its numbers this token has."""
    has = (token.logprob is not None, token.id is not None, bool(token.top_ids))
    return has[0] * HAS_LOGPROB | has[1] * HAS_ID | has[2] * HAS_TOP_IDS


def _form(bits: int) -> str:
    """How counts are stored."""
    return "I" if bits & LARGE else "B" if bits & SMALL else "H"


def _planes(data: bytes, width: int) -> bytes:
    """First bytes of all numbers, then their second bytes, ...: exponents, which are much alike, come together."""
    return b"".join([data[i::width] for i in range(width)])


def _little(values: array[Any]) -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _read(form: str, data: bytes, at: int, count: int) -> tuple[array[Any], int]:
    values = array(form)
    end = at + values.itemsize * count
    values.frombytes(data[at:end])
    if sys.byteorder == "big":
        values.byteswap()
    return values, end


def base_of(blob: bytes) -> Base | None:
    """Which earlier sample is needed to unpack this."""
    if blob[:1] != b"\x02":
        return None
    _, seq, shared, *_ = HEAD.unpack_from(_grow(blob[1:]))
    return Base(seq, shared) if shared else None


def unpack_tokens(blob: bytes, text: str = "", earlier: Sequence[Token] = ()) -> tuple[Token, ...]:
    """The tokens of a completion with this text; `earlier`: those of the sample that `base_of` names."""
    if blob[:1] == b"\x01":
        return _unpack_first(blob)
    if blob[:1] != b"\x02":
        raise ValueError(f"token format {blob[:1]!r} is not known; upgrade reroll")
    data = _grow(blob[1:])
    bits, _, shared, n, n_tops, n_numbers = HEAD.unpack_from(data)
    at = HEAD.size
    flags = data[at : at + 1] * n if bits & ALIKE else data[at : at + n]
    at += min(n, 1) if bits & ALIKE else n
    counts, at = _read(_form(bits), data, at, n + (n if n_tops else 0) + n_tops)
    ids, at = _read("q", data, at, sum(bool(f & HAS_ID) for f in flags))
    tops = counts[n : n * 2] if n_tops else array("B", bytes(n))
    n_ids = sum(top for flag, top in zip(flags, tops, strict=True) if flag & HAS_TOP_IDS)
    top_ids, _ = _read("q", _planes(data[at : at + 8 * n_ids], n_ids or 1), 0, n_ids)
    at += 8 * n_ids
    end = at + n_numbers * (8 if bits & WIDE else 4)
    numbers, _ = _read("d" if bits & WIDE else "f", _planes(data[at:end], n_numbers or 1), 0, n_numbers)
    at = end
    strings = json.loads(data[at:]) if at < len(data) else []
    first = earlier[:shared]
    texts: list[str] = []
    if bits & SPELT:
        place = sum(len(t.text) for t in first)
        for length in counts[:n]:
            texts.append(text[place : place + length])
            place += length
    else:
        texts = [strings[i] for i in counts[:n]]
    each_id, each_number = iter(ids), iter(numbers)
    logprobs = [next(each_number) if flag & HAS_LOGPROB else None for flag in flags]
    listed = iter([(strings[i], next(each_number)) for i in counts[n * 2 :]] if n_tops else [])
    each_top = iter(top_ids)
    own = [
        Token(
            word,
            logprob,
            tuple(next(listed) for _ in range(top)),
            next(each_id) if flag & HAS_ID else None,
            tuple(next(each_top) for _ in range(top)) if flag & HAS_TOP_IDS else (),
        )
        for word, logprob, top, flag in zip(texts, logprobs, tops, flags, strict=True)
    ]
    return (*first, *own)


# Format 1, of stores that an older reroll wrote: the byte 1, then zlib of: these counts, the different texts as a
# JSON list, then per token its flags, number of alternatives and text; per alternative its text; ids; logprobs.
COUNTS = struct.Struct("<BIIIII")  # wide logprobs?, bytes of texts, tokens, alternatives, ids, logprobs


def _unpack_first(blob: bytes) -> tuple[Token, ...]:
    data = zlib.decompress(blob[1:])
    wide, n_bytes, n_tokens, n_tops, n_ids, n_numbers = COUNTS.unpack_from(data)
    at = COUNTS.size + n_bytes
    strings = json.loads(data[COUNTS.size : at])
    flags = data[at : at + n_tokens]
    ints = iter(struct.unpack_from(f"<{n_tokens * 2 + n_tops}I", data, at + n_tokens))
    at += n_tokens + 4 * (n_tokens * 2 + n_tops)
    ids = iter(struct.unpack_from(f"<{n_ids}q", data, at))
    numbers = iter(struct.unpack_from(f"<{n_numbers}{'d' if wide else 'f'}", data, at + 8 * n_ids))
    tops = [next(ints) for _ in range(n_tokens)]
    texts = [strings[next(ints)] for _ in range(n_tokens)]
    return tuple(
        Token(
            text,
            next(numbers) if flag & HAS_LOGPROB else None,
            tuple((strings[next(ints)], next(numbers)) for _ in range(top)),
            next(ids) if flag & HAS_ID else None,
        )
        for flag, top, text in zip(flags, tops, texts, strict=True)
    )


def unpack_all(blobs: Mapping[int, tuple[bytes, str]]) -> dict[int, tuple[Token, ...]]:
    """The tokens of samples by seq, from (blob, text); all the samples that they begin like must be there."""
    out: dict[int, tuple[Token, ...]] = {}
    for seq in blobs:
        path = [seq]  # from the sample back to the first that it begins like: a loop, as there may be many
        while (base := base_of(blobs[path[-1]][0])) is not None and base.seq not in out:
            path.append(base.seq)
        for one in reversed(path):
            blob, text = blobs[one]
            base = base_of(blob)
            out[one] = unpack_tokens(blob, text, out[base.seq] if base else ())
    return out
