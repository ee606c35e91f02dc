"""`openai:NAME`: any server that speaks OpenAI's chat completions, over a thin wire of our own."""

from __future__ import annotations

import json
from collections.abc import Mapping

from reroll.models.choices import asked_for
from reroll.models.http_wire import HttpModel, base_address
from reroll.models.model import Capabilities, Draw
from reroll.models.parse import Parsed, parse_body
from reroll.models.wire import Reply
from reroll.program import Request

__all__ = ["OPENAI", "OpenAIModel", "base_address", "completion_prefix"]

OPENAI = "https://api.openai.com/v1"


def completion_prefix(request: Request) -> str:
    """The text that the model is asked to continue: a last message of the assistant, else nothing."""
    messages = request.body.get("messages")
    last = messages[-1] if isinstance(messages, list | tuple) and messages else None
    if isinstance(last, Mapping) and last.get("role") == "assistant" and isinstance(last.get("content"), str):
        return str(last["content"])
    return ""


class OpenAIModel(HttpModel):
    """Chat completions: one model name at one address.

    Request.body goes out as it is, over `defaults`, with "model" and (where the draw has one) "seed"
    set; a raw request goes out byte for byte. A body that ends with a message of the assistant is
    sent like any other: servers that can, continue it, and `Completion.text` is then the new text
    alone (llama.cpp repeats the prefix in its answer: it is cut off where the answer starts with it).
    """

    kind = "openai"
    vendor = OPENAI
    path = "chat/completions"
    choices = staticmethod(asked_for)

    def payload(self, draw: Draw) -> bytes:
        """The very bytes that this draw sends."""
        request = draw.request
        if request.raw is not None:
            return request.raw.encode()
        body = {**self._defaults, **request.body, "model": self.name}
        if draw.seed is not None:
            body["seed"] = draw.seed
        return json.dumps(body).encode()

    def parse(self, reply: Reply, draw: Draw) -> Parsed:
        return parse_body(reply.body, reply.content_type, completion_prefix(draw.request))

    async def probe(self) -> Capabilities:
        """What this model can do, found by a few cheap calls."""
        from reroll.models.probe import probe

        return await probe(self.post)
