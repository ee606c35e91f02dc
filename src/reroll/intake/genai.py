"""Spans in OpenTelemetry's own words for calls of models (`gen_ai.*`), in their present and earlier forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from reroll.intake.bodies import (
    as_json,
    as_list,
    as_mapping,
    as_object,
    as_text,
    call,
    is_request,
    joined,
    whole_number,
)
from reroll.intake.pairs import taken_from
from reroll.intake.spans import Span, nested
from reroll.intake.taken import Taken
from reroll.sample import Completion, Usage

__all__ = ["NONE", "NOT_ALL", "SHAPED", "address_of", "merged", "take"]

JSON = Any
NAME = "OpenTelemetry"
NO_CALL_OPERATIONS = ("execute_tool", "invoke_agent", "create_agent", "invoke_workflow", "embeddings", "retrieval")
# What the conventions call a parameter, and what the API calls it.
PARAMS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "seed": "seed",
    "max_tokens": "max_tokens",
    "stop_sequences": "stop",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
    "choice.count": "n",
}
NAMES_OF = {ours: (f"gen_ai.request.{name}", f"gen_ai.openai.request.{name}") for name, ours in PARAMS.items()}
NOT_ALL = (
    "A trace of this kind keeps only some parameters; what else was sent (such as logprobs or a schema) is not known."
)
NONE = "The trace keeps no parameter; the server's defaults would be used."
SHAPED = "An answer in the form of JSON was asked for; whether with a schema, and which, the trace does not keep."
SPACED = "The trace keeps the arguments of earlier tool calls as values: how their JSON was spaced is not known."


def take(span: Span, where: str) -> Taken | Literal["no messages"] | None:
    """The call of this span; None for a span that is none."""
    if not _is_call(span):
        return None
    if (request := as_object(span.first("request_data"))) and is_request(request):
        return _whole(span, where, request)
    messages = _messages(span)
    if not messages:
        return "no messages"
    params = _params(span)
    model = span.text("gen_ai.request.model", "gen_ai.response.model")
    tools = _tools(span)
    body = {
        **({"model": model} if model else {}),
        "messages": messages,
        **params,
        **({"tools": tools} if tools else {}),
    }
    choices = _choices(span)
    return Taken(
        format=NAME,
        where=where,
        body=body,
        fidelity="partly" if params else "messages",
        url=address_of(span),
        provider=span.text("gen_ai.provider.name", "gen_ai.system"),
        completion=choices[0] if choices else None,
        others=tuple(choices[1:]),
        usage=_usage(span),
        model=span.text("gen_ai.response.model"),
        fingerprint=span.text("gen_ai.openai.response.system_fingerprint", "openai.response.system_fingerprint"),
        ids={"response": span.text("gen_ai.response.id") or ""},
        guessed=(NOT_ALL if params else NONE, *_unsure(span, messages)),
    )


def _unsure(span: Span, messages: list[dict[str, JSON]]) -> Iterator[str]:
    """What a trace says of the request in part only."""
    if span.text("gen_ai.output.type") == "json":
        yield SHAPED
    if any("tool_calls" in m for m in messages) and _given(span) is not None:
        yield SPACED


def _is_call(span: Span) -> bool:
    operation = span.text("gen_ai.operation.name", "llm.request.type")
    if operation in NO_CALL_OPERATIONS:
        return False
    names = ("gen_ai.request.model", "gen_ai.input.messages", "gen_ai.prompt.0.role", "gen_ai.prompt.0.content")
    return operation in ("chat", "text_completion", "generate_content", "completion") or any(
        n in span.attributes for n in names
    )


def _whole(span: Span, where: str, request: dict[str, JSON]) -> Taken:
    """A span that keeps the whole request beside the conventions' attributes."""
    answer = as_object(span.first("response_data"))
    given = (answer or {}).get("message")
    said = {"choices": [{"message": given}]} if isinstance(given, dict) else answer
    taken = taken_from(NAME, where, request, address_of(span), said, said is not None)
    choices = _choices(span)
    best = choices[0] if choices else taken.completion
    if best is not None and taken.completion is not None and taken.completion.tokens:
        best = taken.completion
    return replace(taken, completion=best, error=None, usage=_usage(span), model=span.text("gen_ai.response.model"))


