"""The fixture `reroll_sample`: what a test says about the calls that it makes, and when it blames the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

import pytest

from reroll.keys import hide, known_values
from reroll.sample import Completion, Sample, Usage

__all__ = ["RECORDER", "ModelFailed", "Recorded", "SampleRecorder", "SaysNothing", "recorder_of", "without_keys"]

T = TypeVar("T")


class ModelFailed(AssertionError):
    """The model's answer was wrong, as the test said by `reroll_sample.fail`."""


class SaysNothing(Exception):
    """The trial says nothing about the model, as the test said by `reroll_sample.invalid`."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One call of a model as the test recorded it."""

    sample: Sample
    messages: tuple[Any, ...]
    model: str


@dataclass(slots=True)
class SampleRecorder:
    """What one trial of a test recorded; `trial` counts from 1.

    A test that asks for it must record every call: a trial without a record says nothing about the model.
    """

    trial: int = 1
    recorded: list[Recorded] = field(default_factory=list)

    def record(
        self,
        completion: str,
        *,
        prompt: str | Sequence[Mapping[str, Any]] = (),
        model: str = "",
        usd: float | None = None,
        prompt_tokens: int | None = None,
        completion_tokens: int | None = None,
    ) -> str:
        """The completion, kept in the store with the prompt that it answered; record it before looking at it."""
        if not isinstance(completion, str):
            raise TypeError(f"reroll_sample.record takes the text of a completion, got {type(completion).__name__}")
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(m) for m in prompt]
        sample = Sample(
            Completion(without_keys(completion)),
            usage=Usage(prompt_tokens, completion_tokens, usd),
            model=model or None,
        )
        self.recorded.append(Recorded(sample, tuple(without_keys(messages)), model))
        return completion

    def fail(self, reason: str) -> NoReturn:
        """Ends the trial as a failure of the model."""
        raise ModelFailed(reason)

    def invalid(self, reason: str) -> NoReturn:
        """Ends the trial as one that says nothing about the model, such as a time-out."""
        raise SaysNothing(reason)


def without_keys(value: T) -> T:
    """The same value without the keys that are in use on this machine: nothing of them is to be kept or shown."""
    return hide(value, *known_values().values())


RECORDER = pytest.StashKey[SampleRecorder]()


def recorder_of(node: pytest.Item) -> SampleRecorder:
    """The recorder of the trial that runs, or a new one for a test without the mark."""
    return node.stash.setdefault(RECORDER, SampleRecorder())
