"""`anthropic:NAME`: Anthropic's messages API, in both versions of its header, fed with the same programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from reroll.models.http_wire import HttpModel
from reroll.models.model import Capabilities, Draw
from reroll.models.parse import Malformed, Parsed, ServerSaid, count_of, load_body, name_of
from reroll.models.wire import Reply
from reroll.sample import Completion

__all__ = ["ANTHROPIC", "MAX_TOKENS", "AnthropicModel", "parse_message"]

ANTHROPIC = "https://api.anthropic.com/v1"
MAX_TOKENS = 4096  # the API wants a limit; this one is sent where the program gives none
VERSION = "2023-06-01"  # the one under which a temperature can be set; keys go as x-api-key
BEARER_SINCE = "2026-10-21"  # from here on keys go as Authorization, and sampling parameters are http 400
VERSION_KEY = "anthropic-version"

# Why it stopped, in the words of chat completions, which checks know; other words stay as they are.
STOPS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "api_error": 500,
    "overloaded_error": 529,
}


class AnthropicModel(HttpModel):
    """The program's system messages go apart, its tools and schema take this API's shape, and everything else
    goes out as it is. `params.anthropic-version` chooses the version of the header, and is no part of the body.
    """

    kind = "anthropic"
    vendor = ANTHROPIC
    path = "messages"
    seeded = False  # the API has no seed

    def headers(self) -> dict[str, str]:
        return {VERSION_KEY: VERSION, **self._key_header(VERSION)}

    def headers_of(self, draw: Draw) -> dict[str, str]:
        version = VERSION if draw.request.raw is not None else str(draw.request.body.get(VERSION_KEY) or VERSION)
        return {VERSION_KEY: version, **self._key_header(version)}

    def _key_header(self, version: str) -> dict[str, str]:
        if not self._key.value:
            return {}
        if version >= BEARER_SINCE:
            return {"Authorization": f"Bearer {self._key.value}"}
        return {"x-api-key": self._key.value}

    def payload(self, draw: Draw) -> bytes:
        """The very bytes that this draw sends."""
        request = draw.request
        if request.raw is not None:
            return request.raw.encode()
        return json.dumps({**_translated(request.body), "model": self.name}).encode()

    def parse(self, reply: Reply, draw: Draw) -> Parsed:
        return parse_message(reply.body, reply.content_type)

    async def probe(self) -> Capabilities:
        """What this model can do, found by a few cheap calls."""
        from reroll.models.probe_draws import probe_draws

        return await probe_draws(
            self,
            cannot={
                "n": "Several completions in one call (n) do not exist in this API.",
                "seed": "A seed does not exist in this API: runs cannot be repeated exactly.",
                "logprobs": "Token probabilities do not exist in this API: rare answers are found by sampling only.",
                "token_ids": "Token ids are not shown by this API.",
            },
            notes=(
                f"The API wants max_tokens; where the program gives none, {MAX_TOKENS} is sent.",
                f"Version {VERSION} of the API is spoken unless params.{VERSION_KEY} says otherwise.",
            ),
        )


def _translated(chat: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a chat completion as this API takes it."""
    body = {k: v for k, v in chat.items() if k not in ("messages", VERSION_KEY)}
    messages = chat.get("messages") or ()
    system = [m.get("content") for m in messages if m.get("role") in ("system", "developer")]
    if system:
        body["system"] = "\n\n".join(system) if all(isinstance(s, str) for s in system) else _blocks(system)
    body["messages"] = _turns([m for m in messages if m.get("role") not in ("system", "developer")])
    if "max_completion_tokens" in body:
        body["max_tokens"] = body.pop("max_completion_tokens")
    body.setdefault("max_tokens", MAX_TOKENS)
    if "stop" in body:
        stop = body.pop("stop")
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if "tools" in body:
        body["tools"] = [_tool(t) for t in body["tools"]]
    if "tool_choice" in body:
        body["tool_choice"] = _choice(body["tool_choice"])
    form = body.pop("response_format", None)
    if isinstance(form, Mapping):
        schema = (form.get("json_schema") or {}).get("schema")
        body["output_config"] = {
            **body.get("output_config", {}),
            "format": {"type": "json_schema", "schema": schema} if schema is not None else dict(form),
        }
    return body


def _blocks(contents: Sequence[Any]) -> list[Any]:
    return [b for c in contents for b in ([{"type": "text", "text": c}] if isinstance(c, str) else c or ())]


def _turns(messages: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Turns of user and assistant; a tool's results go into one message of the user, as this API wants them."""
    out: list[Any] = []
    for message in messages:
        content = message.get("content")
        if message.get("role") == "tool":
            block = {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": content}
            last = out[-1] if out else {}
            blocks = last.get("content")
            if last.get("role") == "user" and isinstance(blocks, list) and blocks[-1].get("type") == "tool_result":
                blocks.append(block)
            else:
                out.append({"role": "user", "content": [block]})
        elif calls := message.get("tool_calls"):
            out.append({"role": "assistant", "content": [*_blocks([content] if content else []), *map(_use, calls)]})
        else:
            out.append({"role": message.get("role"), "content": content})
    return out


def _use(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function") or {}
    arguments = function.get("arguments")
    try:
        given = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:
        given = {"arguments": arguments}  # a broken call of an earlier turn; the API takes objects only
    return {"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": given or {}}


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return tool
    described = {k: function[k] for k in ("name", "description", "strict") if k in function}
    return {**described, "input_schema": function.get("parameters") or {"type": "object", "properties": {}}}


def _choice(choice: Any) -> Any:
    if isinstance(choice, str):
        return {"type": {"required": "any"}.get(choice, choice)}
    if isinstance(choice, Mapping) and isinstance(choice.get("function"), Mapping):
        return {"type": "tool", "name": choice["function"].get("name")}
    return choice


def parse_message(body: bytes, content_type: str) -> Parsed:
    """The completion of a body of this API. Raises: Malformed; ServerSaid for an error inside a 200."""
    data = load_body(body, content_type)
    if data.get("type") == "error":
        error = data.get("error")
        error = error if isinstance(error, dict) else {"message": str(error)}
        raise ServerSaid(STATUS.get(str(error.get("type"))), str(error.get("message") or error))
    content = data.get("content")
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise Malformed("no `content`" if content is None else "`content` is not a list of blocks")
    texts = [b["text"] for b in content if b.get("type") == "text" and isinstance(b.get("text"), str)]
    calls = tuple(
        {
            "id": b.get("id"),
            "type": "function",
            "function": {"name": b.get("name"), "arguments": json.dumps(b.get("input"), ensure_ascii=False)},
        }
        for b in content
        if b.get("type") == "tool_use"
    )
    stop = str(data.get("stop_reason") or "unknown")
    refused = "".join(texts) or "refused" if stop == "refusal" else None
    usage = data.get("usage") if isinstance(data.get("usage"), dict) else {}
    assert isinstance(usage, dict)
    cached = count_of(usage.get("cache_read_input_tokens"))
    fresh, written = count_of(usage.get("input_tokens")), count_of(usage.get("cache_creation_input_tokens")) or 0
    return Parsed(
        Completion("".join(texts), STOPS.get(stop, stop), calls, refusal=refused),
        None if fresh is None else fresh + (cached or 0) + written,
        cached,
        count_of(usage.get("output_tokens")),
        None,
        name_of(data.get("model")),
        None,
    )