def address_of(span: Span) -> str | None:
    """Where the call went, as far as the span says: the address of the server without a path."""
    if whole := span.text("url.full", "http.url"):
        return whole.partition("?")[0]
    if base := span.text("gen_ai.openai.api_base", "openai.api_base"):
        return base.rstrip("/") + "/chat/completions"
    host, port = span.text("server.address"), span.first("server.port")
    if not host or "." not in host:
        return None
    return f"https://{host}" if port in (None, 443, "443") else f"http://{host}:{port}"


def _params(span: Span) -> dict[str, JSON]:
    found = {}
    for ours, names in NAMES_OF.items():
        value = span.first(*names)
        if value is not None and value != []:
            found[ours] = value
    return found


def _usage(span: Span) -> Usage:
    return Usage(
        whole_number(span.first("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")),
        whole_number(span.first("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")),
        None,
        whole_number(span.first("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens")),
    )


def _tools(span: Span) -> list[JSON]:
    given = [t for t in as_list(span.first("gen_ai.tool.definitions")) if isinstance(t, dict)]
    flat = [] if given else nested(span.attributes, "llm.request.functions")
    given = given or ([f for f in flat if isinstance(f, dict)] if isinstance(flat, list) else [])
    found = []
    for tool in given:
        function = as_mapping(tool.get("function")) or tool
        about = {k: function[k] for k in ("name", "description", "strict") if function.get(k) is not None}
        shape = as_object(function.get("parameters") or function.get("input_schema"))
        found.append({"type": "function", "function": {**about, **({"parameters": shape} if shape else {})}})
    return found


# -- messages ----------------------------------------------------------------------------------------------------------


def _messages(span: Span) -> list[dict[str, JSON]]:
    """From the attributes, else from those of the details event, else one event a message, else the flat form."""
    if (told := _given(span)) is not None:
        system = _parts_text(as_json(told.get("gen_ai.system_instructions")))
        found = [m for one in as_list(told.get("gen_ai.input.messages")) for m in _of_parts(one)]
        return ([{"role": "system", "content": system}] if system else []) + found
    if found := list(_of_events(span)):
        return found
    flat = nested(span.attributes, "gen_ai.prompt")
    if isinstance(flat, list):
        return [m for one in flat if isinstance(one, dict) for m in [_flat(one)]]
    for event in span.events:
        if event.name == "gen_ai.content.prompt":
            prompt = event.attributes.get("gen_ai.prompt")
            turns = [dict(m) for m in as_list(prompt) if isinstance(m, dict)]
            return turns or ([{"role": "user", "content": as_text(prompt)}] if prompt else [])
    return []


def _given(span: Span) -> Mapping[str, JSON] | None:
    """The attributes, of the span or of an event of it, that hold the messages in their present form."""
    told = (span.attributes, *(e.attributes for e in span.events))
    return next((t for t in told if any(isinstance(m, dict) for m in as_list(t.get("gen_ai.input.messages")))), None)


def _parts_text(value: JSON) -> str:
    """The text of a list of parts, or of a message that has them."""
    if isinstance(value, dict):
        value = value.get("parts") or value.get("content")
    if isinstance(value, str):
        return value
    parts = [p for p in value if isinstance(p, dict)] if isinstance(value, list) else []
    return "".join(as_text(p.get("content", p.get("text"))) for p in parts if p.get("type", "text") == "text")


def _of_parts(message: JSON) -> Iterator[dict[str, JSON]]:
    """The messages that one message with `parts` stands for: each tool's result is one of its own."""
    if not isinstance(message, dict):
        return
    role, parts = as_text(message.get("role")) or "user", message.get("parts")
    if not isinstance(parts, list):
        yield {"role": role, **{k: v for k, v in message.items() if k != "role" and v is not None}}
        return
    kept = [p for p in parts if isinstance(p, dict)]
    for part in kept:
        if part.get("type") == "tool_call_response":
            said = part.get("response", part.get("result"))
            yield {"role": "tool", "tool_call_id": as_text(part.get("id")), "content": as_text(said)}
    calls = [call(p.get("id"), p.get("name"), p.get("arguments")) for p in kept if p.get("type") == "tool_call"]
    text = _parts_text(kept)
    name = {"name": message["name"]} if isinstance(message.get("name"), str) and message["name"] else {}
    if text or calls or not any(p.get("type") == "tool_call_response" for p in kept):
        more = {**name, **({"tool_calls": calls} if calls else {})}
        yield {"role": role, "content": text or (None if calls else ""), **more}


