"""A stored sample as a line of recorded completions."""

from __future__ import annotations

from dataclasses import fields
from itertools import zip_longest
from typing import Any

from reroll.sample import Completion, Token
from reroll.store_rows import StoredRequest, StoredSample

__all__ = ["exported"]


def exported(one: StoredSample, run: int, asked: StoredRequest | None, expected: Any) -> dict[str, Any]:
    """The line; what has nothing to say is left out, but `completion` is always there, null without one."""
    sample, completion = one.sample, one.sample.completion
    body = dict(asked.request.body) if asked else {}
    line: dict[str, Any] = {
        "case_id": one.case_id,
        "variant": one.variant,
        "run": run,
        "model": asked.request.model if asked else sample.model,
        "messages": body.pop("messages", []),
        "params": body,
        "completion": _completion(completion) if completion else None,
    }
    if expected is not None:
        line["expected"] = expected
    more: dict[str, Any] = {"reward": sample.reward, "error": sample.error, "seed": sample.seed}
    spent = {f.name: getattr(sample.usage, f.name) for f in fields(sample.usage)}
    more["usage"] = {name: value for name, value in spent.items() if value is not None} or None
    if completion is not None and completion.tokens:
        more["logprobs"] = {"content": [_token(t) for t in completion.tokens]}
    return line | {name: value for name, value in more.items() if value is not None}


def _completion(completion: Completion) -> str | dict[str, Any]:
    """The text where that is all, else an object with it."""
    more = {
        "finish_reason": None if completion.finish_reason == "stop" else completion.finish_reason,
        "tool_calls": [dict(call) for call in completion.tool_calls] or None,
        "refusal": completion.refusal,
    }
    said = {name: value for name, value in more.items() if value is not None}
    return {"text": completion.text, **said} if said else completion.text


def _token(token: Token) -> dict[str, Any]:
    """As the chat completions API lists it; `id` where known."""
    line: dict[str, Any] = {
        "token": token.text,
        "logprob": token.logprob,
        "top_logprobs": [
            {"token": text, "logprob": logprob, **({"id": id} if id is not None else {})}
            for (text, logprob), id in zip_longest(token.top, token.top_ids)
        ],
    }
    return line if token.id is None else {**line, "id": token.id}
