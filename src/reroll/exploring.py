"""A case's futures found by real calls: prefixes completed greedily, stored, judged, and what is left drawn from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reroll.agreement import Agreement, agreement
from reroll.branching import INSTEAD, Branch, Branches, Wanted
from reroll.check import overall
from reroll.enumeration import Enumeration
from reroll.errors import ModelError
from reroll.evidence import Est, Evidence
from reroll.futures import Futures, Prefix
from reroll.hybrid import Stratum, freeze, hybrid_rate
from reroll.models.continuing import scored_as
from reroll.noise import FLOAT32, Noise
from reroll.reading import Opened
from reroll.sample import Completion, Sample, Token
from reroll.sampler import Sampling
from reroll.session import Session
from reroll.tree import Ended, path_of
from reroll.ways import next_move

__all__ = ["Exploration", "Explored", "begin", "check", "explore", "follow", "readable"]

Method = Literal["enumeration", "hybrid"]
UP = "the calls, the money or the time were up"


@dataclass(slots=True)
class Exploration:
    """The search for one case: its enumeration, what it is drawn by, and the stratum once it is frozen."""

    session: Session
    branches: Branches
    search: Enumeration
    stratum: Stratum | None = None
    drawn: tuple[str, ...] = ()
    failed: int = 0  # calls in a row that brought nothing
    reused: int = 0  # greedy completions that were stored before

    @property
    def calls(self) -> int:
        """Greedy completions that the enumeration is made of, stored ones included."""
        return self.reused + self.search.calls


@dataclass(frozen=True, slots=True)
class Explored:
    """What was found. `rate`: the failure rate, exact where `method` is enumeration, else partly drawn; `agreement`:
    what plain draws say of the probabilities that were read."""

    futures: Futures
    rate: Est
    method: Method
    agreement: Agreement
    finished: bool
    stopped: str


def readable(opened: Opened) -> Sampling:
    """How this case's tokens are sampled. Raises: ModelError in one sentence where its futures cannot be read."""
    continuer = opened.continuer
    if continuer.tier != "A":
        raise ModelError(f"{continuer.why}, so its futures cannot be listed{INSTEAD}", slug="no-prefix")
    if not continuer.exact:
        raise ModelError(
            "this server takes prefixes as text only, which it cuts into tokens anew, so probabilities would not add "
            f"up{INSTEAD}",
            slug="no-prefix",
        )
    if not isinstance(opened.sampling, Sampling):
        raise ModelError(f"{opened.sampling.why}{INSTEAD}", slug="no-prefix")
    return opened.sampling


def begin(session: Session, opened: Opened, floor: float = 1e-9, noise: Noise = FLOAT32) -> Exploration:
    """The search with all that is stored of this request already: it costs no call. `noise`: at least so much."""
    found = Exploration(
        session,
        opened.branches,
        Enumeration(
            readable(opened),
            noise,
            request=opened.branches.place.request_id,
            floor=floor,
            asked=opened.continuer.top or None,
            limit=opened.continuer.limit,
        ),
    )
    for branch in opened.branches.known():
        if branch.greedy:  # what was drawn for other questions was computed in other batches: more noise than news
            _take(found.search, branch, None)
    found.reused = found.search.calls
    found.search.calls = found.search.tokens = 0
    return found


async def explore(
    found: Exploration,
    *,
    width: float,
    down_to: float,
    draws: int,
    alpha: float,
    rng: np.random.Generator,
    tell: Callable[[Exploration], None] = lambda found: None,
) -> Explored:
    """Go on until the failure rate is known to `width` and everything likelier than `down_to` was followed.

    What was read is held against so many plain `draws`, and what enumeration cannot reach cheaply is drawn from, as one
    stratum frozen before. Stops where budget, money, time or a person say so; all that was found until then holds.
    """
    search, session = found.search, found.session
    stopped, agreed = "", None
    while not stopped:
        tell(found)
        if not search.history or (down_to < 1 and search.next_probability() >= down_to):
            stopped = await follow(found)
            continue
        move = next_move(search, width, alpha)
        if move == "enumerate":
            stopped = await follow(found)
            continue
        if move == "draw":
            # A stratum keeps the masses that it was frozen with: what plain draws show of the noise must be in them.
            agreed = await check(found, draws)
            stopped = await _draw(found, width, alpha, rng, tell)
        elif move == "sample":
            stopped = "its completions are too many and too unlikely to list; `rerun` samples them"
        break
    agreed = agreed or await check(found, draws)
    futures = search.futures(down_to=min(down_to, 1e-6))
    if found.stratum is not None and found.drawn:
        rate = hybrid_rate(found.stratum, Evidence.of(found.drawn), alpha)
        method: Method = "hybrid"
    else:
        rate, method = futures.failure_rate, "enumeration"
    return Explored(futures, rate, method, agreed, finished=stopped != UP and not session.stopped, stopped=stopped)


