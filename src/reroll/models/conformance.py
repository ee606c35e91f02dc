"""The promises that every model keeps, as one test; also for models that others write."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import math

from reroll.models.choices import choices_of
from reroll.models.model import Capabilities, Draw, Model
from reroll.sample import Sample, Token

__all__ = ["check_model"]


async def check_model(model: Model, draw: Draw) -> Sample:
    """The draw's sample, after asserting that the model keeps its promises; the model is closed at the end.

    The draw must be one that the model can answer with a completion, an error or a reward; it is made
    three times (a recording gives the same row each time). Raises: AssertionError.
    """
    identity = model.identity
    assert isinstance(model.name, str), "`name` is text"
    assert model.name, "`name` is not empty"
    assert isinstance(identity, str), "`identity` is text"
    assert identity, "`identity` is not empty"
    assert model.concurrency >= 1, f"`concurrency` is 1 or more, got {model.concurrency}"
    assert isinstance(model.priced, bool), "`priced` is true or false"
    await model.check()
    sample = await model.draw(draw)
    _check_sample(model, draw, sample)
    for other in await asyncio.gather(model.draw(draw), model.draw(draw)):
        _check_sample(model, draw, other)
    await _check_cancelling(model, draw)
    _check_capabilities(await model.probe())
    assert model.identity == identity, "`identity` stays the same while the model is used"
    await model.close()
    await model.close()  # closing twice does no harm
    return sample


def _check_sample(model: Model, draw: Draw, sample: Sample) -> None:
    assert isinstance(sample, Sample), f"`draw` returns a Sample, got {type(sample).__name__}"
    assert sample.seed in (None, draw.seed), f"the sample's seed {sample.seed} is not the draw's, {draw.seed}"
    asked = choices_of(model, draw.request.body)
    assert len(sample.siblings) == asked - 1, f"a call for {asked} completions has {len(sample.siblings)} siblings"
    assert not any(one.siblings or one.attempts or one.raw for one in sample.siblings), (
        "what a call took is counted once"
    )
    usd = sample.usage.usd
    assert usd is None or (usd >= 0 and math.isfinite(usd)), f"money is a number or not known, got {usd}"
    assert usd is None or model.priced, "a sample has a price, but the model says that none is known"
    for count in (sample.usage.prompt_tokens, sample.usage.completion_tokens):
        assert count is None or count >= 0, f"token counts are not negative, got {count}"
    for attempt in sample.attempts:
        assert attempt.seconds >= 0, "an attempt takes no negative time"
        assert attempt.waited >= 0, "nobody waits a negative time"
    if sample.attempts and sample.calls == 1:  # steps around a model may make several calls of one draw
        last = sample.attempts[-1]
        assert (last.error is None) == (sample.error is None), "the last attempt and the sample agree on the end"
        assert all(a.error for a in sample.attempts[:-1]), "only a failed attempt is followed by another"
    assert all(t.logprob is None or t.logprob <= 1e-6 for t in _tokens(sample)), "log probabilities are not above 0"
    json.dumps(dataclasses.asdict(sample))  # what cannot be written as JSON cannot be stored


def _tokens(sample: Sample) -> tuple[Token, ...]:
    return sample.completion.tokens if sample.completion else ()


def _check_capabilities(found: Capabilities) -> None:
    assert isinstance(found, Capabilities), "`probe` returns Capabilities"
    assert found.logprobs is None or found.logprobs >= 0, "a count of alternatives is not negative"
    assert all(n.strip().endswith((".", "!", "?")) for n in found.notes), f"notes are sentences: {found.notes}"


async def _check_cancelling(model: Model, draw: Draw) -> None:
    """A cancelled draw ends by being cancelled (or was done already), and the model works on."""
    task = asyncio.create_task(model.draw(draw))
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        _check_sample(model, draw, await task)
    _check_sample(model, draw, await model.draw(draw))
