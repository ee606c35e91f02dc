"""What the bundled model will say, read from its own probabilities: how often it fails, and where an answer turns.

A request's likeliest answers are followed once, in a few calls; rates at other temperatures, and with a patch that only
changes answers, then follow from what was listed, without another call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reroll.enumeration import Enumeration
from reroll.futures import Prefix
from reroll.models.continuing import open_continuer, scored_as
from reroll.models.local import NEUTRAL, LocalModel
from reroll.models.model import Capabilities
from reroll.program import Request
from reroll.sample import Completion, Sample, Token
from reroll.sampler import Sampling, sampling_of
from reroll.tree import CUT, ROOT, STOP, path_of

__all__ = ["Foretold", "Place", "Reading", "Turn", "Turns", "read"]

CALLS = 18  # the first twice, which shows how far the model's numbers move
AT_ONCE = 8
SHARP = 0.05  # a range of failure rates that is wider says too little to be shown as read
ABLE = Capabilities(logprobs=20, logprobs_mode="raw", token_prompt=True)  # as `doctor bundled` finds it

Judge = Callable[[Sample], str]


@dataclass(frozen=True, slots=True)
class Foretold:
    """The failure rate lies between `low` and `high`, as far as the model's numbers are steady; nothing was drawn."""

    low: float
    high: float

    @property
    def value(self) -> float:
        return 0.5 * (self.low + self.high)

    @property
    def sharp(self) -> bool:
        """Whether the range is narrow enough to be called known."""
        return self.high - self.low <= SHARP


@dataclass(frozen=True, slots=True)
class Place:
    """A place in answers: what is written before it, and each token that may stand there.

    tokens: (token, its chance, share of right answers among those that go on with it; None: nobody followed them), the
    likeliest first. other: the chance of all that are not among them.
    """

    before: str
    at: int
    tokens: tuple[tuple[str, float, float | None], ...]
    other: float


@dataclass(frozen=True, slots=True)
class Turn:
    """A token of an answer, and the share of right answers among all that begin so: `low` to `high`; before the first
    token the text is empty."""

    token: str
    low: float
    value: float
    high: float


@dataclass(frozen=True, slots=True)
class Turns:
    """An answer, token by token. points: the chance of a right answer before the first token and after each.

    worst: the place in `points` of the token that cost most; lost: how much of that chance went with it.
    place: what could have stood there.
    """

    points: tuple[Turn, ...]
    worst: int
    lost: float
    place: Place

    @property
    def tokens(self) -> tuple[str, ...]:
        return tuple(point.token for point in self.points[1:])

    def cost(self, at: int) -> float:
        """How much of the chance of a right answer went with the token at this place, from 1."""
        return self.points[at - 1].value - self.points[at].value


class Reading:
    """The likeliest answers to one request. Made by `read`; to be used in one thread at a time."""

    def __init__(self, request: Request, search: Enumeration) -> None:
        self.request, self.search = request, search
        self._values = self._sums()

    def rate(self, temperature: float, judged: Mapping[str, str] | None = None) -> Foretold:
        """How often it fails at this temperature; judged: other outcomes of these texts, with a patch around them."""
        search = self.search
        usual, search.sampling = search.sampling, _sampling(self.request, temperature)
        try:
            search.again()
            found = search.futures(0.0)
        finally:
            search.sampling = usual
            search.again()
        if judged is None:
            assert found.failure_rate.low is not None
            assert found.failure_rate.high is not None
            return Foretold(found.failure_rate.low, found.failure_rate.high)
        fails = sum(one.low for one in found.completions if judged.get(one.text, one.outcome) == "fail")
        passes = sum(one.low for one in found.completions if judged.get(one.text, one.outcome) == "pass")
        return Foretold(fails, max(fails, 1 - passes))

    def answers(self) -> tuple[tuple[str, float, str], ...]:
        """(text, chance, outcome) of the answers that were found, the likeliest first."""
        return tuple((one.text, one.prob, one.outcome) for one in self.search.futures(0.0).completions)

    def texts(self) -> tuple[tuple[str, bool], ...]:
        """The answers' texts, and whether they came to an end by themselves."""
        return tuple((one.text, one.ended == "end") for one in self.search.futures(0.0).completions)

    def turns(self, text: str) -> Turns | None:
        """How the chance of a right answer went on the way to this one; None where it was not found."""
        tree = self.search.tree
        leaf = next((one for one in tree.leaves() if tree.text(one) == text), None)
        if leaf is None:
            return None
        path = [one for one in tree.path(leaf) if tree.nodes[one].key not in (CUT, STOP)]
        points = tuple(Turn(tree.nodes[one].text, *self._works(one)) for one in path)
        worst = max(range(1, len(points)), key=lambda k: points[k - 1].value - points[k].value)
        lost = points[worst - 1].value - points[worst].value
        return Turns(points, worst, lost, self.place(path[worst - 1]))

    def fork(self) -> Place:
        """The place on the way to the likeliest answer at which the next token tells most about how it ends."""
        tree, best, at = self.search.tree, -1.0, ROOT
        node = ROOT
        while node in self.search.odds:
            here = self.place(node, most=20)
            known = [(p, works) for _, p, works in here.tokens if works is not None]
            mean = sum(p * works for p, works in known)
            told = sum(p * (works - mean) ** 2 for p, works in known)
            if told > best + 1e-6:
                best, at = told, node
            key = max(tree.nodes[node].children, key=lambda k: self._mass(tree.nodes[node].children[k]), default=None)
            if key is None:
                break
            node = tree.nodes[node].children[key]
        return self.place(at)

    def at(self, before: str) -> int | None:
        """The place in the tree of what is written so far; None where no answer that was found begins so."""
        tree = self.search.tree
        return next((k for k, node in enumerate(tree.nodes) if k in self.search.odds and tree.text(k) == before), None)

    def place(self, node: int, temperature: float = 1.0, most: int = 6) -> Place:
        """What may stand after this node, at this temperature."""
        tree, here = self.search.tree, self.search.odds[node]
        chances = [here.value(k) for k in range(len(here.keys))]
        if temperature != 1.0:
            chances = _tempered(chances, temperature)
        found = []
        for k in sorted(range(len(here.keys)), key=lambda k: -chances[k])[:most]:
            child = tree.nodes[node].children.get(here.keys[k])
            works = None if child is None else self._works(child)[1]
            found.append((here.texts[k] or "(end)", chances[k], works))
        other = max(0.0, 1 - sum(p for _, p, _ in found))
        return Place(tree.text(node), tree.nodes[node].depth, tuple(found), other)

    def _works(self, node: int) -> tuple[float, float, float]:
        passes, fails, mass = self._values.get(node, (0.0, 0.0, 0.0))
        mass = max(mass, passes + fails)
        if passes + fails <= 0:
            return 0.0, 0.5, 1.0
        return passes / mass, passes / (passes + fails), 1 - fails / mass

    def _mass(self, node: int) -> float:
        return self._values.get(node, (0.0, 0.0, 0.0))[2]

    def _sums(self) -> dict[int, tuple[float, float, float]]:
        """By node how likely a right and a wrong answer through it are, as far as they were found, and any answer."""
        tree = self.search.tree
        found: dict[int, tuple[float, float, float]] = {}

        def chance(node: int) -> float:
            known = self.search.probability(node)
            return 0.0 if known is None else 0.5 * (known[0] + known[1])

        for leaf in tree.leaves():
            p, right = chance(leaf), tree.nodes[leaf].outcome == "pass"
            for node in tree.path(leaf):
                passes, fails, mass = found.get(node) or (0.0, 0.0, chance(node))
                found[node] = (passes + p * right, fails + p * (not right), mass)
        return found


