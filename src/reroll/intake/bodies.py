"""What providers' APIs send and answer, of whichever family, into messages and completions; odd values never raise."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from reroll.intake.logprobs import read_tokens
from reroll.intake.taken import API
from reroll.json_text import json_text, json_value
from reroll.sample import Completion, Token, Usage, made_often

__all__ = [
    "Answered",
    "api_of",
    "as_json",
    "as_list",
    "as_mapping",
    "as_object",
    "as_text",
    "call",
    "finite",
    "is_request",
    "joined",
    "messages_of",
    "read_answer",
    "request_text",
    "tokens_of",
    "tools_of",
    "whole_number",
]

JSON = Any
MOST_TOKENS = 10**9
UNKNOWN = Usage()


@made_often
class Answered:
    """What an answer's body says: completions (the first, then others), or an error, or that it says neither."""

    completion: Completion | None = None
    others: tuple[Completion | str, ...] = ()
    error: str | None = None
    usage: Usage = UNKNOWN
    model: str | None = None
    fingerprint: str | None = None
    id: str | None = None


# -- requests ----------------------------------------------------------------------------------------------------------


def is_request(value: JSON) -> bool:
    """Whether this is the body of a request to a model, of any family."""
    if not isinstance(value, dict):
        return False
    if isinstance(value.get("messages"), list) and value["messages"]:
        return all(isinstance(m, dict) for m in value["messages"])
    has = "model" in value or "instructions" in value
    return has and isinstance(value.get("prompt", value.get("input")), str | list) and "output" not in value


ENDINGS: tuple[tuple[str, API], ...] = (
    ("/chat/completions", "chat"),
    ("/responses", "responses"),
    ("/messages", "messages"),
)


def api_of(body: Mapping[str, JSON], url: str | None = None) -> API:
    """The family that a request body belongs to: from its address where that is known, else from its shape."""
    path = url.partition("?")[0].rstrip("/") if url else ""
    for ending, api in ENDINGS if path else ():
        if path.endswith(ending):
            return api
    if "messages" in body:
        system = "system" in body or str(body.get("model", "")).startswith("claude")
        return "messages" if system or "anthropic_version" in body else "chat"
    return "completions" if "prompt" in body else "responses"


def request_text(body: Mapping[str, JSON]) -> str:
    """The text of a body, its keys in their order."""
    return json_text(body)


def messages_of(body: Mapping[str, JSON], api: API) -> list[dict[str, JSON]]:
    """The messages in the shape of chat completions, whatever family the request is of."""
    if api == "responses":
        return _of_responses(body)
    if api == "completions":
        prompt = body.get("prompt")
        return [{"role": "user", "content": as_text(prompt)}] if prompt else []
    given = body.get("messages")
    messages = [m for m in given if isinstance(m, dict)] if isinstance(given, list) else []
    if api == "messages":
        system = joined(body.get("system"))
        first: list[dict[str, JSON]] = [{"role": "system", "content": system}] if system else []
        return first + [part for m in messages for part in _of_anthropic(m)]
    return [_plain(m) for m in messages]


def _plain(message: Mapping[str, JSON]) -> dict[str, JSON]:
    """The message without its empty keys, and with its text as one text where it is nothing but text."""
    role, content = message.get("role"), message.get("content")
    if len(message) == 2 and type(role) is str and type(content) is str:
        return {"role": role, "content": content}
    found = {k: v for k, v in message.items() if (v is not None and v != []) or k == "content"}
    if isinstance(content, list) and content and all(_is_text(part) for part in content):
        found["content"] = joined(content)
    return {"role": str(found.pop("role", "user")), **found}


def _is_text(part: JSON) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str) and "image" not in str(part.get("type"))


