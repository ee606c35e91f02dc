"""What an exporter sends: spans of model calls and of all else, as protobuf or JSON, with a client that speaks HTTP."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

NOON = 1_795_780_800_000_000_000  # 2026-11-27, in nanoseconds
SYSTEM = "You turn a request into one meeting. Answer with one JSON object and nothing else. " * 6


def value(given: Any) -> AnyValue:
    if isinstance(given, bool):
        return AnyValue(bool_value=given)
    if isinstance(given, int):
        return AnyValue(int_value=given)
    if isinstance(given, float):
        return AnyValue(double_value=given)
    if isinstance(given, list):
        made = AnyValue()
        made.array_value.values.extend(value(one) for one in given)
        return made
    return AnyValue(string_value=given)


def attributes(**given: Any) -> list[KeyValue]:
    return [KeyValue(key=name, value=value(v)) for name, v in given.items()]


def messages(role: str, text: str) -> str:
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])


def call(i: int, asked: str | None = None, said: str | None = None) -> dict[str, Any]:
    """The attributes of a call of a model, of 1 to 2 KB with its messages."""
    asked = asked or "Lunch with Ana next Friday at noon, please"
    said = said or json.dumps(
        {"date": "2026-11-27", "title": f"Lunch {i % 17}", "minutes": 60, "guests": ["Ana", "Mia"]}
    )
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "some-model",
        "gen_ai.response.model": "some-model-2026-08",
        "gen_ai.response.id": f"chatcmpl-{i:012d}",
        "gen_ai.request.temperature": 0.7,
        "gen_ai.request.max_tokens": 96,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 120,
        "gen_ai.usage.output_tokens": 40,
        "server.address": "api.openai.com",
        "server.port": 443,
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": SYSTEM}]),
        "gen_ai.input.messages": messages("user", asked),
        "gen_ai.output.messages": messages("assistant", said),
    }


def step(i: int) -> dict[str, Any]:
    """The attributes of a span that is no call of a model."""
    return {
        "http.request.method": "POST",
        "url.path": f"/meetings/{i}",
        "http.route": "/meetings/{id}",
        "http.response.status_code": 200,
        "server.address": "meetings.example.org",
        "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)",
        "code.function.name": "meetings.views.create_meeting_from_words",
        "thread.name": "ThreadPoolExecutor-0_3",
        "app.note": "what the handler saw, what it decided and why, in a line or two of plain words " * 4,
    }


def add_span(request: ExportTraceServiceRequest, i: int, given: dict[str, Any], name: str = "chat") -> Any:
    """A span with the trace and span id that number i has."""
    if not request.resource_spans:
        request.resource_spans.add().scope_spans.add()
    span = request.resource_spans[0].scope_spans[0].spans.add()
    span.trace_id, span.span_id = trace_id(i), span_id(i)
    span.name, span.kind = name, 3
    span.start_time_unix_nano, span.end_time_unix_nano = NOON + i * 10**6, NOON + i * 10**6 + 9 * 10**8
    span.attributes.extend(attributes(**given))
    return span


def trace_id(i: int) -> bytes:
    return (i // 3 + 1).to_bytes(16, "big")


def span_id(i: int) -> bytes:
    return (i + 1).to_bytes(8, "big")


def traces(first: int, count: int, calls: int = 1, guests: int = 500) -> ExportTraceServiceRequest:
    """So many spans from number `first` on; of three that follow each other, `calls` are calls of a model.

    Their questions are of `guests` kinds.
    """
    made = ExportTraceServiceRequest()
    for i in range(first, first + count):
        if i % 3 < calls:
            add_span(made, i, call(i, f"Lunch with guest number {i * 7919 % guests} next Friday at noon, please"))
        else:
            add_span(made, i, step(i), "POST /meetings/{id}")
    return made


def logs(first: int, count: int) -> ExportLogsServiceRequest:
    """A log record about each of these calls, as an instrumentation sends them beside the spans."""
    made = ExportLogsServiceRequest()
    for i in range(first, first + count):
        if not made.resource_logs:
            made.resource_logs.add().scope_logs.add()
        record = made.resource_logs[0].scope_logs[0].log_records.add()
        record.trace_id, record.span_id = trace_id(i), span_id(i)
        record.time_unix_nano = NOON + i * 10**6 + 9 * 10**8
        record.event_name = "gen_ai.client.inference.operation.details"
        record.attributes.extend(attributes(**call(i)))
    return made


def evaluations(first: int, count: int, label: str = "fail") -> ExportLogsServiceRequest:
    """Evaluations of the calls that `traces` makes, as records by themselves."""
    request = logs(0, 0)
    records = request.resource_logs.add().scope_logs.add().log_records
    for i in range(first, first + count):
        said = {"gen_ai.evaluation.name": "right", "gen_ai.evaluation.score.label": label}
        event = "gen_ai.evaluation.result"
        records.add(event_name=event, trace_id=trace_id(i), span_id=span_id(i), attributes=attributes(**said))
    return request


def as_json(request: ExportTraceServiceRequest) -> bytes:
    """The same as OTLP's JSON has it: ids in hexadecimal."""
    from google.protobuf.json_format import MessageToDict

    export = MessageToDict(request)
    for resource in export["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span, made in zip(scope["spans"], request.resource_spans[0].scope_spans[0].spans, strict=True):
                span["traceId"], span["spanId"] = made.trace_id.hex(), made.span_id.hex()
    return json.dumps(export).encode()


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> str:
        """The sentence of a google.rpc.Status, in either encoding."""
        if self.headers["content-type"] == "application/json":
            return str(json.loads(self.body)["message"])
        at = self.body.index(b"\x12")
        size, start = self.body[at + 1], at + 2
        if size > 127:
            size, start = (size & 127) | self.body[at + 2] << 7, at + 3
        return self.body[start : start + size].decode()


class Exporter:
    """An exporter with one connection, which it opens again when it is lost."""

    def __init__(self, base: str, token: str = "") -> None:
        self.place = base.partition("://")[2]
        self.token = token
        self.connection = http.client.HTTPConnection(self.place, timeout=30)

    def send(
        self,
        body: bytes,
        packing: str = "",
        kind: str = "application/x-protobuf",
        path: str = "/v1/traces",
        **more: str,
    ) -> Reply:
        headers = {"content-type": kind, **({"content-encoding": packing} if packing else {})}
        headers |= {"authorization": f"Bearer {self.token}"} if self.token else {}
        headers |= {name.replace("_", "-"): said for name, said in more.items()}
        self.connection.request("POST", path, body, headers)
        reply = self.connection.getresponse()
        return Reply(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())

    def close(self) -> None:
        self.connection.close()
