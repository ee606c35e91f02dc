"""What an exporter sends over HTTP into spans: unpacked within limits, as protobuf or JSON, each span by itself.

A body is walked down to its spans before protobuf's own reader sees any of it, and that reads one span at a time. So a
span that cannot be read takes no other with it, and a body made to fill the memory is refused by its count of spans.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from reroll.intake.moments import moment
from reroll.intake.otlp import CALLS_BEGIN, error_of, may_be_call, spans_of
from reroll.intake.spans import Event, Span
from reroll.json_text import json_value

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = [
    "MOST_BODY",
    "MOST_SPAN",
    "MOST_SPANS",
    "MOST_UNPACKED",
    "Body",
    "Encoding",
    "Found",
    "Junk",
    "Signal",
    "TooMuch",
    "in_it",
    "number",
    "spans_in",
    "tagged",
    "unpacked",
    "without",
]

JSON = Any
Signal = Literal["traces", "logs"]
Encoding = Literal["protobuf", "json"]

MOST_BODY = 20 * 2**20  # bytes of a request, as a Collector's receiver takes them
MOST_UNPACKED: Mapping[Encoding, int] = {"protobuf": 64 * 2**20, "json": 16 * 2**20}  # JSON grows when it is read
MOST_SPANS = 50_000  # in one request; exporters send 512, Collectors 8,192
MOST_SPAN = 8 * 2**20  # bytes
SMALL = 2**20  # bytes that protobuf may read at once: what it makes of them is bounded
STEP = 2**18  # what is unpacked at a time
WINDOW: dict[int, int] = {
    zstd.DecompressionParameter.window_log_max: 25
}  # 32 MiB is all that unpacking zstd may keep in mind
# Both signals are three messages deep: resource_spans = 1, scope_spans = 2, spans = 2, and the same for logs.
PATH = (1, 2, 2)
LISTS = {"traces": ("resourceSpans", "scopeSpans", "spans"), "logs": ("resourceLogs", "scopeLogs", "logRecords")}
MANY = f"it holds more than {MOST_SPANS:,} spans; export smaller batches"
NO_ID = "0"
NAMES = tuple(name.encode() for name in CALLS_BEGIN)


class Junk(ValueError):
    """The bytes are not what they are said to be; the text says what is wrong with them."""


class TooMuch(ValueError):
    """The bytes are more, or unpack to more, than is taken."""


@dataclass(frozen=True, slots=True)
class Body:
    """A request's content. packing: "" (as it is), "gzip" or "zstd"."""

    signal: Signal
    encoding: Encoding
    packing: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """Spans that may be calls, how many others there were, and how many that cannot be read."""

    spans: tuple[Span, ...]
    others: int
    broken: int


def unpacked(body: Body) -> bytes:
    """The content as it is. Raises: Junk; TooMuch as soon as it is more than the limit, which is all that it holds."""
    most = MOST_UNPACKED[body.encoding]
    if body.packing == "":
        if len(body.data) > most:
            raise TooMuch(f"more than {most // 2**20} MiB were sent; export smaller batches")
        return body.data
    pieces, size = [], 0
    for piece in _pieces(body):
        size += len(piece)
        if size > most:
            raise TooMuch(f"it unpacks to more than {most // 2**20} MiB; export smaller batches")
        pieces.append(piece)
    return b"".join(pieces)


def _pieces(body: Body) -> Iterator[bytes]:
    rest = body.data
    try:
        while rest:  # a packed body may have several parts, one after the other
            unpacker: Any = zlib.decompressobj(31) if body.packing == "gzip" else zstd.ZstdDecompressor(options=WINDOW)
            piece = unpacker.decompress(rest, STEP)
            while not unpacker.eof:
                yield piece
                more = unpacker.unconsumed_tail if body.packing == "gzip" else b""
                piece = unpacker.decompress(more, STEP)
                if not piece and not unpacker.eof and (body.packing == "gzip" or unpacker.needs_input):
                    raise Junk(f"the {body.packing} data breaks off; send it again")
            yield piece
            rest = unpacker.unused_data
    except (zlib.error, zstd.ZstdError, EOFError):
        raise Junk(f"this is no {body.packing} data, or it is damaged") from None


# -- spans -------------------------------------------------------------------------------------------------------------