def joined(content: JSON) -> str:
    """The text of a content: a text, or the text parts of a list, with nothing between them."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(p if isinstance(p, str) else p["text"] for p in content if isinstance(p, str) or _is_text(p))
    return ""


def _of_anthropic(message: Mapping[str, JSON]) -> list[dict[str, JSON]]:
    content, role = message.get("content"), str(message.get("role", "user"))
    if not isinstance(content, list):
        return [{"role": role, "content": content if isinstance(content, str) else ""}]
    blocks = [b for b in content if isinstance(b, dict)]
    results = [b for b in blocks if b.get("type") == "tool_result"]
    found: list[dict[str, JSON]] = [
        {"role": "tool", "tool_call_id": str(b.get("tool_use_id", "")), "content": _result_text(b.get("content"))}
        for b in results
    ]
    rest = [b for b in blocks if b.get("type") not in ("tool_result", "tool_use", "thinking", "redacted_thinking")]
    calls = [call(b.get("id"), b.get("name"), b.get("input")) for b in blocks if b.get("type") == "tool_use"]
    if rest or calls or not results:
        text: JSON = joined(rest) if all(_is_text(b) for b in rest) else rest
        found.append({"role": role, "content": text, **({"tool_calls": calls} if calls else {})})
    return found


def _result_text(content: JSON) -> str:
    return joined(content) if isinstance(content, str | list) else as_text(content)


def _of_responses(body: Mapping[str, JSON]) -> list[dict[str, JSON]]:
    instructions, given = body.get("instructions"), body.get("input")
    found: list[dict[str, JSON]] = []
    if isinstance(instructions, str) and instructions:
        found.append({"role": "system", "content": instructions})
    if isinstance(given, str):
        return [*found, {"role": "user", "content": given}]
    for item in given if isinstance(given, list) else ():
        if not isinstance(item, dict):
            continue
        kind = item.get("type", "message")
        if kind == "function_call":
            one = call(item.get("call_id"), item.get("name"), item.get("arguments"))
            found.append({"role": "assistant", "content": None, "tool_calls": [one]})
        elif kind == "function_call_output":
            said = _result_text(item.get("output"))
            found.append({"role": "tool", "tool_call_id": str(item.get("call_id", "")), "content": said})
        elif "role" in item:
            content = item.get("content")
            plain = isinstance(content, list) and not all(_is_text(p) for p in content)
            found.append({"role": str(item["role"]), "content": content if plain else joined(content)})
    return found


def call(id: JSON, name: JSON, arguments: JSON) -> dict[str, JSON]:
    """A tool call in the shape of chat completions, whose arguments are a text."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    return {"id": as_text(id), "type": "function", "function": {"name": as_text(name), "arguments": text}}


def tools_of(body: Mapping[str, JSON]) -> list[dict[str, JSON]]:
    """The tools in the shape of chat completions."""
    given = body.get("tools")
    found = []
    for tool in given if isinstance(given, list) else ():
        if not isinstance(tool, dict):
            continue
        if isinstance(tool.get("function"), dict) or not isinstance(tool.get("name"), str):
            found.append(dict(tool))
            continue
        about = {k: tool[k] for k in ("name", "description", "strict") if tool.get(k) is not None}
        shape = tool.get("parameters") or tool.get("input_schema")
        found.append({"type": "function", "function": {**about, **({"parameters": shape} if shape else {})}})
    return found


# -- answers -----------------------------------------------------------------------------------------------------------


def read_answer(body: JSON, status: JSON = None) -> Answered:
    """The answer that a body holds, of any family; a body that holds none is an error that says so."""
    if isinstance(body, str):
        text = body
        body = _from_stream(text) if text.lstrip().startswith(("data:", "event:")) else as_object(text)
        if body is None:
            return Answered(Completion(text)) if _fine(status) else Answered(error=_error_text(text, status))
    if not isinstance(body, dict):
        return Answered(error="the answer was not recorded")
    about = _about(body)
    if not _fine(status) or (body.get("error") and not body.get("choices")):
        return Answered(error=_error_text(body.get("error") or body, status), **about)
    found = _choices(body)
    if not found:
        return Answered(error="the recorded answer holds no completion", **about)
    first, *others = found
    if isinstance(first, str):
        return Answered(error=first, **about)
    return Answered(first, tuple(others), **about)


def _fine(status: JSON) -> bool:
    return not isinstance(status, int) or isinstance(status, bool) or status < 400


def _error_text(error: JSON, status: JSON) -> str:
    if isinstance(error, dict):
        error = error.get("message") or error.get("type") or json.dumps(dict(error), ensure_ascii=False, default=str)
    number = f"HTTP {status}: " if isinstance(status, int) and not isinstance(status, bool) and status >= 400 else ""
    return f"{number}{as_text(error)[:2000]}"


def _about(body: Mapping[str, JSON]) -> dict[str, Any]:
    usage = as_mapping(body.get("usage"))
    details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else usage.get("cache_read_input_tokens")
    return {
        "usage": Usage(
            whole_number(usage.get("prompt_tokens", usage.get("input_tokens"))),
            whole_number(usage.get("completion_tokens", usage.get("output_tokens"))),
            None,
            whole_number(cached),
        ),
        "model": _name(body.get("model")),
        "fingerprint": _name(body.get("system_fingerprint")),
        "id": _name(body.get("id")),
    }


def _name(value: JSON) -> str | None:
    return value if isinstance(value, str) and value else None


def whole_number(value: JSON) -> int | None:
    """A count, None for anything that can be none."""
    if value is None or (type(value) is int and 0 <= value <= MOST_TOKENS):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS
    return value if good else None