async def check(found: Exploration, draws: int) -> Agreement:
    """Plain draws of the request held against the probabilities that were read; stored ones count, so many in all."""
    have = [b for b in found.branches.known() if b.prefix == 0 and not b.greedy]
    new = await found.branches.draw([Wanted(())] * max(0, draws - len(have)))
    leaves = []
    for branch in [*have, *(b for b in new if b is not None)]:
        completion = branch.sample.completion
        if completion is not None and completion.tokens:
            tokens, ended = path_of(completion)
            _add(found.search, tokens, ended, branch, drawn=True)
            leaves.append(found.search.tree.grow(tokens, ended)[-1])
    return agreement(found.search, leaves)


async def follow(found: Exploration, most: int | None = None) -> str:
    """Follow the likeliest prefixes, several at once, in at most so many calls; why it could not, if so.

    Raises: ModelError where what the server lists are no probabilities.
    """
    search, session = found.search, found.session
    width = min(session.options.concurrency or session.model.concurrency, 1 + search.calls // 2)
    width = width if most is None else max(1, min(width, most))
    asked: list[tuple[Prefix | None, tuple[Token, ...]]] = []
    if not search.history:
        asked += [(None, ()), (None, ())]  # the same twice, which shows how far the server's numbers move
    while search.history and len(asked) < width and (prefix := search.next_prefix()) is not None:
        if prefix.ended:
            text = await found.branches.continuer.spelling(prefix.text, _written(search, prefix))
            search.add([], prefix.ended, _judged(found, text, prefix.ended), prefix, said=text)
        else:
            asked.append((prefix, _tokens(search, prefix)))
    if not asked:
        return "" if search.next_probability() else "nothing is left that could be followed"
    came = await found.branches.draw([Wanted(tokens, greedy=True) for _, tokens in asked])
    for (prefix, _), branch in zip(asked, came, strict=True):
        if branch is None or branch.sample.completion is None:
            if prefix is not None:
                search.put_back(prefix)
        else:
            _take(search, branch, prefix)
    if None in came:
        return UP
    if not search.history and any(b and b.sample.completion for b in came):
        return "the server does not list the tokens of what it says"
    found.failed = 0 if any(b and b.sample.completion for b in came) else found.failed + 1
    return "the server brings nothing back for some beginnings" if found.failed >= 3 else ""


async def _draw(
    found: Exploration, width: float, alpha: float, rng: np.random.Generator, tell: Callable[[Exploration], None]
) -> str:
    """Draws from what is unexplored, frozen before the first of them, until the rate is known to `width`."""
    search = found.search
    found.stratum = found.stratum or freeze(search)
    stratum, batch = found.stratum, 8
    while True:
        rate = hybrid_rate(stratum, Evidence.of(found.drawn), alpha)
        assert rate.low is not None
        assert rate.high is not None
        if rate.high - rate.low <= width:
            return ""
        if not stratum.mass or width <= stratum.error:
            return "what the server does not list is more than the width asked for"
        picks = [search.prefix(*stratum.pick(float(u))) for u in rng.random(batch)]
        came = await found.branches.draw([Wanted(_tokens(search, p)) for p in picks])
        found.drawn += tuple(b.outcome.outcome for b in came if b is not None)
        tell(found)
        if None in came:
            return UP
        batch = max(8, len(found.drawn) // 8)


def _take(search: Enumeration, branch: Branch, prefix: Prefix | None) -> None:
    """A branch into the enumeration: after its prefix where it was asked for that, else from the root."""
    completion = branch.sample.completion
    if completion is None or not completion.tokens:
        return
    tokens, ended = path_of(completion)
    _add(search, tokens if prefix is None else tokens[branch.prefix :], ended, branch, prefix)


def _add(
    search: Enumeration,
    tokens: Sequence[Token],
    ended: Ended,
    branch: Branch,
    prefix: Prefix | None = None,
    drawn: bool = False,
) -> None:
    """The branch's tokens into the enumeration. Raises: ModelError where what the server lists are no probabilities."""
    assert branch.sample.completion is not None
    said = branch.sample.completion.text
    try:
        search.add(tokens, ended, branch.outcome.outcome, prefix, drawn=drawn, said=said)
    except ValueError as problem:
        raise ModelError(
            f"what the server lists are no probabilities ({problem}), so nothing can be read from them{INSTEAD}",
            slug="no-score",
        ) from None


def _tokens(search: Enumeration, prefix: Prefix) -> tuple[Token, ...]:
    """The prefix as tokens with what was listed at their places, so that what is stored can be read again."""
    nodes = search.tree.path(prefix.node)
    out = []
    for place, text, number in zip(nodes, prefix.texts, prefix.ids, strict=True):
        listing = search.tree.nodes[place].listing
        bare = Token(text, id=number)
        out.append(bare if listing is None else scored_as(bare, listing))
    return tuple(out)


def _written(search: Enumeration, prefix: Prefix) -> tuple[Token, ...]:
    """The prefix's tokens that write something: not the one that ends it."""
    tokens = _tokens(search, prefix)
    return tokens[:-1] if prefix.ended == "end" else tokens


def _judged(found: Exploration, text: str, ended: Ended) -> str:
    """What the checks say of a completion that is known without a call: its last token is one that was listed."""
    session, case = found.session, found.branches.case
    sample = Sample(completion=Completion(text, "length" if ended == "cut" else "stop"))
    return overall(session.checker.judge(case, session.judging, sample)).outcome
