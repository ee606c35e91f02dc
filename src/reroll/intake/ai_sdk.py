"""Spans of the AI SDK for TypeScript: `ai.prompt.messages`, `ai.settings.*`, `ai.response.*` of its calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from reroll.intake.bodies import (
    as_json,
    as_list,
    as_mapping,
    as_object,
    as_text,
    tokens_of,
    tools_of,
    whole_number,
)
from reroll.intake.bodies import call as tool_call
from reroll.intake.genai import NONE, NOT_ALL, SHAPED
from reroll.intake.spans import Span
from reroll.intake.taken import Taken
from reroll.json_text import json_text
from reroll.sample import Completion, Usage

__all__ = ["take"]

JSON = Any
NAME = "AI SDK"
# Around each call is a span of what the product asked for, which is no call of its own.
CALLS = (".doGenerate", ".doStream")
SETTINGS = {
    "temperature": "temperature",
    "maxOutputTokens": "max_tokens",
    "maxTokens": "max_tokens",
    "topP": "top_p",
    "topK": "top_k",
    "seed": "seed",
    "stopSequences": "stop",
    "frequencyPenalty": "frequency_penalty",
    "presencePenalty": "presence_penalty",
}
ENDS = {"tool-calls": "tool_calls", "content-filter": "content_filter"}
ELSEWHERE = "The call went to the {} API; it is put together in the shape of chat completions, as the span keeps it."


def take(span: Span, where: str) -> Taken | Literal["no messages"] | None:
    """The call of this span; None for a span that is none."""
    operation = span.text("ai.operationId") or ""
    if not operation.endswith(CALLS) or operation.startswith("ai.embed"):
        return None
    messages = [m for one in as_list(span.first("ai.prompt.messages")) for m in _messages(as_mapping(one))]
    if not messages:
        return "no messages"
    params = dict(_params(span))
    provider, _, family = (span.text("ai.model.provider", "gen_ai.system") or "").partition(".")
    shaped = operation.startswith(("ai.generateObject", "ai.streamObject"))
    return Taken(
        format=NAME,
        where=where,
        body={**_model(span), "messages": messages, **params, **_tools(span)},
        fidelity="partly" if params else "messages",
        provider=provider or None,
        completion=_completion(span),
        usage=_usage(span),
        model=span.text("ai.response.model", "gen_ai.response.model"),
        ids={"response": span.text("ai.response.id", "gen_ai.response.id") or ""},
        guessed=(
            NOT_ALL if params else NONE,
            *([SHAPED] if shaped else []),
            *([ELSEWHERE.format("Responses")] if family == "responses" else []),
        ),
    )


def _model(span: Span) -> dict[str, JSON]:
    name = span.text("ai.model.id", "gen_ai.request.model")
    return {"model": name} if name else {}


def _params(span: Span) -> Iterator[tuple[str, JSON]]:
    for theirs, ours in SETTINGS.items():
        value = span.first(f"ai.settings.{theirs}")
        if value is not None and value != []:
            yield ours, value


def _tools(span: Span) -> dict[str, JSON]:
    """Tools as the API takes them, and which of them may be called."""
    given = [as_object(t) or {} for t in as_list(span.first("ai.prompt.tools"))]
    tools = tools_of({"tools": [{**t, "parameters": t.get("inputSchema") or t.get("parameters")} for t in given]})
    if not tools:
        return {}
    choice = as_object(span.first("ai.prompt.toolChoice")) or {}
    kind, name = choice.get("type"), choice.get("toolName")
    chosen: JSON = {"type": "function", "function": {"name": name}} if kind == "tool" and name else kind
    return {"tools": tools, **({"tool_choice": chosen} if chosen else {})}


# -- messages ----------------------------------------------------------------------------------------------------------


def _messages(message: Mapping[str, JSON]) -> Iterator[dict[str, JSON]]:
    """The messages that one of the SDK's stands for: each tool's result is one of its own."""
    role, content = as_text(message.get("role")) or "user", message.get("content")
    if not isinstance(content, list):
        yield {"role": role, "content": as_text(content)}
        return
    parts = [as_mapping(p) for p in content]
    for part in parts:
        if part.get("type") == "tool-result":
            id = as_text(part.get("toolCallId"))
            yield {"role": "tool", "tool_call_id": id, "content": _result(part)}
    calls = [_call(p) for p in parts if p.get("type") == "tool-call"]
    said = [p for p in parts if p.get("type") not in ("tool-result", "tool-call", "reasoning")]
    if said or calls:
        plain = all(p.get("type") == "text" for p in said)
        text: JSON = "".join(as_text(p.get("text")) for p in said) if plain else [dict(p) for p in said]
        yield {"role": role, "content": text or (None if calls else ""), **({"tool_calls": calls} if calls else {})}


def _call(part: Mapping[str, JSON]) -> dict[str, JSON]:
    """A tool call; its arguments are written as the SDK itself writes them where it keeps them as values."""
    given = part.get("input", part.get("args"))
    return tool_call(
        part.get("toolCallId"), part.get("toolName"), given if isinstance(given, str) else json_text(given)
    )


def _result(part: Mapping[str, JSON]) -> str:
    """What a tool said, as the SDK sends it: a text as it is, a value as JSON."""
    output = part.get("output", part.get("result"))
    about = as_mapping(output)
    said = about["value"] if "value" in about and "type" in about else output
    return said if isinstance(said, str) else json_text(said)


# -- answers -----------------------------------------------------------------------------------------------------------


def _completion(span: Span) -> Completion | None:
    """What was answered; None where the span holds nothing of it."""
    text = span.first("ai.response.text", "ai.response.object")
    calls = tuple(_call(as_mapping(c)) for c in as_list(span.first("ai.response.toolCalls")))
    if text is None and not calls:
        return None
    reasons = as_list(span.first("gen_ai.response.finish_reasons"))
    reason = span.text("ai.response.finishReason") or as_text(next(iter(reasons), "")) or "unknown"
    return Completion(as_text(text), ENDS.get(reason, reason), calls, tokens_of(_logprobs(span)))


def _logprobs(span: Span) -> JSON:
    """Token probabilities, which OpenAI's provider puts beside the answer: one list, or one for each part of it."""
    about = as_mapping(as_json(span.first("ai.response.providerMetadata")))
    given = as_list(as_mapping(about.get("openai")).get("logprobs"))
    return [t for part in given for t in part] if given and all(isinstance(p, list) for p in given) else given


def _usage(span: Span) -> Usage:
    return Usage(
        whole_number(span.first("ai.usage.inputTokens", "ai.usage.promptTokens", "gen_ai.usage.input_tokens")),
        whole_number(span.first("ai.usage.outputTokens", "ai.usage.completionTokens", "gen_ai.usage.output_tokens")),
        None,
        whole_number(span.first("ai.usage.cachedInputTokens", "ai.usage.inputTokenDetails.cacheReadTokens")),
    )
