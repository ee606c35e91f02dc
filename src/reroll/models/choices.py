"""Several completions of one call (n): how many a call asks for, and a sample for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from reroll.models.model import Model
from reroll.sample import Completion, Sample, Usage

__all__ = ["asked_for", "choices_of", "with_siblings"]


def asked_for(body: Mapping[str, Any]) -> int:
    """How many completions a body asks for by `n`; 1 where it does not, or says something that is no number of them.

    >>> asked_for({"n": 4}), asked_for({}), asked_for({"n": "many"})
    (4, 1, 1)
    """
    n = body.get("n")
    return n if isinstance(n, int) and not isinstance(n, bool) and n > 1 else 1


def choices_of(model: Model, body: Mapping[str, Any]) -> int:
    """How many samples a call with this body, or these params, brings from this model. A wire that reads several
    completions of one call has a method `choices` that says so; all others bring one.
    """
    count = getattr(model, "choices", None)
    return 1 if count is None else int(count(body))


def with_siblings(
    sample: Sample, asked: int, others: Sequence[Completion | str] = (), *, counts_first: bool = False
) -> Sample:
    """The first sample of a call with its siblings, so that they are `asked` together.

    A completion that was asked for and did not come is a sample with an error, and so are all where the call failed:
    nothing leaves the denominator. What more than `asked` came stands in the raw body only.

    Args: others: the other completions of the body, or why one cannot be read; counts_first: whether the server's
        count of completion tokens is that of the first completion alone.
    """
    if asked == 1:
        return sample
    if sample.completion is None:
        return replace(sample, siblings=(Sample(error=sample.error, seed=sample.seed),) * (asked - 1))
    came: list[Completion | str] = list(others[: asked - 1])
    missing = f"only {1 + len(came)} of the {asked} completions that `n` asks for came back"
    came += [missing] * (asked - 1 - len(came))
    total, *shares = _shares(sample.usage.completion_tokens, [sample.completion, *came], counts_first)
    first = sample.usage
    siblings = tuple(
        Sample(
            completion=None if isinstance(one, str) else one,
            error=one if isinstance(one, str) else None,
            usage=Usage(_none_left(first.prompt_tokens), share, _none_left(first.usd), _none_left(first.cached_tokens)),
            seed=sample.seed,
            model=sample.model,
            fingerprint=sample.fingerprint,
        )
        for one, share in zip(came, shares, strict=True)
    )
    return replace(sample, usage=replace(first, completion_tokens=total), siblings=siblings)


def _none_left(counted: float | None) -> Any:
    """What is left for a sibling of what was counted with the first: nothing, where that is known at all."""
    return None if counted is None else 0


def _shares(total: int | None, came: Sequence[Completion | str], counts_first: bool) -> list[int | None]:
    """The completion tokens of each, as far as the server tells: they add up to its total, where that is of all."""
    own = [0 if isinstance(one, str) else len(one.tokens) for one in came]
    if total is None:
        return [None] * len(came)
    if counts_first:
        rest = [0 if isinstance(one, str) else n or None for one, n in zip(came[1:], own[1:], strict=True)]
        return [total, *rest]
    return list(own) if sum(own) == total else [total, *[0] * (len(came) - 1)]
