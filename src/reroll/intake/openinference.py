"""Spans in OpenInference's words: `llm.input_messages.N.message.*`, and whole requests and answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from reroll.intake.bodies import as_object, as_text, call, is_request, joined, read_answer, whole_number
from reroll.intake.genai import address_of, merged
from reroll.intake.pairs import taken_from
from reroll.intake.spans import Span, nested
from reroll.intake.taken import Taken
from reroll.sample import Completion, Usage

__all__ = ["take"]

JSON = Any
NAME = "OpenInference"
MESSAGES = ("llm.input_messages.", "llm.output_messages.")
REBUILT = "The request was put together from the span's messages and `llm.invocation_parameters`."
NO_PARAMS = "The span keeps no parameters; the server's defaults would be used."


def take(span: Span, where: str) -> Taken | Literal["no messages"] | None:
    """The call of this span; None for a span that is none."""
    kind = span.text("openinference.span.kind")
    if kind is None and not any(name.startswith(MESSAGES) for name in span.attributes):
        return None
    if kind not in (None, "LLM"):
        return None
    taken = _exact(span, where) or _rebuilt(span, where)
    return "no messages" if taken is None else _answered(taken, span)


def _exact(span: Span, where: str) -> Taken | None:
    """Where the span keeps the whole request as its input."""
    request = as_object(span.first("input.value"))
    if request is None or not is_request(request) or not ("model" in request or span.text("llm.model_name")):
        return None
    return taken_from(NAME, where, {**_model(span), **request}, address_of(span), None, False)


def _model(span: Span) -> dict[str, JSON]:
    name = span.text("llm.model_name")
    return {"model": name} if name else {}


def _rebuilt(span: Span, where: str) -> Taken | None:
    messages = list(_messages(span, "llm.input_messages"))
    if not messages:
        text = span.text("input.value", "llm.prompts.0.prompt.text")
        if text is None or text.lstrip().startswith(("{", "[")):
            return None
        messages = [{"role": "user", "content": text}]
    params = as_object(span.first("llm.invocation_parameters"))
    flat = nested(span.attributes, "llm.tools")
    tools = [as_object(t.get("tool", {}).get("json_schema")) for t in _objects(flat) if isinstance(t.get("tool"), dict)]
    body = {**_model(span), **(params or {}), "messages": messages}
    for key in ("stream", "stream_options"):
        body.pop(key, None)
    if "tools" not in body and any(tools):
        body["tools"] = [t for t in tools if t]
    fidelity: Literal["partly", "messages"] = "partly" if params else "messages"
    guess = REBUILT if params else NO_PARAMS
    return Taken(NAME, where, body, fidelity, url=address_of(span), guessed=(guess,))


def _objects(value: JSON) -> list[Mapping[str, JSON]]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


def _messages(span: Span, prefix: str) -> Iterator[dict[str, JSON]]:
    for one in _objects(nested(span.attributes, prefix)):
        message = one.get("message")
        if not isinstance(message, dict):
            continue
        content = message.get("content")
        parts = [c.get("message_content") for c in _objects(message.get("contents"))]
        if content is None and parts:
            content = joined([{"type": "text", "text": p.get("text")} for p in parts if isinstance(p, dict)])
        calls = [_call(c) for c in _objects(message.get("tool_calls"))]
        found: dict[str, JSON] = {"role": as_text(message.get("role")) or "user"}
        found["content"] = as_text(content) if content is not None or not calls else None
        if calls:
            found["tool_calls"] = calls
        if message.get("tool_call_id"):
            found["tool_call_id"] = as_text(message["tool_call_id"])
        yield found


def _call(value: Mapping[str, JSON]) -> dict[str, JSON]:
    one = value.get("tool_call")
    given: Mapping[str, JSON] = one if isinstance(one, dict) else {}
    function = given.get("function")
    about: Mapping[str, JSON] = function if isinstance(function, dict) else {}
    return call(given.get("id"), about.get("name"), about.get("arguments"))


def _answered(taken: Taken, span: Span) -> Taken:
    """With the answer: whole, with its token probabilities, from `output.value`, else from the output messages."""
    whole = as_object(span.first("output.value"))
    said = read_answer(whole) if whole is not None else None
    completion: Completion | None = said.completion if said else None
    messages = list(_messages(span, "llm.output_messages"))
    if completion is None and messages:
        completion = merged(messages[:1], "tool_calls" if messages[0].get("tool_calls") else "unknown")
    if completion is None and not span.error and (text := span.text("output.value")) and whole is None:
        completion = Completion(text, "unknown")
    counted = Usage(
        whole_number(span.first("llm.token_count.prompt")),
        whole_number(span.first("llm.token_count.completion")),
        None,
        whole_number(span.first("llm.token_count.prompt_details.cache_read")),
    )
    return replace(
        taken,
        provider=span.text("llm.provider", "llm.system"),
        completion=completion,
        others=said.others if said else (),
        usage=said.usage if said and said.usage.prompt_tokens is not None else counted,
        model=(said.model if said else None) or span.text("llm.model_name"),
        fingerprint=said.fingerprint if said else None,
        ids={**taken.ids, "response": (said.id if said else None) or ""},
    )
