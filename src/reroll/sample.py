"""What came back from one draw: a completion, or the error that stood in for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, dataclass_transform

__all__ = ["Attempt", "Completion", "Sample", "Token", "Usage", "function_of", "made_often", "served"]


C = TypeVar("C")


@dataclass_transform(frozen_default=True)
def made_often(cls: type[C]) -> type[C]:
    """A dataclass that is frozen for the type checker only: making one takes a quarter of the time."""
    return dataclass(slots=True, unsafe_hash=True)(cls)


@made_often
class Token:
    """One sampled token; `logprob` in nats as the server reported it, before temperature.

    `top` holds the likeliest alternatives as (text, logprob), the sampled one included where
    the server lists it; `top_ids` their token ids in the same order, empty where they are not known.
    """

    text: str
    logprob: float | None = None
    top: tuple[tuple[str, float], ...] = ()
    id: int | None = None
    top_ids: tuple[int, ...] = ()


@made_often
class Completion:
    """What the model wrote. `finish_reason` is the server's word: stop, length, tool_calls, ..."""

    text: str
    finish_reason: str = "stop"
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    tokens: tuple[Token, ...] = ()
    refusal: str | None = None


@made_often
class Attempt:
    """One HTTP try inside a draw. Times in seconds; `started` is Unix time.

    `waited` is what we slept *before* this try, so that latency stays free of our own waits.
    """

    started: float
    seconds: float
    status: int | None = None
    error: str | None = None
    waited: float = 0.0
    request_id: str | None = None


@made_often
class Usage:
    """Tokens and money of one draw, all its attempts together; None means not known, never 0.

    `cached_tokens` are those of the prompt that the server took from its cache; the price has them already.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    usd: float | None = None
    cached_tokens: int | None = None


def function_of(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a tool call, or a tool, says of its function: under `function` in OpenAI's form, else itself."""
    said = call.get("function", call)
    return said if isinstance(said, Mapping) else call


def served(model: str | None, fingerprint: str | None) -> str:
    """What a server said answered, as one text: its model and fingerprint; empty where it said nothing.

    >>> served("gpt-4o-2024-08-06", "fp_1"), served(None, None)
    ('gpt-4o-2024-08-06 fp_1', '')
    """
    return " ".join(part for part in (model, fingerprint) if part)


@made_often
class Sample:
    """One settled draw. It has a completion, an error, or (a recorded conversation) a reward.

    `model` and `fingerprint` are what the server said answered; `raw` is its response body,
    header secrets excluded; `reward` is a recorded outcome in 0...1 where no completion exists.
    `siblings` are the other samples of a call that asks for several completions (n), in the server's order: each is
    a sample of its own, and what the call took is counted with the first, which holds them.
    `calls`: how many calls of the model this draw made, where steps stand around it: 0 where they answered by
    themselves. Not kept as such in a store: `step_record.taken` reads it from the body there.
    """

    completion: Completion | None = None
    error: str | None = None
    attempts: tuple[Attempt, ...] = ()
    usage: Usage = Usage()
    seed: int | None = None
    model: str | None = None
    fingerprint: str | None = None
    reward: float | None = None
    raw: str | None = None
    siblings: tuple[Sample, ...] = ()
    calls: int = 1

    def __post_init__(self) -> None:
        if self.completion is not None and self.error is not None:
            raise ValueError("a sample has a completion or an error, not both")
        if self.completion is None and self.error is None and self.reward is None:
            raise ValueError("a sample needs a completion, an error or a recorded reward")
