"""Whether an answer was thought over in tokens that are not part of it: then none of its tokens can be gone on from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["thought_in", "thought_over"]


def thought_in(raw: str | None) -> bool:
    """The same of a stored body; False where none is kept, or it is no JSON object."""
    try:
        data = json.loads(raw) if raw else None
    except (ValueError, RecursionError):
        return False
    return isinstance(data, dict) and thought_over(data)


def thought_over(data: Mapping[str, Any]) -> bool:
    """Whether the body of an answer, of any wire, shows or counts tokens of reasoning.

    >>> thought_over({"choices": [{"message": {"content": "4", "reasoning_content": "2 and 2"}}]})
    True
    >>> thought_over({"usage": {"completion_tokens_details": {"reasoning_tokens": 0}}})
    False
    """
    usage = _mapping(data.get("usage"))
    for key in ("completion_tokens_details", "output_tokens_details"):
        count = _mapping(usage.get(key)).get("reasoning_tokens")
        if isinstance(count, int) and count > 0:
            return True
    choices = data.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        message = _mapping(_mapping(choice).get("message"))
        if any(message.get(key) for key in ("reasoning_content", "reasoning", "thinking")):
            return True
    blocks = [data.get("content"), data.get("output")]  # Anthropic's messages, OpenAI's responses
    return any(
        _mapping(block).get("type") in ("thinking", "redacted_thinking", "reasoning")
        for some in blocks
        if isinstance(some, list)
        for block in some
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
