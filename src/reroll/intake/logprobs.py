"""Token probabilities in OpenAI's shape, as servers send them and files record them, into tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reroll.sample import Token

__all__ = ["read_tokens"]


def read_tokens(content: Sequence[Mapping[str, Any]]) -> tuple[Token, ...]:
    """Tokens of a `logprobs.content` list. Raises: ValueError for an entry that is no token.

    >>> read_tokens([{"token": "Hi", "logprob": -0.5, "top_logprobs": [{"token": "Yo", "logprob": -1}]}])
    (Token(text='Hi', logprob=-0.5, top=(('Yo', -1),), id=None, top_ids=()),)
    """
    try:
        return tuple(
            Token(
                _text(entry["token"]),
                None if entry.get("logprob") is None else _number(entry["logprob"]),
                tuple([(_text(t["token"]), _number(t["logprob"])) for t in entry.get("top_logprobs") or ()]),
                _id(entry.get("id")),
                _ids(entry.get("top_logprobs") or ()),
            )
            for entry in content
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"`logprobs.content` has an entry that is no token ({error!r})") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text that is none")
    return value


def _number(value: Any) -> float:
    """Raises: TypeError for what is no number, or more than any database holds as one."""
    if not isinstance(value, int | float) or isinstance(value, bool) or (isinstance(value, int) and abs(value) > 2**53):
        raise TypeError("a number that is none")
    return value


def _ids(top: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """The ids of all alternatives; none where one of them has none."""
    found = tuple([n for t in top if (n := _id(t.get("id"))) is not None])
    return found if len(found) == len(top) else ()


def _id(value: Any) -> int | None:
    """Token ids have no meaning of their own, so an odd one is left out."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 else None
