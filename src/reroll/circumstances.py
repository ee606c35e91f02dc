"""The request of one case under another circumstance: temperature 0, a fixed seed, or a prompt that begins anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reroll.program import Request

__all__ = ["NO_SUCH", "at_zero", "begun_anew", "key_of", "seeded", "temperature_of", "with_body"]

NO_SEED = ("anthropic", "openai-responses")
NO_SUCH = {
    "python": "the program is your own function: it gets inputs, not a prompt with settings",
    "http": "the program is your own product: it gets inputs, not a prompt with settings",
    "recorded": "a recording only repeats what was recorded",
}
"""Why the requests of such models cannot be changed here, by the word before the colon."""


def key_of(request: Request) -> str:
    """The kind of model, as the word before the colon says it."""
    return request.model.partition(":")[0]


def temperature_of(request: Request) -> float | None:
    """The temperature that the request names; None where it leaves it to the server."""
    value = request.body.get("temperature")
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def at_zero(request: Request) -> Request | str:
    """The same at temperature 0, or why that cannot be asked for.

    >>> at_zero(Request("openai:m", None, {"temperature": 1})).body
    {'temperature': 0}
    >>> at_zero(Request("openai:m", None, {"temperature": 0}))
    'it already runs at temperature 0'
    """
    if why := NO_SUCH.get(key_of(request)):
        return why
    if temperature_of(request) == 0:
        return "it already runs at temperature 0"
    return with_body(request, {**request.body, "temperature": 0})


def seeded(request: Request, seed: int) -> Request | str:
    """The same with this seed, or why none can be sent."""
    if why := NO_SUCH.get(key_of(request)):
        return why
    if key_of(request) in NO_SEED:
        return "this API takes no seed"
    if temperature_of(request) == 0:
        return "at temperature 0 there is nothing for a seed to choose"
    return with_body(request, {**request.body, "seed": seed})


def begun_anew(request: Request, nonce: str) -> Request | str:
    """The same with a bracketed reference number at the very beginning of its prompt, or why there is none to begin.

    In front of the system text, the instructions, the prompt or the first message, wherever the model reads first.

    >>> begun_anew(Request("openai:m", None, {"messages": [{"role": "user", "content": "Hi"}]}), "7f").body["messages"]
    [{'role': 'user', 'content': '[Reference number 7f]\\nHi'}]
    """
    if why := NO_SUCH.get(key_of(request)):
        return why
    mark = f"[Reference number {nonce}]\n"
    body = dict(request.body)
    for name in ("prompt", "system", "instructions"):
        if (begun := _before(body.get(name), mark)) is not None:
            return with_body(request, {**body, name: begun})
    for name in ("messages", "input"):
        value = body.get(name)
        if isinstance(value, str):
            return with_body(request, {**body, name: mark + value})
        if isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
            begun = _before(value[0].get("content"), mark)
            if begun is not None:
                return with_body(request, {**body, name: [{**value[0], "content": begun}, *value[1:]]})
    return "its prompt has no text at the beginning that a number could stand before"


def _before(value: Any, mark: str) -> Any:
    """The text, or list of parts, with the mark in front; None where it is neither."""
    if isinstance(value, str) and value:
        return mark + value
    if isinstance(value, list | tuple) and value:
        first = value[0]
        if isinstance(first, str):
            return [mark + first, *value[1:]]
        if isinstance(first, Mapping) and isinstance(first.get("text"), str):
            return [{**first, "text": mark + first["text"]}, *value[1:]]
    return None


def with_body(request: Request, body: Mapping[str, Any]) -> Request:
    """The request with this body; a stored one is written anew, since it goes out as its text says."""
    raw = None if request.raw is None else json.dumps(body, ensure_ascii=False)
    return replace(request, body=body, raw=raw)
