"""Token probabilities in OpenAI's shape, as servers send them and files record them, into tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reroll.sample import Token

__all__ = ["read_tokens"]


def read_tokens(content: Sequence[Mapping[str, Any]]) -> tuple[Token, ...]:
    """Tokens of a `logprobs.content` list. Raises: ValueError for an entry that is no token.

    >>> read_tokens([{"token": "Hi", "logprob": -0.5, "top_logprobs": [{"token": "Yo", "logprob": -1}]}])
    (Token(text='Hi', logprob=-0.5, top=(('Yo', -1),), id=None),)
    """
    try:
        return tuple(
            Token(
                entry["token"],
                entry.get("logprob"),
                tuple([(t["token"], t["logprob"]) for t in entry.get("top_logprobs") or ()]),
                entry.get("id"),
            )
            for entry in content
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"`logprobs.content` has an entry that is no token ({error!r})") from None
