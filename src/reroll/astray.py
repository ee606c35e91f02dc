"""Which token led one failing sample astray: its search's draws are made as real calls, and its answer put together."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reroll.branching import Branch, Branches, Wanted
from reroll.dud import DudRule, DudSearch, begin, next_step, observe
from reroll.dud_report import Dud, conclude
from reroll.errors import UsageError
from reroll.forking import Draw, Failing, Outcome, Rollout
from reroll.odds import END, odds, token_key
from reroll.sample import Sample, Token
from reroll.sampler import Sampling
from reroll.tree import path_of

__all__ = ["Astray", "Run", "astray", "by_tokens", "earlier", "find_dud", "left_at", "shown", "unnatural"]

# Where a server shows no tokens: words and runs of signs, each after its white space. Dates, times and numbers stay
# whole: a server that is given half of a date cuts it into tokens that no answer has, and goes on from those like
# from nothing that it ever wrote (the bundled model then fails always, where it wrote the date in every answer).
PIECE = re.compile(r"\s*(?:\w+(?:[-:.,/'’]\w+)*|[^\w\s]+)(?:\s+$)?")
NATURAL = 8  # continuations of which one at least must go on as the answer did


@dataclass(frozen=True, slots=True)
class Astray:
    """One failing completion, ready to be searched.

    path: its tokens, or pieces of its text where prefixes go as text and no probabilities are known; forced: by
    position and name the token that can be put there.
    """

    path: tuple[Token, ...]
    failing: Failing
    forced: tuple[dict[str, Token], ...]


def astray(sample: Sample, tokens: Sequence[Token], sampling: Sampling | None) -> Astray:
    """The failing completion with what else might have stood at each position, as its server samples.

    Args:  tokens: with probabilities (of the sample, or scored); without `sampling` they need none, and where there are
           none at all the text is cut into pieces; sampling: None where the probabilities are not known.
    Raises: UsageError where there is nothing to search.
    """
    completion = sample.completion
    if completion is None or not (completion.text or tokens):
        raise UsageError(
            "this sample's completion is empty, so no token of it led anywhere; `reroll rerun` says how often its "
            "request fails",
            slug="no-completion",
        )
    if sampling is None:
        pieces = tuple(tokens) or tuple(Token(piece) for piece in PIECE.findall(completion.text))
        if not pieces:
            raise UsageError(
                "this sample's completion is white space alone, so no word of it led anywhere; `reroll rerun` says how "
                "often its request fails",
                slug="no-completion",
            )
        return Astray(pieces, Failing(tuple(piece.text for piece in pieces)), ({},) * len(pieces))
    _, ended = path_of(replace(completion, tokens=tuple(tokens)))
    ends = frozenset({token_key(tokens[-1].text, tokens[-1].id)} if ended == "end" else ())
    steps = odds(tokens, sampling, end_keys=ends)
    names, probs, others, forced = [], [], [], []
    for step in steps:
        chance = [step.value(place) for place in range(len(step.keys))]
        scale = max(1.0, sum(chance))
        names.append(step.keys[step.chosen])
        probs.append(min(1.0, max(1e-12, chance[step.chosen] / scale)))
        listed = [i for i in range(len(step.keys)) if i != step.chosen and chance[i] > 0]
        others.append(tuple((step.keys[i], chance[i] / scale) for i in listed))
        forced.append({step.keys[i]: Token(step.texts[i], id=step.ids[i]) for i in listed})
    return Astray(tuple(tokens), Failing(tuple(names), tuple(probs), tuple(others)), tuple(forced))


def earlier(
    found: Astray, branches: Sequence[Branch], draws: Sequence[tuple[Sample, Outcome]], own: str
) -> list[Rollout]:
    """Stored draws and branches that begin like the failing completion, as rollouts that cost nothing.

    own: the failing sample's id, which is no evidence: it was picked because it failed.
    """
    if found.failing.probs is None:
        return _earlier_prefixes(found, branches, draws, own)
    rollouts = [
        Rollout(0, outcome, "stored", None, left_at(found, sample.completion.tokens))
        for sample, outcome in draws
        if sample.completion is not None and sample.completion.tokens
    ]
    for branch in branches:
        where = left_at(found, branch.tokens)
        if not branch.greedy and where > branch.prefix and branch.id != own and branch.tokens:
            rollouts.append(Rollout(branch.prefix, branch.outcome.outcome, "stored", None, where))
    return rollouts


def _earlier_prefixes(
    found: Astray, branches: Sequence[Branch], draws: Sequence[tuple[Sample, Outcome]], own: str
) -> list[Rollout]:
    """The same where no probabilities are known: where they left does not matter, only what they began with."""
    rollouts = [Rollout(0, outcome, "stored") for sample, outcome in draws if sample.completion is not None]
    for branch in branches:
        prefix = found.path[: branch.prefix]
        said = branch.sample.completion
        alike = said is not None and said.text.startswith("".join(t.text for t in prefix))
        if alike and not branch.greedy and branch.id != own and branch.prefix < len(found.path):
            rollouts.append(Rollout(branch.prefix, branch.outcome.outcome, "stored"))
    return rollouts


def left_at(found: Astray, tokens: Sequence[Token]) -> int:
    """The first position at which a completion differs from the failing one; L + 1 where it does at none."""
    for position, (mine, other) in enumerate(zip(found.path, tokens, strict=False), 1):
        same = mine.id == other.id if mine.id is not None and other.id is not None else mine.text == other.text
        if not same:
            return position
    return len(found.path) + 1 if len(tokens) >= len(found.path) else len(tokens) + 1


Run = Callable[[Sequence[Draw]], Awaitable[list[Rollout] | None]]
"""Makes a batch of draws: a rollout for each, in order; None where some were not drawn, because it was stopped."""


async def find_dud(
    failing: Failing,
    stored: Sequence[Rollout],
    rule: DudRule,
    rng: np.random.Generator,
    run: Run,
    tell: Callable[[DudSearch], None] = lambda search: None,
) -> tuple[Dud, bool]:
    """The verdict, and whether the search came to its end (not stopped by a person, budget, money or time)."""
    search = begin(failing, rule, stored)
    while True:
        search, draws = next_step(search, rng)
        tell(search)
        if not draws:
            return conclude(search, rng), True
        rollouts = await run(draws)
        if rollouts is None:
            return conclude(search, rng), False
        search = observe(search, draws, rollouts)


def by_tokens(branches: Branches, found: Astray) -> Run:
    """Draws as completions gone on with from a prefix of the failing one."""

    async def run(draws: Sequence[Draw]) -> list[Rollout] | None:
        wanted, of = _wanted(found, draws)
        came = await branches.draw(wanted)
        if None in came:
            return None
        return [_rollout(found, draw, branch) for draw, branch in zip(of, came, strict=True) if branch]

    return run


def unnatural(found: Astray, branches: Sequence[Branch], prefix: int) -> int:
    """How many continuations of this prefix there are where none goes on as the failing completion did; 0 where some
    do, or too few are known. Then the server cut the prefix's text into other tokens than the answer's, maybe.
    """
    if prefix >= len(found.path):
        return 0
    start, further = ("".join(t.text for t in found.path[:k]) for k in (prefix, prefix + 1))
    said = [b.sample.completion.text for b in branches if b.prefix == prefix and not b.greedy and b.sample.completion]
    here = [text for text in said if text.startswith(start)]
    return len(here) if len(here) >= NATURAL and not any(text.startswith(further) for text in here) else 0


def _wanted(found: Astray, draws: Sequence[Draw]) -> tuple[list[Wanted], list[Draw]]:
    """One call for each rollout, and the draw that it belongs to."""
    wanted, of = [], []
    for draw in draws:
        prefix = found.path[: draw.prefix]
        if draw.token is not None:
            prefix = (*prefix, found.forced[draw.prefix][draw.token])
        wanted += [Wanted(prefix)] * draw.count
        of += [draw] * draw.count
    return wanted, of


def _rollout(found: Astray, draw: Draw, branch: Branch) -> Rollout:
    where = None
    if draw.token is not None:
        where = draw.prefix + 1
    elif found.failing.probs is not None and branch.tokens:
        where = left_at(found, branch.tokens)
    outcome = branch.outcome.outcome
    return Rollout(draw.prefix, outcome, draw.why, draw.token, where, branch.generated)


def shown(name: str) -> str:
    """A token as people read it, by what `odds` knows it by; the one that ends a completion writes nothing."""
    return "(end)" if name == END else name
