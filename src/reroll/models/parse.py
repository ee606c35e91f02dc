"""The body of an OpenAI-compatible chat completion into a completion and its usage, losing nothing silently."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from reroll.intake.logprobs import read_tokens
from reroll.keys import hide
from reroll.sample import Completion, Token, made_often

__all__ = [
    "Malformed",
    "Parsed",
    "ServerSaid",
    "count_of",
    "first_choice",
    "load_body",
    "load_json",
    "name_of",
    "parse_body",
    "said_by",
    "with_others",
    "with_usage",
    "without",
]

MOST_TOKENS = 10**9  # no call has more; whoever says so cannot count


HTTP_STATUS = re.compile("[1-5][0-9][0-9]")


class Malformed(Exception):
    """A 200 whose body is no chat completion; the text says what is wrong with it."""


class ServerSaid(Exception):
    """A 200 whose body is an error object (some gateways do this), with the status it stands for."""

    def __init__(self, status: int | None, message: str) -> None:
        super().__init__(message)
        self.status = status


@made_often
class Parsed:
    """What one good body says; token counts are None where the server gave none."""

    completion: Completion
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    usd: float | None
    model: str | None
    fingerprint: str | None
    echoed: bool = False  # the completion repeated a secret, which is hidden in it
    others: tuple[Completion | str, ...] = ()  # the other completions of the call, or why one cannot be read
    counts_first: bool = False  # the completion tokens are those of the first completion alone


def first_choice(data: Mapping[str, Any]) -> Any:
    """The first of a body's `choices`, which are put in order. Raises: Malformed; ServerSaid for an error in a 200."""
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices:
        if (error := data.get("error")) is not None:
            raise said_by(error)
        raise Malformed("no `choices`" if choices is None else "`choices` is empty")
    if len(choices) > 1 and all(isinstance(c, dict) and isinstance(c.get("index"), int) for c in choices):
        choices.sort(key=lambda choice: int(choice["index"]))
    return choices[0]


def with_others(parsed: Parsed, data: Mapping[str, Any], read: Callable[[Any], Completion]) -> Parsed:
    """The same with the completions of the other choices."""
    if len(data["choices"]) == 1:
        return parsed
    others: list[Completion | str] = []
    for choice in data["choices"][1:]:
        try:
            others.append(read(choice))
        except Malformed as error:  # the others were paid for, too
            others.append(f"malformed body: {error}")
    return replace(parsed, others=tuple(others), counts_first="timings" in data)  # llama.cpp counts so


def parse_body(body: bytes, content_type: str, prefix: str = "") -> Parsed:
    """The completion of a body. Raises: Malformed; ServerSaid for an error inside a 200.

    prefix: the text of a trailing assistant message that the model was asked to continue. llama.cpp
    repeats it at the start of `content`, other servers do not: it is cut off only where the content
    starts with it, so that `text` is what was newly written.
    """
    data = load_body(body, content_type)
    completion = _completion(first_choice(data), prefix)
    return with_others(with_usage(completion, data), data, lambda choice: _completion(choice, prefix))


def _completion(choice: Any, prefix: str) -> Completion:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise Malformed("a choice has no `message`")
    text = _text(message.get("content"))
    if prefix and text.startswith(prefix):
        text = text[len(prefix) :]
    calls = message.get("tool_calls") or ()
    if not isinstance(calls, list | tuple) or not all(isinstance(c, dict) for c in calls):
        raise Malformed("`tool_calls` is not a list of objects")
    refusal = message.get("refusal")
    logprobs = choice.get("logprobs")
    try:
        tokens = read_tokens(logprobs.get("content") or ()) if isinstance(logprobs, dict) else ()
    except ValueError as error:
        raise Malformed(str(error)) from None
    return Completion(
        text=text,
        finish_reason=str(choice.get("finish_reason") or "unknown"),
        tool_calls=tuple(calls),
        tokens=tokens,
        refusal=refusal if isinstance(refusal, str) else None,
    )


