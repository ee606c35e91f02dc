"""What the fake server does to each request: which fault, which answer, after how long; the same for the same seed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FAULTS", "STATUSES", "Behaviour", "Deed", "error_body", "share"]

# Statuses that stand for the server turning a call away: name -> type, message of the error body.
STATUSES: Mapping[str, tuple[str, str]] = {
    "401": ("invalid_api_key", "Incorrect API key provided: the key is wrong or has expired."),
    "404": ("model_not_found", "The model does not exist or you do not have access to it."),
    "429": ("rate_limit_exceeded", "Rate limit reached. Please try again later."),
    "500": ("server_error", "The server had an error while processing your request."),
    "502": ("bad_gateway", "Bad gateway."),
    "503": ("unavailable", "The server is starting or overloaded."),
    "529": ("overloaded_error", "Overloaded."),
}
FAULTS: Mapping[str, str] = {
    "429": "too many requests, with Retry-After",
    "529": "overloaded",
    "500": "server error",
    "502": "bad gateway",
    "503": "unavailable",
    "401": "wrong or expired key",
    "404": "model not found",
    "reset": "the connection is reset before an answer",
    "hang": "no answer, ever",
    "drip": "a good body, byte by byte",
    "truncated": "the connection closes in the middle of the body",
    "malformed": "JSON that breaks off, in a whole body",
    "html": "an HTML page with status 200",
    "content-type": "good JSON that calls itself text/plain",
    "refusal": "the model refuses",
    "filter": "the answer ends with finish reason content_filter",
    "prompt-filter": "400 content_filter: the prompt is not let through",
    "length": "the answer is cut off by max_tokens",
    "empty": "an answer without text",
}
MASK = (1 << 64) - 1
Normal = Callable[[float], float]


def share(seed: int, index: int, stream: int) -> float:
    """A number in [0, 1) that looks random and belongs to this seed, request and purpose (splitmix64).

    >>> share(1, 0, 0) == share(1, 0, 0) != share(1, 1, 0)
    True
    """
    x = (seed * 0x9E3779B97F4A7C15 + index * 0xD1342543DE82EF95 + stream * 0xBF58476D1CE4E5B9 + 1) & MASK
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = ((x ^ x >> shift) * factor) & MASK
    return ((x ^ x >> 31) >> 11) / (1 << 53)


@dataclass(frozen=True, slots=True)
class Deed:
    """What is done to one request: the fault or None, whether the answer is the wrong one, seconds before it."""

    fault: str | None
    wrong: bool
    seconds: float


@dataclass(frozen=True)
class Behaviour:
    """How the server behaves. Times in seconds; `faults` and `fail` are shares of all calls and of all answers.

    `key`: the only key that is let in (None: any); `expire_after`: from so many calls on no key is.
    `models`: the names that it serves (none: any). `most`: a call above so many in flight gets a 429 at once.
    `spread` is the standard deviation of a lognormal latency.
    """

    answer: str = "ok"
    wrong: str = "wrong"
    fail: float = 0.0
    latency: float = 0.0
    spread: float = 0.0
    faults: Mapping[str, float] = field(default_factory=dict)
    retry_after: float = 1.0
    drip: float = 0.1
    seed: int = 0
    key: str | None = None
    expire_after: int | None = None
    models: tuple[str, ...] = ()
    most: int | None = None

    def __post_init__(self) -> None:
        from statistics import NormalDist

        object.__setattr__(self, "_normal", NormalDist().inv_cdf)
        total, steps = 0.0, []
        for name, chance in self.faults.items():
            total += chance
            steps.append((total, name))
        object.__setattr__(self, "_steps", tuple(steps))

    def deed(self, index: int) -> Deed:
        """What happens to the request that arrives as number `index`, from 0."""
        fault = None
        if self.faults:
            at = share(self.seed, index, 0)
            steps: tuple[tuple[float, str], ...] = self._steps  # type: ignore[attr-defined]
            fault = next((name for until, name in steps if at < until), None)
        wrong = self.fail > 0 and share(self.seed, index, 1) < self.fail
        return Deed(fault, wrong, self._seconds(index))

    def _seconds(self, index: int) -> float:
        if not self.spread or not self.latency:
            return self.latency
        variance = math.log1p((self.spread / self.latency) ** 2)
        normal: Normal = self._normal  # type: ignore[attr-defined]
        at = min(max(share(self.seed, index, 2), 1e-9), 1 - 1e-9)
        return self.latency * math.exp(math.sqrt(variance) * normal(at) - variance / 2)


def error_body(kind: str, message: str) -> bytes:
    """An error as OpenAI-compatible servers write it."""
    inner: dict[str, Any] = {"message": message, "type": kind, "param": None, "code": kind}
    return json.dumps({"error": inner}).encode()