def finite(value: JSON) -> float | None:
    """A number as it is, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        return None
    return float(value)


def _choices(body: Mapping[str, JSON]) -> list[Completion | str]:
    choices = body.get("choices")
    if isinstance(choices, list):
        return [_choice(c) for c in choices]
    if isinstance(body.get("output"), list):
        return _from_responses(body)
    if isinstance(body.get("content"), list) and body.get("role", "assistant") == "assistant":
        return [_from_anthropic(body)]
    if body.get("role") == "assistant":
        return [_choice({"message": body})]
    return []


def _choice(choice: JSON) -> Completion | str:
    if not isinstance(choice, dict):
        return "malformed body: a choice is no object"
    message, logprobs = choice.get("message"), choice.get("logprobs")
    if not isinstance(message, dict):
        message = {"content": choice["text"]} if isinstance(choice.get("text"), str) else None
    if message is None:
        return "malformed body: a choice has no `message`"
    calls = message.get("tool_calls")
    refusal = message.get("refusal")
    return Completion(
        joined(message.get("content")),
        _name(choice.get("finish_reason")) or "unknown",
        tuple(dict(c) for c in calls if isinstance(c, dict)) if isinstance(calls, list) else (),
        tokens_of(logprobs.get("content") if isinstance(logprobs, dict) else None),
        refusal if isinstance(refusal, str) else None,
    )


def tokens_of(content: JSON) -> tuple[Token, ...]:
    """The tokens of a `logprobs.content` list; none where it is not one."""
    try:
        return read_tokens(content) if isinstance(content, list) else ()
    except ValueError:
        return ()


ENDS = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}


def _from_anthropic(body: Mapping[str, JSON]) -> Completion:
    blocks = [b for b in body["content"] if isinstance(b, dict)]
    calls = tuple(call(b.get("id"), b.get("name"), b.get("input")) for b in blocks if b.get("type") == "tool_use")
    text = joined([b for b in blocks if b.get("type") == "text"])
    reason = as_text(body.get("stop_reason") or "unknown")
    return Completion(text, ENDS.get(reason, reason), calls)


def _from_responses(body: Mapping[str, JSON]) -> list[Completion | str]:
    texts, refusal = "", None
    tokens: list[Token] = []
    calls: list[dict[str, JSON]] = []
    for item in body["output"]:
        if not isinstance(item, dict):
            continue
        if item.get("type") == "function_call":
            calls.append(call(item.get("call_id"), item.get("name"), item.get("arguments")))
        content = item.get("content")
        for part in content if isinstance(content, list) and item.get("type") == "message" else ():
            if isinstance(part, dict):
                texts += part["text"] if isinstance(part.get("text"), str) else ""
                tokens += tokens_of(part.get("logprobs"))
                refusal = part["refusal"] if isinstance(part.get("refusal"), str) else refusal
    details = body.get("incomplete_details")
    cut = isinstance(details, dict) and details.get("reason") == "max_output_tokens"
    reason = "length" if cut else "tool_calls" if calls else "stop"
    return [Completion(texts, reason, tuple(calls), tuple(tokens), refusal)]


def _from_stream(text: str) -> dict[str, JSON] | None:
    """The pieces of a streamed chat completion put together; None where they are none."""
    said, reason, found = "", None, {}
    calls: dict[int, dict[str, JSON]] = {}
    for line in text.splitlines():
        piece = as_object(line.removeprefix("data:").strip()) if line.startswith("data:") else None
        choices = piece.get("choices") if piece else None
        if piece is None or not isinstance(choices, list):
            continue
        found.update({k: piece[k] for k in ("id", "model", "system_fingerprint", "usage") if piece.get(k)})
        first = as_mapping(choices[0] if choices else None)
        delta = as_mapping(first.get("delta"))
        said += delta["content"] if isinstance(delta.get("content"), str) else ""
        reason = first.get("finish_reason") or reason
        _add_calls(calls, delta.get("tool_calls"))
    if not found:
        return None
    message = {"content": said, "tool_calls": [calls[i] for i in sorted(calls)]}
    return {**found, "choices": [{"message": message, "finish_reason": reason}]}


def _add_calls(calls: dict[int, dict[str, JSON]], pieces: JSON) -> None:
    for piece in pieces if isinstance(pieces, list) else ():
        if not isinstance(piece, dict):
            continue
        place = whole_number(piece.get("index")) or 0
        function = as_mapping(piece.get("function"))
        one = calls.setdefault(place, call(piece.get("id"), function.get("name"), ""))
        one["function"]["arguments"] += as_text(function.get("arguments") or "")


# -- small things ------------------------------------------------------------------------------------------------------


def as_text(value: JSON) -> str:
    """A text as it is, nothing for null, and any other value as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, default=str)


BEGINS = re.compile(r"\s*[\[{]")


def as_json(value: JSON) -> JSON:
    """The JSON value that a text holds, and any other value as it is; None for a text that is no JSON."""
    if not isinstance(value, str):
        return value
    if not BEGINS.match(value):
        return None
    try:
        return json_value(value, odd_numbers=True)
    except ValueError:
        return None


def as_mapping(value: JSON) -> Mapping[str, JSON]:
    """The mapping that a value is, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_object(value: JSON) -> dict[str, JSON] | None:
    """The object that a value is, or that its text holds; else None."""
    found = as_json(value)
    return dict(found) if isinstance(found, dict) else None


def as_list(value: JSON) -> list[JSON]:
    """The list that a value is, or that its text holds; else an empty one."""
    found = as_json(value)
    return list(found) if isinstance(found, list | tuple) else []