def in_it(body: Body, data: bytes) -> tuple[int, int]:
    """How many spans (or log records) there are, and how many of them cannot be read. Raises: Junk, TooMuch."""
    if body.encoding == "json":
        return sum(1 for _ in _json_items(body.signal, _json(body.signal, data))), 0
    if len(data) <= SMALL and (whole := _count(body.signal, data)) is not None:
        return whole, 0
    places, reader = _slices(data), _reader(body.signal)
    return len(places), sum(_read(reader, part) is None for part in _parts(data, places))


def spans_in(body: Body, data: bytes) -> Found:
    """What there is of calls; log records about one call together are one span. Raises: Junk, TooMuch."""
    if body.encoding == "json":
        spans = [_known(span) for span in spans_of(_json(body.signal, data))]
        calls = [span for span in spans if may_be_call(span.attributes)]
        return Found(tuple(calls), len(spans) - len(calls), 0)
    places, reader = _slices(data), _reader(body.signal)
    parts = _parts(data, places)
    if body.signal == "traces":  # whatever has no such name in its bytes has no attribute of that name
        parts = [part for part in parts if part is None or any(name in part for name in NAMES)]
    read = [found for part in parts if (found := _read(reader, part)) is not None]
    others, broken = len(places) - len(parts), len(parts) - len(read)
    if body.signal == "traces":
        return Found(tuple(_span(one) for one in read), others, broken)
    export = {"resourceLogs": [{"scopeLogs": [{"logRecords": [_record(one) for one in read]}]}]}
    return Found(tuple(_known(span) for span in spans_of(export)), others, broken)


def without(body: Body, data: bytes, unwanted: Callable[[bytes], bool]) -> tuple[bytes, int, int]:
    """The same content without the spans that cannot be read and those that are not wanted, and how many these were.

    What is around the spans goes too.
    """
    if body.encoding == "protobuf":
        places, reader = _slices(data), _reader(body.signal)
        whole = [part for part in _parts(data, places) if part is not None and _read(reader, part) is not None]
        kept = [part for part in whole if not unwanted(part)]
        content = b"".join(tagged(PATH[2], part) for part in kept)
        return tagged(PATH[0], tagged(PATH[1], content)), len(places) - len(whole), len(whole) - len(kept)
    items = list(_json_items(body.signal, _json(body.signal, data)))
    good = [one for one in items if not unwanted(json.dumps(one, ensure_ascii=False).encode("utf-8", "replace"))]
    outer, middle, inner = LISTS[body.signal]
    return json.dumps({outer: [{middle: [{inner: good}]}]}).encode(), 0, len(items) - len(good)


# -- JSON --------------------------------------------------------------------------------------------------------------


def _json(signal: Signal, data: bytes) -> Mapping[str, JSON]:
    try:
        found = json_value(data.decode("utf-8-sig"))
    except ValueError:
        raise Junk("this is no JSON in UTF-8") from None
    wanted = LISTS[signal][0]
    if not isinstance(found, dict) or not isinstance(found.get(wanted, []), list) or (found and wanted not in found):
        raise Junk(f"this is no export of {signal}: it has no list `{wanted}`")
    return found


def _json_items(signal: Signal, export: Mapping[str, JSON]) -> Iterator[Mapping[str, JSON]]:
    values: list[JSON] = [export]
    for name in LISTS[signal]:
        lists = (v.get(name) for v in values)
        values = [one for found in lists if isinstance(found, list) for one in found if isinstance(one, dict)]
    if len(values) > MOST_SPANS:
        raise TooMuch(MANY)
    yield from values


def _known(span: Span) -> Span:
    """The same span; ids of nothing but zeros are none."""
    if span.id.strip(NO_ID) and span.trace.strip(NO_ID):
        return span
    return Span(span.name, "", "", span.attributes, span.events, span.start, span.end, span.error)


# -- protobuf ----------------------------------------------------------------------------------------------------------


def _slices(data: bytes) -> list[tuple[int, int]]:
    """Where each span lies. Raises: Junk where the lengths that the bytes state do not fit; TooMuch."""
    places = [(0, len(data))]
    for number in PATH:
        places = [inner for start, end in places for inner in _inside(data, start, end, number)]
        if len(places) > MOST_SPANS:
            raise TooMuch(MANY)
    return places


