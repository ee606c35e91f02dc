"""`openai-completions:NAME`: servers that continue a plain text; messages are written out as one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from reroll.intake.logprobs import read_tokens
from reroll.models.choices import asked_for
from reroll.models.http_wire import HttpModel
from reroll.models.model import Capabilities, Draw
from reroll.models.openai import OPENAI
from reroll.models.parse import Malformed, Parsed, first_choice, load_body, with_others, with_usage
from reroll.models.wire import Reply
from reroll.sample import Completion, Token

__all__ = ["CompletionsModel", "parse_completion", "plain_prompt"]


class CompletionsModel(HttpModel):
    """The prompt is `plain_prompt` of the program's messages, or `params.prompt` where the program has one."""

    kind = "openai-completions"
    vendor = OPENAI
    path = "completions"
    choices = staticmethod(asked_for)

    def payload(self, draw: Draw) -> bytes:
        """The very bytes that this draw sends."""
        request = draw.request
        if request.raw is not None:
            return request.raw.encode()
        body = {**self._defaults, **{k: v for k, v in request.body.items() if k != "messages"}, "model": self.name}
        body.setdefault("prompt", plain_prompt(request.body.get("messages") or ()))
        if "max_completion_tokens" in body:
            body["max_tokens"] = body.pop("max_completion_tokens")
        if isinstance(body.get("logprobs"), bool):  # as chat completions take it; here it is a count
            asked, top = body.pop("logprobs"), body.pop("top_logprobs", 1)
            if asked:
                body["logprobs"] = top
        if draw.seed is not None:
            body["seed"] = draw.seed
        return json.dumps(body).encode()

    def parse(self, reply: Reply, draw: Draw) -> Parsed:
        return parse_completion(reply.body, reply.content_type)

    async def probe(self) -> Capabilities:
        """What this model can do, found by a few cheap calls."""
        from reroll.models.probe_draws import probe_draws

        return await probe_draws(
            self,
            post=self.post,
            can=("prefix_continuation",),
            cannot={
                "token_ids": "Token ids are not read from this API.",
                "tools": "Tools do not exist in this API.",
            },
        )


def plain_prompt(messages: Sequence[Mapping[str, Any]]) -> str:
    """Messages as one text: one of the user alone is that very text, so that a program can write its own.

    Otherwise the system message comes first, then each turn after its role, a blank line between them, and
    `Assistant:` at the end; a last message of the assistant is left open for the model to go on.

    >>> print(plain_prompt([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]))
    Be kind.
    <BLANKLINE>
    User: Hi
    <BLANKLINE>
    Assistant:
    """
    if len(messages) == 1 and messages[0].get("role") == "user":
        return _plain(messages[0].get("content"))
    blocks = []
    for message in messages:
        role, text = str(message.get("role")), _plain(message.get("content"))
        blocks.append(text if role in ("system", "developer") else f"{role.capitalize()}: {text}")
    if not messages or messages[-1].get("role") != "assistant":
        blocks.append("Assistant:")
    return "\n\n".join(blocks)


def _plain(content: Any) -> str:
    if isinstance(content, list | tuple):
        return "".join(str(p.get("text", "")) for p in content if isinstance(p, Mapping))
    return content if isinstance(content, str) else ""


def parse_completion(body: bytes, content_type: str) -> Parsed:
    """The choices of a body of this API. Raises: Malformed; ServerSaid for an error inside a 200."""
    data = load_body(body, content_type)
    completion = _completion(first_choice(data))
    return with_others(with_usage(completion, data), data, _completion)


def _completion(choice: Any) -> Completion:
    if not isinstance(choice, dict) or not isinstance(choice.get("text"), str):
        raise Malformed("a choice has no `text`")
    reason = str(choice.get("finish_reason") or "unknown")
    try:
        tokens = _tokens(choice.get("logprobs"))
    except (ValueError, TypeError, AttributeError) as problem:
        raise Malformed(f"`logprobs` that are none ({problem})") from None
    return Completion(choice["text"], reason, tokens=tokens)


def _tokens(logprobs: Any) -> tuple[Token, ...]:
    """Tokens from either shape: parallel lists (OpenAI, vLLM), or a list of entries under `content` (llama.cpp)."""
    if not isinstance(logprobs, dict):
        return ()
    if isinstance(logprobs.get("content"), list):
        return read_tokens(logprobs["content"])
    texts = logprobs.get("tokens") or ()
    chances, tops = (
        (None,) * len(texts) if logprobs.get(key) is None else logprobs[key]
        for key in ("token_logprobs", "top_logprobs")
    )
    if not len(texts) == len(chances) == len(tops):
        raise ValueError("lists of different lengths")
    entries = [
        {
            "token": text,
            "logprob": chance,
            "top_logprobs": [{"token": t, "logprob": lp} for t, lp in (top or {}).items()],
        }
        for text, chance, top in zip(texts, chances, tops, strict=True)
    ]
    return read_tokens(entries)
