"""A streamed answer as the one object that the same call gives without streaming."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

__all__ = ["events_of", "joined"]

JSON = Any
Event = Mapping[str, JSON]


def events_of(text: str) -> Iterator[dict[str, JSON]]:
    """The JSON objects of a stream of server-sent events; what is no JSON object (`[DONE]`, a comment) is left out.

    >>> list(events_of('data: {"a": 1}\\n\\n: ping\\n\\ndata: [DONE]\\n\\n'))
    [{'a': 1}]
    """
    for block in text.replace("\r\n", "\n").replace("\r", "\n").split("\n\n"):
        data = "\n".join(line[5:].removeprefix(" ") for line in block.split("\n") if line.startswith("data:"))
        try:
            found = json.loads(data) if data else None
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found


def joined(events: Iterable[Event]) -> dict[str, JSON] | None:
    """The whole answer that these events of a chat, completion, response or message say; None where they say none.

    >>> joined([{"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Good "}}]},
    ...         {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "day"},
    ...          "finish_reason": "stop"}]}])["choices"][0]["message"]
    {'role': 'assistant', 'content': 'Good day'}
    """
    every = list(events)
    for knows, join in _JOINS:
        if any(knows(event) for event in every):
            return join(every)
    return None


def _list(value: JSON) -> list[dict[str, JSON]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _object(value: JSON) -> dict[str, JSON]:
    return value if isinstance(value, dict) else {}


def _index(value: Event) -> int:
    index = value.get("index")
    return index if isinstance(index, int) else 0


def _text(value: JSON) -> str:
    return value if isinstance(value, str) else ""


# ---------------------------------------------------------------- chat completions and completions


def _chunks(every: list[Event]) -> dict[str, JSON]:
    whole: dict[str, JSON] = {}
    choices: dict[int, dict[str, JSON]] = {}
    for event in every:
        whole |= {k: v for k, v in event.items() if k != "choices" and v is not None}
        for part in _list(event.get("choices")):
            index = _index(part)
            _add(choices.setdefault(index, {"index": index, "finish_reason": None}), part)
    if isinstance(whole.get("object"), str):
        whole["object"] = whole["object"].removesuffix(".chunk")
    return {**whole, "choices": [choices[index] for index in sorted(choices)]}


def _add(choice: dict[str, JSON], part: Mapping[str, JSON]) -> None:
    if part.get("finish_reason") is not None:
        choice["finish_reason"] = part["finish_reason"]
    if "text" in part:
        choice["text"] = choice.get("text", "") + _text(part["text"])
    if "delta" in part:
        _add_delta(choice.setdefault("message", {"role": "assistant", "content": None}), _object(part["delta"]))
    logprobs = _object(part.get("logprobs"))
    if logprobs:
        known = choice.setdefault("logprobs", {})
        for name, listed in logprobs.items():
            if isinstance(listed, list):
                known[name] = [*(known.get(name) or []), *listed]


def _add_delta(message: dict[str, JSON], delta: Mapping[str, JSON]) -> None:
    for name, value in delta.items():
        if name == "tool_calls":
            calls = message.setdefault("tool_calls", [])
            for part in _list(value):
                _add_call(calls, part)
        elif name == "role":
            message["role"] = value or message["role"]
        elif isinstance(value, str):
            message[name] = _text(message.get(name)) + value
        elif value is not None:
            message[name] = value


def _add_call(calls: list[dict[str, JSON]], part: Mapping[str, JSON]) -> None:
    index = part.get("index")
    at = index if isinstance(index, int) and 0 <= index <= len(calls) else len(calls)
    if at == len(calls):
        calls.append({"type": "function", "function": {"name": "", "arguments": ""}})
    call, said = calls[at], _object(part.get("function"))
    call |= {k: v for k, v in part.items() if k in ("id", "type") and v}
    for name in ("name", "arguments"):
        call["function"][name] += _text(said.get(name))


# ---------------------------------------------------------------- responses


def _response(every: list[Event]) -> dict[str, JSON] | None:
    """The last event of a response holds it whole; of one that broke off there is only what it began with."""
    ended = ("response.completed", "response.incomplete", "response.failed")
    last = [event for event in every if event.get("type") in ended] or [e for e in every if "response" in e]
    return _object(last[-1].get("response")) or None if last else None


# ---------------------------------------------------------------- messages


def _message(every: list[Event]) -> dict[str, JSON] | None:
    start = next((event for event in every if event.get("type") == "message_start"), None)
    if start is None:
        return None
    message = dict(_object(start.get("message")))
    blocks: dict[int, dict[str, JSON]] = {}
    arguments: dict[int, str] = {}
    for event in every:
        index = _index(event)
        if event.get("type") == "content_block_start":
            blocks[index] = dict(_object(event.get("content_block")))
        elif event.get("type") == "content_block_delta":
            delta, block = _object(event.get("delta")), blocks.setdefault(index, {"type": "text", "text": ""})
            for name in ("text", "thinking", "signature"):
                if name in delta:
                    block[name] = _text(block.get(name)) + _text(delta[name])
            if "partial_json" in delta:
                arguments[index] = arguments.get(index, "") + _text(delta["partial_json"])
        elif event.get("type") == "message_delta":
            message |= _object(event.get("delta"))
            message["usage"] = {**_object(message.get("usage")), **_object(event.get("usage"))}
    for index, text in arguments.items():
        try:
            blocks[index]["input"] = json.loads(text) if text else {}
        except (ValueError, RecursionError):  # it was cut off in the middle
            blocks[index]["input"] = text
    return {**message, "content": [blocks[index] for index in sorted(blocks)]}


_JOINS: tuple[tuple[Callable[[Event], bool], Callable[[list[Event]], dict[str, JSON] | None]], ...] = (
    (lambda e: str(e.get("type", "")).startswith("response."), _response),
    (lambda e: e.get("type") == "message_start", _message),
    (lambda e: isinstance(e.get("choices"), list), _chunks),
)