async def read(model: LocalModel, request: Request, judge: Judge) -> Reading:
    """The likeliest answers to the request, followed in `CALLS` calls and judged.

    Raises: ModelError where the model is not there.
    """
    continuer = await open_continuer(model, request, ABLE)
    search = Enumeration(_sampling(request, 1.0), asked=continuer.top, limit=continuer.limit)
    for _ in range(2):
        _add(search, await continuer.go_on(greedy=True), None, judge)
    while search.calls < CALLS:
        going = _next(search, min(AT_ONCE, CALLS - search.calls), judge)
        if not going:
            break
        came = await asyncio.gather(*(continuer.go_on(_tokens(search, one), greedy=True) for one in going))
        for prefix, sample in zip(going, came, strict=True):
            _add(search, sample, prefix, judge)
    while search.next_ends() and (last := search.next_prefix()) is not None:
        _take_ended(search, last, judge)
    search.widen()
    return Reading(request, search)


def _next(search: Enumeration, most: int, judge: Judge) -> list[Prefix]:
    """The likeliest prefixes that nobody followed; those that end an answer are taken in on the way."""
    going: list[Prefix] = []
    while len(going) < most and (prefix := search.next_prefix()) is not None:
        if prefix.ended is None:
            going.append(prefix)
        else:
            _take_ended(search, prefix, judge)
    return going


def _take_ended(search: Enumeration, prefix: Prefix, judge: Judge) -> None:
    """An answer that its last token ends: there is nothing to send."""
    said = Sample(completion=Completion(prefix.text, "stop" if prefix.ended == "end" else "length"))
    search.add([], prefix.ended or "end", judge(said), prefix, said=prefix.text)


def _add(search: Enumeration, sample: Sample, prefix: Prefix | None, judge: Judge) -> None:
    completion = sample.completion
    if completion is None or not completion.tokens:
        if prefix is not None:
            search.put_back(prefix)
        return
    tokens, ended = path_of(completion)
    new = tokens if prefix is None else tokens[len(prefix.texts) :]
    search.add(new, ended, judge(sample), prefix, said=completion.text)


def _tokens(search: Enumeration, prefix: Prefix) -> tuple[Token, ...]:
    """The prefix as tokens, with what was listed at their places."""
    nodes = search.tree.path(prefix.node)
    bare = [Token(text, id=number) for text, number in zip(prefix.texts, prefix.ids, strict=True)]
    listed = [search.tree.nodes[place].listing for place in nodes]
    return tuple(one if seen is None else scored_as(one, seen) for one, seen in zip(bare, listed, strict=True))


def _sampling(request: Request, temperature: float) -> Sampling:
    body: dict[str, Any] = {**NEUTRAL, **request.body, "temperature": temperature}
    found = sampling_of(body, "llama.cpp")
    assert isinstance(found, Sampling)
    return found


def _tempered(chances: Sequence[float], temperature: float) -> list[float]:
    """The same chances at another temperature, as if what is not listed did not exist."""
    if temperature <= 0:
        best = max(range(len(chances)), key=chances.__getitem__)
        return [float(k == best) for k in range(len(chances))]
    weights = [p ** (1 / temperature) if p > 0 else 0.0 for p in chances]
    return [w / sum(weights) for w in weights]
