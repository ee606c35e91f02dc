"""What the steps did to one draw, as its stored sample keeps it: every call with what came back, in the raw body."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reroll.sample import Completion, Sample, Usage

__all__ = ["Taken", "record", "taken"]

MARK = '{"reroll_steps":'  # how such a body begins
COUNTS = ("prompt_tokens", "completion_tokens", "usd", "cached_tokens")


@dataclass(frozen=True, slots=True)
class Taken:
    """How a sample of a program with steps came about.

    drawn:    what each call brought, in order, with its own raw body; a call that was shared has `calls` 0.
    fired:    which steps acted on what was delivered, by their places in the list.
    stopped:  whether an answer was withheld; `withheld` is what the model had said, where it was asked.
    cut:      the draw was stopped between its calls: paid for, and no evidence.
    requests: what each call sent, as `Request.id("")`.
    """

    drawn: tuple[Sample, ...]
    fired: tuple[int, ...] = ()
    stopped: bool = False
    withheld: str | None = None
    cut: bool = False
    requests: tuple[str, ...] = ()

    @property
    def calls(self) -> int:
        """Calls of the model that this draw made."""
        return sum(one.calls for one in self.drawn)


def record(took: Taken) -> str:
    """The raw body of a sample that came about so.

    >>> found = Taken((Sample(completion=Completion("hi"), raw="{}"),), fired=(1,))
    >>> taken(Sample(completion=Completion("ho"), raw=record(found))) == found
    True
    """
    said = {
        "fired": list(took.fired),
        "stopped": took.stopped,
        "withheld": took.withheld,
        "cut": took.cut,
        "requests": list(took.requests),
        "drawn": [_written(one) for one in took.drawn],
    }
    return MARK + json.dumps(said, default=dict) + "}"


def taken(sample: Sample) -> Taken | None:
    """How this sample came about; None where no steps stood around its call, or its body was not read."""
    if sample.raw is None or not sample.raw.startswith(MARK):
        return None
    try:
        said = json.loads(sample.raw)["reroll_steps"]
        ends = tuple(said["fired"]), said["stopped"], said["withheld"], said["cut"]
        return Taken(_read(said["drawn"]), *ends, tuple(said["requests"]))
    except (ValueError, KeyError, TypeError):  # a product's own body that begins like ours
        return None


def _written(sample: Sample) -> dict[str, Any]:
    said: dict[str, Any] = {"calls": sample.calls}
    if sample.completion is not None:
        said |= {"text": sample.completion.text, "finish_reason": sample.completion.finish_reason}
        said |= {"tool_calls": list(sample.completion.tool_calls)} if sample.completion.tool_calls else {}
        said |= {"refusal": sample.completion.refusal} if sample.completion.refusal is not None else {}
    names = ("error", "seed", "model", "fingerprint", "raw")
    said |= {name: value for name in names if (value := getattr(sample, name)) is not None}
    return said | {name: value for name in COUNTS if (value := getattr(sample.usage, name)) is not None}


def _read(drawn: Sequence[dict[str, Any]]) -> tuple[Sample, ...]:
    found = []
    for one in drawn:
        completion = None
        if "text" in one:
            calls, refusal = tuple(one.get("tool_calls", ())), one.get("refusal")
            completion = Completion(one["text"], one["finish_reason"], calls, refusal=refusal)
        found.append(
            Sample(
                completion=completion,
                error=one.get("error"),
                usage=Usage(*(one.get(name) for name in COUNTS)),
                seed=one.get("seed"),
                model=one.get("model"),
                fingerprint=one.get("fingerprint"),
                raw=one.get("raw"),
                calls=one["calls"],
            )
        )
    return tuple(found)
