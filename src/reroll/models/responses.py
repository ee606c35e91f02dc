"""`openai-responses:NAME`: OpenAI's responses API, fed with the same programs as chat completions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from reroll.intake.logprobs import read_tokens
from reroll.models.http_wire import HttpModel
from reroll.models.model import Capabilities, Draw
from reroll.models.openai import OPENAI
from reroll.models.parse import Malformed, Parsed, ServerSaid, count_of, load_body, name_of
from reroll.models.wire import Reply
from reroll.sample import Completion, Token

__all__ = ["ResponsesModel", "input_items", "parse_response"]

LOGPROBS = "message.output_text.logprobs"
CUT = {"max_output_tokens": "length", "content_filter": "content_filter"}


class ResponsesModel(HttpModel):
    """The program's messages become `input`, its tools and schema take this API's shape, and everything else
    goes out as it is. Nothing is stored at the vendor (`store: false`) unless the program says so.
    """

    kind = "openai-responses"
    vendor = OPENAI
    path = "responses"
    seeded = False  # the API has no seed

    def payload(self, draw: Draw) -> bytes:
        """The very bytes that this draw sends."""
        request = draw.request
        if request.raw is not None:
            return request.raw.encode()
        return json.dumps({"store": False, **_translated(request.body), "model": self.name}).encode()

    def parse(self, reply: Reply, draw: Draw) -> Parsed:
        return parse_response(reply.body, reply.content_type)

    async def probe(self) -> Capabilities:
        """What this model can do, found by a few cheap calls."""
        from reroll.models.probe_draws import probe_draws

        return await probe_draws(
            self,
            least=16,
            cannot={
                "n": "Several completions in one call (n) do not exist in this API.",
                "seed": "A seed does not exist in this API: runs cannot be repeated exactly.",
                "prefix_continuation": "A given beginning of an answer is not continued by this API.",
                "token_ids": "Token ids are not shown by this API.",
            },
        )


def _translated(chat: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a chat completion as this API takes it."""
    body = {k: v for k, v in chat.items() if k != "messages"}
    body["input"] = input_items(chat.get("messages") or ())
    for name in ("max_tokens", "max_completion_tokens"):
        if name in body:
            body["max_output_tokens"] = body.pop(name)
    if body.pop("logprobs", False):
        body["include"] = [*body.get("include", ()), LOGPROBS]
    if "reasoning_effort" in body:
        body["reasoning"] = {"effort": body.pop("reasoning_effort")}
    if "tools" in body:
        body["tools"] = [{"type": "function", **t["function"]} if "function" in t else t for t in body["tools"]]
    choice = body.get("tool_choice")
    if isinstance(choice, Mapping) and isinstance(choice.get("function"), Mapping):
        body["tool_choice"] = {"type": "function", **choice["function"]}
    form = body.pop("response_format", None)
    if isinstance(form, Mapping):
        inner = form.get("json_schema")
        flat = {"type": "json_schema", **inner} if isinstance(inner, Mapping) else dict(form)
        body["text"] = {**body.get("text", {}), "format": flat}
    return body


def input_items(messages: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Messages as this API takes them; calls of tools and their results are items of their own.

    >>> input_items([{"role": "user", "content": "Hi"}, {"role": "tool", "tool_call_id": "c", "content": "7"}])
    [{'role': 'user', 'content': 'Hi'}, {'type': 'function_call_output', 'call_id': 'c', 'output': '7'}]
    """
    items: list[Any] = []
    for message in messages:
        if message.get("role") == "tool":
            items.append(
                {
                    "type": "function_call_output",
                    "call_id": message.get("tool_call_id"),
                    "output": message.get("content"),
                }
            )
            continue
        calls = message.get("tool_calls") or ()
        if message.get("content") or not calls:
            items.append({"role": message.get("role"), "content": _content(message)})
        for call in calls:
            function = call.get("function") or {}
            items.append({"type": "function_call", "call_id": call.get("id"), **function})
    return items


def _content(message: Mapping[str, Any]) -> Any:
    content = message.get("content")
    if not isinstance(content, list | tuple):
        return content
    kind = "output_text" if message.get("role") == "assistant" else "input_text"
    return [_part(part, kind) for part in content]


def _part(part: Any, kind: str) -> Any:
    if isinstance(part, Mapping) and part.get("type") == "text":
        return {"type": kind, "text": part.get("text")}
    if isinstance(part, Mapping) and isinstance(part.get("image_url"), Mapping):
        image = part["image_url"]
        return {"type": "input_image", "image_url": image.get("url"), **{k: v for k, v in image.items() if k != "url"}}
    return part


def parse_response(body: bytes, content_type: str) -> Parsed:
    """The completion of a body of this API. Raises: Malformed; ServerSaid for a response that failed."""
    data = load_body(body, content_type)
    error = data.get("error")
    if data.get("status") == "failed" or (error is not None and "output" not in data):
        raise _failed(error)
    output = data.get("output")
    if not isinstance(output, list) or not all(isinstance(item, dict) for item in output):
        raise Malformed("no `output`" if output is None else "`output` is not a list of objects")
    texts: list[str] = []
    refusals: list[str] = []
    tokens: list[Token] = []
    calls = [_call(item) for item in output if item.get("type") == "function_call"]
    for part in (p for item in output if item.get("type") == "message" for p in _parts(item)):
        if part.get("type") == "refusal":
            refusals.append(str(part.get("refusal") or "refused"))
        elif isinstance(part.get("text"), str):
            texts.append(part["text"])
            try:
                tokens += read_tokens(part.get("logprobs") or ())
            except ValueError as problem:
                raise Malformed(str(problem)) from None
    details = data.get("incomplete_details")
    why = details.get("reason") if isinstance(details, dict) else None
    status = str(data.get("status") or "unknown")
    reason = CUT.get(str(why), str(why)) if why else ("tool_calls" if calls else "stop")
    completion = Completion(
        "".join(texts),
        reason if why or status == "completed" else status,
        tuple(calls),
        tuple(tokens),
        "\n".join(refusals) or None,
    )
    usage = data.get("usage") if isinstance(data.get("usage"), dict) else {}
    assert isinstance(usage, dict)
    details = usage.get("input_tokens_details")
    return Parsed(
        completion,
        count_of(usage.get("input_tokens")),
        count_of(details.get("cached_tokens")) if isinstance(details, dict) else None,
        count_of(usage.get("output_tokens")),
        None,
        name_of(data.get("model")),
        None,
    )


def _parts(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = item.get("content")
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise Malformed("a message without a list of `content`")
    return content


def _call(item: Mapping[str, Any]) -> dict[str, Any]:
    """A call of a tool in the shape of chat completions, which checks know."""
    function = {"name": item.get("name"), "arguments": item.get("arguments")}
    return {"id": item.get("call_id"), "type": "function", "function": function}


def _failed(error: Any) -> ServerSaid:
    if not isinstance(error, dict):
        return ServerSaid(None, str(error or "the response failed without a reason"))
    status = {"rate_limit_exceeded": 429, "invalid_prompt": 400}.get(str(error.get("code")))
    return ServerSaid(status, str(error.get("message") or error))
