"""OpenTelemetry's JSON export into calls: spans and log records, whichever dialect their attributes are in."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reroll.intake import ai_sdk, genai, langfuse_spans, openinference
from reroll.intake.bodies import as_text, finite
from reroll.intake.moments import lasted, moment
from reroll.intake.spans import Event, Span
from reroll.intake.taken import Evaluated, Format, Mark, Skipped, Taken, Value
from reroll.store_evaluated import verdict_of
from reroll.store_rows import Evaluation

__all__ = ["CALLS_BEGIN", "NO_CALL", "OTLP", "TWICE", "error_of", "may_be_call", "spans_of", "take_spans"]

JSON = Any
NAME = "OpenTelemetry"
NO_CALL = "is a span that is no call of a model"
OF_NONE = "is an evaluation that says of no call (it has neither a span nor a response id)"
NO_MESSAGES = "is a call whose messages were not captured (content capture is switched off where it was recorded)"
EVALUATION = "gen_ai.evaluation.result"
TWICE = "is a call that was taken already (the same span a second time)"
# A dialect takes a span that it knows, and gives None for all others. The first that knows it has it.
DIALECTS = (openinference.take, langfuse_spans.take, ai_sdk.take, genai.take)
# How the attributes begin by which the dialects know a call.
CALLS_BEGIN = ("gen_ai.", "llm.", "langfuse.", "openinference.", "ai.operationId")
KEYS = ("resourceSpans", "resource_spans", "resourceLogs", "resource_logs", "batches")


def _looks_like(first: Sequence[JSON]) -> bool:
    return any(isinstance(v, dict) and (any(k in v for k in KEYS) or _is_span(v)) for v in first)


def _is_span(value: Mapping[str, JSON]) -> bool:
    """Whether this is a span by itself, a line each, as some exporters write it."""
    ids = any(k in value for k in ("spanId", "span_id", "context"))
    return ids and isinstance(value.get("attributes"), dict | list) and "name" in value


def _read(values: Iterable[Value]) -> Iterator[Taken | Skipped | Evaluated]:
    seen: set[int] = set()
    waiting: dict[tuple[str, str], list[Event]] = {}
    for one in values:
        spans = list(spans_of(one.value)) if isinstance(one.value, dict) else []
        if not spans:
            yield Skipped(NAME, one.where, "holds no span")
        for span in spans:
            if _is_evaluation(span) and span.id:
                waiting.setdefault((span.trace, span.id), []).extend(span.events)
        others = (s for s in spans if not (_is_evaluation(s) and s.id))
        yield from take_spans(one.where, (_evaluated(s, waiting) for s in others), seen)
    for (trace, id), events in waiting.items():
        yield from _told(Span("log", trace, id, {}, tuple(events)))


def _ahead(first: Sequence[JSON]) -> bool:
    spans = [span for value in first if isinstance(value, dict) for span in spans_of(value)]
    return bool(spans) and all(_is_evaluation(span) for span in spans)


def _is_evaluation(span: Span) -> bool:
    """Whether these are log records that say how a call was judged, and nothing else of it."""
    return span.name == "log" and all(e.name == EVALUATION for e in span.events)


def _evaluated(span: Span, waiting: dict[tuple[str, str], list[Event]]) -> Span:
    """The span with the evaluations of it that came before it."""
    found = waiting.pop((span.trace, span.id), None)
    return replace(span, events=(*span.events, *found)) if found else span


def _told(span: Span) -> Iterator[Evaluated]:
    """The evaluations that a span or its log records hold."""
    for one in _said_of(span):
        if span.id or one.response:  # else it is of no call that anybody could find
            yield Evaluated(one)


def _said_of(span: Span) -> Iterator[Evaluation]:
    for event in span.events:
        if event.name == EVALUATION:
            said = event.attributes
            yield Evaluation(
                span.trace,
                span.id,
                as_text(said.get("gen_ai.response.id")),
                as_text(said.get("gen_ai.evaluation.name")) or "evaluation",
                as_text(said.get("gen_ai.evaluation.score.label")),
                finite(said.get("gen_ai.evaluation.score.value")),
                as_text(said.get("gen_ai.evaluation.explanation")),
                said=event.time,
            )


def take_spans(where: str, spans: Iterable[Span], seen: set[int]) -> Iterator[Taken | Skipped | Evaluated]:
    """The calls of these spans, and what is said of calls there; `seen` holds the spans that were taken before, and
    those of these are added."""
    for span in spans:
        place = f"{where}, span {span.id}" if span.id else where
        told = list(_told(span))
        yield from told
        if _is_evaluation(span):
            if not told:
                yield Skipped(NAME, place, OF_NONE)
            continue
        key = hash((span.trace, span.id))
        if span.id and key in seen:
            yield Skipped(NAME, place, TWICE)
            continue
        found = take(span, place)
        if isinstance(found, Taken) and span.id:
            seen.add(key)
        yield found


def may_be_call(names: Iterable[str]) -> bool:
    """Whether a span with attributes of these names may be a call of a model; most spans of a product are none."""
    return any(name.startswith(CALLS_BEGIN) for name in names)


def take(span: Span, where: str) -> Taken | Skipped:
    """The call of a span, with what is the same in every dialect: ids, times, errors, evaluations."""
    known = False
    for dialect in DIALECTS:
        found = dialect(span, where)
        if isinstance(found, Taken):
            return _finished(found, span)
        known = known or found is not None
    return Skipped(NAME, where, NO_MESSAGES if known else NO_CALL)


def _finished(taken: Taken, span: Span) -> Taken:
    seconds, skew = lasted(span.start, span.end)
    error = taken.error
    if taken.completion is None and error is None:
        error = span.error or "the answer was not captured"
    ids = {"trace": span.trace, "span": span.id, "record": span.id}
    session = span.text("session.id", "gen_ai.conversation.id", "langfuse.session.id")
    return replace(
        taken,
        error=error if taken.completion is None else None,
        started=span.start,
        seconds=seconds,
        ids={k: v for k, v in {**taken.ids, **ids, "session": session or ""}.items() if v},
        reward=taken.reward if taken.reward is not None else _verdict(span, bool(taken.others)),
        marks=(*taken.marks, *_evaluations(span)),
        guessed=(*taken.guessed, *skew),
    )


def _evaluations(span: Span) -> Iterator[Mark]:
    for event in span.events:
        if event.name == EVALUATION:
            said = event.attributes
            value = said.get("gen_ai.evaluation.score.value", said.get("gen_ai.evaluation.score.label"))
            good = isinstance(value, int | float | str) and not isinstance(value, bool)
            name = said.get("gen_ai.evaluation.name", "evaluation")
            yield Mark(str(name), value if good else None, str(said.get("gen_ai.evaluation.explanation") or ""))


def _verdict(span: Span, several: bool) -> float | None:
    """What the evaluations of a span say together."""
    return verdict_of(list(_said_of(span)), several)


# -- the export's JSON -------------------------------------------------------------------------------------------------


def spans_of(export: Mapping[str, JSON]) -> Iterator[Span]:
    """The spans of an export, and its log records about calls as spans."""
    if _is_span(export):
        yield _span(export)
        return
    for resource in _list(export, "resourceSpans", "resource_spans", "batches"):
        for scope in _list(resource, "scopeSpans", "scope_spans", "instrumentationLibrarySpans"):
            for span in _list(scope, "spans"):
                yield _span(span)
    for resource in _list(export, "resourceLogs", "resource_logs"):
        for scope in _list(resource, "scopeLogs", "scope_logs"):
            yield from _logged(_list(scope, "logRecords", "log_records"))


def _list(value: Mapping[str, JSON], *keys: str) -> Iterator[Mapping[str, JSON]]:
    for key in keys:
        found = value.get(key)
        if isinstance(found, list):
            yield from (v for v in found if isinstance(v, dict))


def _span(value: Mapping[str, JSON]) -> Span:
    context = value.get("context")
    about = {**context, **value} if isinstance(context, dict) else value
    events = tuple(
        Event(
            str(e.get("name", "")),
            attributes_of(e.get("attributes")),
            moment(e.get("timeUnixNano", e.get("time_unix_nano", e.get("timestamp")))),
        )
        for e in _list(about, "events")
    )
    return Span(
        name=str(about.get("name", "")),
        trace=_id(about.get("traceId", about.get("trace_id"))),
        id=_id(about.get("spanId", about.get("span_id"))),
        attributes=attributes_of(about.get("attributes")),
        events=events,
        start=moment(about.get("startTimeUnixNano", about.get("start_time"))),
        end=moment(about.get("endTimeUnixNano", about.get("end_time"))),
        error=error_of(about.get("status"), events),
    )


HEXADECIMAL = re.compile("[0-9a-f]{16}|[0-9a-f]{32}")


def _id(value: JSON) -> str:
    """Ids are hexadecimal; what went through protobuf's JSON has them in base64."""
    text = value.lower().removeprefix("0x") if isinstance(value, str) else ""
    if HEXADECIMAL.fullmatch(text):
        return text
    try:
        raw = base64.b64decode(str(value), validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        raw = b""
    return raw.hex() if len(raw) in (8, 16) else text[:64]


def error_of(status: JSON, events: Sequence[Event]) -> str | None:
    """What a span's status says went wrong; None where it says nothing of the kind."""
    if not isinstance(status, dict) or status.get("code", status.get("status_code")) not in (
        2,
        "ERROR",
        "STATUS_CODE_ERROR",
    ):
        return None
    thrown = next((e.attributes for e in events if e.name == "exception"), {})
    words = status.get("message") or status.get("description") or thrown.get("exception.message")
    return str(words or "the span says that it failed, and not how")[:2000]


def attributes_of(value: JSON) -> dict[str, JSON]:
    """Attributes as a mapping: from OTLP's list of typed values, or as it is."""
    if isinstance(value, dict):
        return dict(value)
    found = {}
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict) and isinstance(one.get("key"), str):
            found[one["key"]] = _typed(one.get("value"), 0)
    return found