def _inside(data: bytes, at: int, end: int, wanted: int) -> list[tuple[int, int]]:
    """Where the messages with this number lie inside the one between `at` and `end`."""
    found = []
    while at < end:
        tag, at = _varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        if kind == 2:
            size, at = _varint(data, at, end)
            if at + size > end:
                raise Junk("this is no protobuf of an export, or it breaks off")
            if number == wanted:
                found.append((at, at + size))
                if len(found) > MOST_SPANS:
                    raise TooMuch(MANY)
            at += size
        elif kind == 0:
            _, at = _varint(data, at, end)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise Junk("this is no protobuf of an export")
        if number == 0 or at > end:
            raise Junk("this is no protobuf of an export, or it breaks off")
    return found


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise Junk("this is no protobuf of an export, or it breaks off")


def tagged(field: int, content: bytes) -> bytes:
    """A field of a message as protobuf writes it: a text or a message."""
    return bytes([field << 3 | 2]) + _written(len(content)) + content


def number(field: int, value: int) -> bytes:
    """A field that is a whole number, not below zero."""
    return bytes([field << 3]) + _written(value)


def _written(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


@cache
def _reader(signal: Signal) -> Any:
    """Protobuf's reader of one span or log record; imported when the first one comes."""
    if signal == "traces":
        from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message

        return Message.FromString
    from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

    return LogRecord.FromString


@cache
def _whole_reader(signal: Signal) -> Any:
    if signal == "traces":
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        return ExportTraceServiceRequest.FromString
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    return ExportLogsServiceRequest.FromString


def _count(signal: Signal, data: bytes) -> int | None:
    """How many spans there are, where all can be read; it takes half the time of reading each by itself."""
    from google.protobuf.message import DecodeError

    try:
        export = _whole_reader(signal)(data)
    except DecodeError:
        return None
    if signal == "traces":
        found = sum(len(scope.spans) for one in export.resource_spans for scope in one.scope_spans)
    else:
        found = sum(len(scope.log_records) for one in export.resource_logs for scope in one.scope_logs)
    if found > MOST_SPANS:
        raise TooMuch(MANY)
    return found


def _parts(data: bytes, places: Sequence[tuple[int, int]]) -> list[bytes | None]:
    """The bytes of each span; None for one of more than any may have."""
    return [data[start:end] if end - start <= MOST_SPAN else None for start, end in places]


def _read(reader: Any, part: bytes | None) -> Any:
    """The message that these bytes are; None where they are none."""
    from google.protobuf.message import DecodeError

    if part is None:
        return None
    try:
        return reader(part)
    except DecodeError:
        return None


def _span(message: Any) -> Span:
    events = tuple(Event(e.name, _attributes(e.attributes), moment(e.time_unix_nano)) for e in message.events)
    trace, id = message.trace_id.hex(), message.span_id.hex()
    named = bool(id.strip(NO_ID) and trace.strip(NO_ID))
    return Span(
        message.name,
        trace if named else "",
        id if named else "",
        _attributes(message.attributes),
        events,
        moment(message.start_time_unix_nano),
        moment(message.end_time_unix_nano),
        error_of({"code": message.status.code, "message": message.status.message}, events),
    )


def _attributes(pairs: Sequence[Any]) -> dict[str, JSON]:
    found: dict[str, JSON] = {}
    for pair in pairs:
        value = pair.value
        found[pair.key] = value.string_value or _value(value)  # most are texts, which need no asking what they are
    return found


def _value(value: Any) -> JSON:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    if kind == "bytes_value":
        return value.bytes_value.decode("utf-8", "replace")
    return None if kind is None else getattr(value, kind)


def _record(message: Any) -> dict[str, JSON]:
    """A log record as the export's JSON has it."""
    return {
        "traceId": message.trace_id.hex(),
        "spanId": message.span_id.hex(),
        "timeUnixNano": message.time_unix_nano or message.observed_time_unix_nano,
        "eventName": getattr(message, "event_name", ""),  # older definitions have none
        "attributes": _attributes(message.attributes),
        "body": _typed(message.body),
    }


def _typed(value: Any) -> JSON:
    """The value in OTLP's JSON: {stringValue: …}."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return {"arrayValue": {"values": [_typed(one) for one in value.array_value.values]}}
    if kind == "kvlist_value":
        pairs = [{"key": pair.key, "value": _typed(pair.value)} for pair in value.kvlist_value.values]
        return {"kvlistValue": {"values": pairs}}
    names = {"string_value": "stringValue", "bool_value": "boolValue", "int_value": "intValue"}
    return {names.get(kind, "doubleValue"): _value(value)} if kind is not None else None
