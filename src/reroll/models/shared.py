"""A model whose first answer to a request is one that is there already: for two programs that differ in their steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from reroll.models.model import Draw, Model, Wrapping
from reroll.program import Request
from reroll.sample import Sample
from reroll.step_record import taken
from reroll.steps import FREE

__all__ = ["SharedModel", "stored_first"]

First = Callable[[Draw], Sample | None]


class SharedModel(Wrapping):
    """`inner`, except that the first call of a draw is answered by what `first` has for it, free of charge.

    Put it under the steps: `around(SharedModel(inner, first), program, checker)`. Then the draw goes through the
    steps with the very completion that the baseline got, and only a step that asks for another one makes a call.
    Where the baseline has steps, too, all calls that it made are given again in their order, as long as the same is
    asked. Such a sample is distributed as any other of these steps, but not independent of the baseline's: keep the
    pair together, and store it in a series of its own.

    `first` gets the call, with its request (which steps may have changed), its case and index, and answers None where
    it has nothing for it. What is shared counts no call, no attempt and no usage. The identity is that of `inner`.
    """

    def __init__(self, inner: Model, first: First) -> None:
        self.inner, self.first = inner, first
        self.name, self.identity, self.concurrency = inner.name, inner.identity, inner.concurrency

    def __repr__(self) -> str:
        return f"<{self.identity}, shared>"

    async def draw(self, draw: Draw) -> Sample:
        """What is there already for this call; else a call."""
        known = self.first(draw)
        mine = None if known is None else _of_call(known, draw)
        if mine is None:
            return await self.inner.draw(draw)
        # Whose completion it is stands where a server's word on itself would.
        whose = known.fingerprint if known is not None and draw.again == 0 else mine.fingerprint
        return replace(mine, attempts=(), usage=FREE, siblings=(), calls=0, fingerprint=whose)


def _of_call(known: Sample, draw: Draw) -> Sample | None:
    """What this sample holds for this call: itself for the first, or what its own call of that number brought."""
    took = taken(known)
    if took is None:
        return known if draw.again == 0 else None
    there = draw.again < len(took.drawn) and took.requests[draw.again] == draw.request.id("")
    return took.drawn[draw.again] if there else None


def stored_first(samples: Mapping[tuple[str, int], tuple[Request, Sample]]) -> First:
    """What answers the first call of a draw out of stored samples, by (case, index), where it sends the same request.

    Of samples of a program with steps the raw body must be there (read them with `payload=True`): it holds the calls.
    """

    def first(draw: Draw) -> Sample | None:
        known = samples.get((draw.case_id, draw.index))
        if known is None:
            return None
        request, sample = known
        same = taken(sample) is not None or request.id("") == draw.request.id("")
        return sample if same else None

    return first