def without(parsed: Parsed, *secrets: str | None) -> Parsed:
    """The same with `[secret]` for these secrets, wherever the server repeated them and however it wrote them.

    Where the completion did, its tokens go: the secret may be spread over several of them.
    """
    if not any(secrets):
        return parsed
    completion = _completion_without(parsed.completion, *secrets)
    others = tuple(hide(o, *secrets) if isinstance(o, str) else _completion_without(o, *secrets) for o in parsed.others)
    return replace(
        parsed,
        completion=completion,
        model=hide(parsed.model, *secrets),
        fingerprint=hide(parsed.fingerprint, *secrets),
        echoed=completion is not parsed.completion or others != parsed.others,
        others=others,
    )


def _completion_without(said: Completion, *secrets: str | None) -> Completion:
    """The very same where it repeats no secret."""
    spelled = "".join(token.text for token in said.tokens)
    found = Completion(
        hide(said.text, *secrets),
        hide(said.finish_reason, *secrets),
        hide(said.tool_calls, *secrets),
        tuple(_token_without(token, *secrets) for token in said.tokens),
        hide(said.refusal, *secrets),
    )
    return replace(found, tokens=()) if found != said or hide(spelled, *secrets) != spelled else said


def _token_without(token: Token, *secrets: str | None) -> Token:
    return replace(token, text=hide(token.text, *secrets), top=hide(token.top, *secrets))


def load_json(body: bytes, content_type: str) -> Any:
    """The JSON value of a body. Raises: Malformed, which says what came instead."""
    if content_type == "text/event-stream":
        raise Malformed("the server streams its answer; take `stream` out of the program's params")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):  # the latter for thousands of nested brackets
        raise Malformed(_what_instead(body, content_type)) from None


def load_body(body: bytes, content_type: str) -> dict[str, Any]:
    """The JSON object of a body. Raises: Malformed, which says what came instead."""
    data = load_json(body, content_type)
    if not isinstance(data, dict):
        raise Malformed(f"JSON, but a {type(data).__name__} instead of an object")
    return data


def _what_instead(body: bytes, content_type: str) -> str:
    """What a body is that is no JSON, for a person."""
    if not body:
        return "empty"
    head = body[:256].lstrip().lower()
    if content_type == "text/html" or head.startswith((b"<!doctype", b"<html")):
        return "an HTML page instead of JSON"
    kind = "JSON that breaks off or is wrong" if head[:1] in (b"{", b"[") else "no JSON"
    return f"{kind} ({len(body)} bytes of {content_type or 'unknown type'})"


def _text(content: Any) -> str:
    """The text of `content`: a string, null, or a list of parts of which the text ones are joined."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(p["text"] for p in content if isinstance(p, dict) and isinstance(p.get("text"), str))
    raise Malformed(f"`content` is a {type(content).__name__}")


def said_by(error: Any) -> ServerSaid:
    """An error object of OpenAI's shape, with the status that it names."""
    if not isinstance(error, dict):
        return ServerSaid(None, str(error))
    code = error.get("code")
    status = int(code) if isinstance(code, int) or (isinstance(code, str) and HTTP_STATUS.fullmatch(code)) else None
    return ServerSaid(status, str(error.get("message") or error))


def count_of(value: Any) -> int | None:
    """A count of tokens, None for anything that can be none."""
    counts = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS
    return value if counts else None


def name_of(value: Any) -> str | None:
    """A name that the server gave, None for anything that is no text."""
    return value if isinstance(value, str) else None


def with_usage(completion: Completion, data: Mapping[str, Any]) -> Parsed:
    """The completion with what OpenAI's shape says of tokens, cost, model and fingerprint."""
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    cached = count_of(details.get("cached_tokens")) if isinstance(details, dict) else None
    cost, model, fingerprint = usage.get("cost"), data.get("model"), data.get("system_fingerprint")
    return Parsed(
        completion,
        count_of(usage.get("prompt_tokens")),
        cached,
        count_of(usage.get("completion_tokens")),
        float(cost) if isinstance(cost, int | float) and not isinstance(cost, bool) and 0 <= cost < 1e6 else None,
        model if isinstance(model, str) else None,
        fingerprint if isinstance(fingerprint, str) else None,
    )