def _typed(value: JSON, depth: int) -> JSON:
    """The value that OTLP's {stringValue: …} stands for."""
    if not isinstance(value, dict) or depth > 60:
        return value if not isinstance(value, dict | list) else None
    if len(value) == 1 and "stringValue" in value:  # nearly always
        return value["stringValue"]
    for key, inner in value.items():
        name = key.replace("_v", "V")
        if name == "intValue":
            return int(inner) if isinstance(inner, str) and inner.lstrip("-").isdecimal() and len(inner) < 25 else inner
        if name in ("stringValue", "boolValue", "doubleValue", "bytesValue"):
            return inner
        items = inner.get("values") if isinstance(inner, dict) else None
        if name == "arrayValue":
            return [_typed(v, depth + 1) for v in items] if isinstance(items, list) else []
        if name == "kvlistValue":
            pairs = [p for p in items if isinstance(p, dict)] if isinstance(items, list) else []
            return {str(p.get("key")): _typed(p.get("value"), depth + 1) for p in pairs}
    return None


# -- log records -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Said:
    """What the log records of one span say together."""

    attributes: dict[str, JSON]
    events: list[Event]
    start: float | None


def _logged(records: Iterable[Mapping[str, JSON]]) -> Iterator[Span]:
    """Log records about one span put together: its details, or a record for each message."""
    told: dict[tuple[str, str], _Said] = {}
    for i, record in enumerate(records):
        attributes = attributes_of(record.get("attributes"))
        name = record.get("eventName") or record.get("event_name") or attributes.get("event.name") or ""
        if not str(name).startswith("gen_ai."):
            continue
        span = _id(record.get("spanId", record.get("span_id")))
        trace = _id(record.get("traceId", record.get("trace_id")))
        at = moment(record.get("timeUnixNano") or record.get("time_unix_nano") or record.get("observedTimeUnixNano"))
        one = told.setdefault((trace, span or f"#{i}"), _Said({}, [], at))
        body = _typed(record.get("body"), 0)
        one.events.append(Event(str(name), {**(body if isinstance(body, dict) else {}), **attributes}, at))
        one.attributes.update(attributes)
    for (trace, span), one in told.items():
        id = "" if span.startswith("#") else span
        yield Span("log", trace, id, one.attributes, tuple(one.events), one.start, None, None)


OTLP = Format("OpenTelemetry", _looks_like, _read, _ahead)