def _flat(message: Mapping[str, JSON]) -> dict[str, JSON]:
    """A message whose parts were keys of their own, numbered."""
    calls = message.get("tool_calls")
    made = [
        call(c.get("id"), c.get("name"), c.get("arguments")) for c in calls if isinstance(c, dict)
    ] if isinstance(calls, list) else []  # fmt: skip
    content = message.get("content")
    parts = as_json(content) if isinstance(content, str) and content.startswith('[{"type"') else None
    found: dict[str, JSON] = {"role": as_text(message.get("role")) or "user", "content": parts or content or ""}
    if made:
        found["tool_calls"] = made
    if message.get("tool_call_id"):
        found["tool_call_id"] = message["tool_call_id"]
    return found


MESSAGE_EVENTS = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}


def _of_events(span: Span) -> Iterator[dict[str, JSON]]:
    """The earlier form: an event for each message."""
    for event in span.events:
        if event.name not in MESSAGE_EVENTS:
            continue
        said = as_object(event.attributes.get("gen_ai.event.content")) or event.attributes
        content = said.get("content", said.get("gen_ai.prompt"))
        calls = [dict(c) for c in as_list(said.get("tool_calls")) if isinstance(c, dict)]
        found: dict[str, JSON] = {"role": as_text(said.get("role")) or MESSAGE_EVENTS[event.name]}
        found["content"] = content if isinstance(content, str | list) else None if calls else as_text(content)
        if calls:
            found["tool_calls"] = calls
        if event.name == "gen_ai.tool.message" and said.get("id"):
            found["tool_call_id"] = as_text(said["id"])
        yield found


# -- answers -----------------------------------------------------------------------------------------------------------


def _choices(span: Span) -> list[Completion]:
    reasons = [as_text(r) for r in as_list(span.first("gen_ai.response.finish_reasons"))]
    for told in (span.attributes, *(e.attributes for e in span.events)):
        given = [m for m in as_list(told.get("gen_ai.output.messages")) if isinstance(m, dict)]
        if given:
            return [merged(list(_of_parts(m)), _reason(m, reasons, i)) for i, m in enumerate(given)]
    found: list[Completion] = []
    for event in span.events:
        if event.name == "gen_ai.choice":
            one = as_object(event.attributes.get("gen_ai.event.content")) or dict(event.attributes)
            found.append(merged([as_object(one.get("message")) or one], _reason(one, reasons, len(found))))
    flat = nested(span.attributes, "gen_ai.completion")
    if not found and isinstance(flat, list):
        kept = [m for m in flat if isinstance(m, dict)]
        found = [merged([_flat(m)], _reason(m, reasons, i)) for i, m in enumerate(kept)]
    for event in span.events if not found else ():
        if event.name == "gen_ai.content.completion" and (said := event.attributes.get("gen_ai.completion")):
            turns = [dict(m) for m in as_list(said) if isinstance(m, dict)] or [{"content": as_text(said)}]
            found.append(merged(turns[:1], _reason({}, reasons, 0)))
    return found


def _reason(said: Mapping[str, JSON], reasons: list[str], place: int) -> str:
    reason = as_text(said.get("finish_reason")) or (reasons[place] if place < len(reasons) else "")
    return {"tool_call": "tool_calls", "content_filtered": "content_filter"}.get(reason, reason) or "unknown"


def merged(messages: list[dict[str, JSON]], reason: str) -> Completion:
    """The completion that these messages of the assistant are together."""
    text = "".join(joined(m.get("content")) for m in messages)
    calls = [c for m in messages for c in as_list(m.get("tool_calls")) if isinstance(c, dict)]
    refusal = next((m["refusal"] for m in messages if isinstance(m.get("refusal"), str)), None)
    return Completion(text, reason, tuple(dict(c) for c in calls), (), refusal)
