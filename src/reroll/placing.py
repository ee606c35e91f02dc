"""Where wordings are held against each other: one recorded completion, scored under them, and one of its tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reroll.astray import astray, earlier
from reroll.branching import Branches, Wanted, is_of
from reroll.case import Case
from reroll.check import overall
from reroll.dud import DudRule, begin, curves_of
from reroll.errors import ModelError, NotCompleted, UsageError
from reroll.flattening import Distribution, flattening
from reroll.forked import draws_of, tokens_of
from reroll.numbers import counts
from reroll.odds import END, Odds, odds, token_key
from reroll.phrased import Chosen
from reroll.reading import Opened, open_case
from reroll.runs import Judged
from reroll.sample import Token
from reroll.sampler import Sampling
from reroll.session import Session, judged, slots
from reroll.store import StoredSample
from reroll.tree import path_of
from reroll.wording import Wording

__all__ = [
    "FIND",
    "Namer",
    "Place",
    "Recorded",
    "Spread",
    "Voice",
    "distances",
    "furthest",
    "longest",
    "open_voice",
    "place_of",
    "recorded_of",
    "stored_of",
    "where_they_differ",
]

PURPOSE = "phrase "  # its branches are its own: the place was chosen by what was drawn there before
FIND = 40  # runs in search of a failing completion; a case that fails less often is no case for this question
USUAL = 100  # tokens of an answer of which nothing is known
_BATCH = 8


@dataclass(frozen=True, slots=True)
class Voice:
    """One wording opened for reading: its session, how it goes on, how it samples, and its own branches."""

    wording: Wording
    session: Session
    case: Case
    opened: Opened
    sampling: Sampling
    branches: Branches

    def chances(self, tokens: Sequence[Token], ends: frozenset[str]) -> list[Odds]:
        return odds(tokens, self.sampling, end_keys=ends)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The completion that is looked along: whose it is, whether it fails, its tokens, and how they were come by."""

    stored: StoredSample
    voice: int
    fails: bool
    tokens: tuple[Token, ...]
    method: str

    @property
    def bare(self) -> tuple[Token, ...]:
        """The tokens alone, without what any wording listed for them."""
        return tuple(Token(t.text, id=t.id) for t in self.tokens)

    @property
    def ends(self) -> frozenset[str]:
        """What the token that ends this completion is known by."""
        assert self.stored.sample.completion is not None
        _, ended = path_of(replace(self.stored.sample.completion, tokens=self.tokens))
        last = self.tokens[-1]
        return frozenset({token_key(last.text, last.id)} if ended == "end" else ())


@dataclass(frozen=True, slots=True)
class Spread:
    """What may stand at one place under one wording. tokens: by name; slack: what reading leaves open of chances."""

    distribution: Distribution
    tokens: Mapping[str, Token]
    watched: str
    slack: float


@dataclass(frozen=True, slots=True)
class Place:
    """One position (1-based) of the recorded completion, and why it was chosen."""

    position: int
    chosen: Chosen


class Namer:
    """One name for a token, whichever wording listed it: its text, told apart by its id where texts are alike."""

    def __init__(self) -> None:
        self._by: dict[int | str, str] = {}

    def name(self, key: str, text: str, number: int | None) -> str:
        if key == END or not text:  # a token that writes nothing ends the answer, as in `path_of`
            return END
        by: int | str = text if number is None else number
        if by not in self._by:
            self._by[by] = f"{text} (token {number})" if text in self._by.values() else text
        return self._by[by]

    def spread(self, row: Odds) -> Spread:
        """One step's chances by name, scaled where their middles come to more than 1."""
        names = [self.name(*each) for each in zip(row.keys, row.texts, row.ids, strict=True)]
        chances = [row.value(i) for i in range(len(names))]
        scale = max(1.0, sum(chances))
        unknown = {row.chosen} if row.chosen >= row.listed and row.low[row.chosen] == 0 else set()  # only "rare"
        kept = [i for i in range(len(names)) if chances[i] > 0 and i not in unknown] or [row.chosen]
        probs = dict.fromkeys((names[i] for i in kept), 0.0)
        for i in kept:  # without ids, tokens that look alike are one
            probs[names[i]] += chances[i] / scale
        return Spread(
            Distribution(probs),
            {names[i]: Token(row.texts[i], id=row.ids[i]) for i in (*kept, row.chosen)},
            names[row.chosen],
            sum(row.high[i] - row.low[i] for i in kept) / 2,
        )


async def open_voice(session: Session, case: Case, wording: Wording) -> Voice:
    """The wording's way of going on with completions. Raises: ModelError in one sentence where it shows too little."""
    session.store.put_program(session.project.program)
    opened = await open_case(session, case)
    instead = f"`reroll compare` runs variants of a program against each other, `reroll rerun {case.id}` this one"
    if opened.continuer.tier != "A":
        raise ModelError(
            f"{opened.continuer.why}, so what a wording does to its tokens cannot be read; {instead}", slug="no-prefix"
        )
    if not isinstance(opened.sampling, Sampling):
        raise ModelError(f"{opened.sampling.why}; {instead}", slug="no-prefix")
    own = Branches(session, case, opened.continuer, PURPOSE)
    return Voice(wording, session, case, opened, opened.sampling, own)


def stored_of(voices: Sequence[Voice], id: str | None) -> tuple[StoredSample, int] | None:
    """The completion of this id; without one the commonest failing one of the first wording, else of the second;
    and whose it is. None where none is stored. Raises: UsageError where the one that is named cannot be it."""
    if id is not None:
        return _named(voices, id)
    for at, voice in enumerate(voices[:2]):
        if (found := _commonest(voice)) is not None:
            return found, at
    return None


async def recorded_of(voices: Sequence[Voice], have: tuple[StoredSample, int] | None) -> Recorded:
    """The completion as it is stored, with its tokens; None: the first failing one of a few runs made in search of it.

    Raises: UsageError where there is none; ModelError where its tokens cannot be scored.
    """
    stored, at = have or await _sought(voices[:2])
    voice = voices[at]
    completion = stored.sample.completion
    if completion is None or not completion.text:
        raise UsageError(f"{stored.id} has no completion, so it has no tokens to look along", slug="no-completion")
    said = overall(voice.session.checker.judge(voice.case, voice.session.judging, stored.sample))
    tokens, sampling, method = await tokens_of(voice.opened, stored)
    if sampling is None:
        raise ModelError(f"the tokens of {stored.id} could not be scored", slug="no-score")
    return Recorded(stored, at, said.outcome == "fail", tokens, method)


def _named(voices: Sequence[Voice], id: str) -> tuple[StoredSample, int]:
    stored = voices[0].session.store.sample(id)
    for at, voice in enumerate(voices):
        request = voice.branches.place.request_id
        if stored.request_id == request or is_of(stored.series, request):
            return stored, at
    raise UsageError(
        f"{stored.id} answered another request than these wordings of case `{voices[0].case.id}` make; "
        f"`reroll samples {voices[0].case.id}` lists its runs",
        slug="other-request",
    )


def _commonest(voice: Voice) -> StoredSample | None:
    """The newest of the failing completions that say what most of them say; None where none is stored."""
    session = voice.session
    runs = judged(session, slots(session, voice.case))
    failing = [(each.stored.id, each.stored.sample) for each in _failing(runs)]
    failing += [(b.id, b.sample) for b in voice.branches.drawn(Wanted(())) if b.outcome.outcome == "fail"]
    said = Counter(sample.completion.text for _, sample in failing if sample.completion)
    if not said:
        return None
    most, _ = said.most_common(1)[0]
    newest = [id for id, sample in failing if sample.completion and sample.completion.text == most][-1]
    return session.store.sample(newest)


def _failing(runs: Sequence[Judged]) -> list[Judged]:
    return [each for each in runs if each.outcome.outcome == "fail"]


async def _sought(voices: Sequence[Voice]) -> tuple[StoredSample, int]:
    """Fresh runs until one fails, of each wording in turn."""
    ran = 0
    for at, voice in enumerate(voices):
        for _ in range(FIND // _BATCH):
            came = [b for b in await voice.branches.draw([Wanted(())] * _BATCH) if b is not None]
            ran += len(came)
            if any(b.outcome.outcome == "fail" for b in came):
                found = _commonest(voice)
                assert found is not None
                return found, at
            if not came:
                break
    session = voices[0].session
    if session.stopped or session.spent.out_of_time() or not ran:
        raise NotCompleted("it was stopped before a failing answer was found; what was drawn is stored")
    raise UsageError(
        f"none of {counts('run', ran)} failed, so there is no failing completion to look along; name one with "
        "--sample, also a passing one",
        slug="no-failure",
    )


def longest(voice: Voice, stored: StoredSample | None) -> int:
    """About how many tokens the completion has, before it is known to the token."""
    completion = stored.sample.completion if stored is not None else None
    if stored is not None and completion is not None:
        return len(completion.tokens) or stored.sample.usage.completion_tokens or len(completion.text)
    body = voice.opened.continuer.request.body
    return int(body.get("max_completion_tokens") or body.get("max_tokens") or USUAL)


def place_of(found: Recorded, voice: Voice, at: int | None, alpha: float, seed: int) -> Place | None:
    """The position asked for; without one the likeliest dud of a failing completion; None where there is none.

    Args:    voice: the wording that the completion is of; seed: for the curves.
    Raises:  UsageError: no such position.
    """
    length = len(found.tokens)
    if at is not None and not 1 <= at <= length:
        raise UsageError(
            f"--at is a token of the answer, and {found.stored.id} has {counts('token', length)}: 1 to {length}, "
            f"got {at}",
            slug="phrase",
        )
    if at is not None:
        return Place(at, "given")
    return _likeliest_dud(found, voice, alpha, seed) if found.fails else None


def where_they_differ(found: Recorded, rows: Sequence[Sequence[Odds]]) -> Place:
    """The position at which the first two wordings are furthest apart.

    Args:    rows: of each wording that was scored along the whole completion.
    Raises:  UsageError: the two were not both scored.
    """
    position = furthest(rows)
    if position is None:
        raise UsageError(
            f"no token of {found.stored.id} stands out as the place to look at; name one with --at, 1 to "
            f"{len(found.tokens)}",
            slug="phrase",
        )
    return Place(position, "differ")


def _likeliest_dud(found: Recorded, voice: Voice, alpha: float, seed: int) -> Place | None:
    """Where most success was lost, as far as everything that is stored tells; it costs no call.

    With nothing stored that is where most else could have stood. Where no token was open enough to lose anything
    there is none.
    """
    session = voice.session
    ready = astray(found.stored.sample, found.tokens, voice.sampling)
    draws = draws_of(session, slots(session, voice.case), found.stored.id)
    before = earlier(ready, voice.opened.branches.known(), draws, found.stored.id)
    search = begin(ready.failing, DudRule(alpha=alpha), before)
    single = np.flatnonzero(search.model.single)
    if not len(single):
        return None
    lost = curves_of(search, np.random.default_rng(seed)).drop[:, single].mean(axis=0)
    return Place(int(search.model.first[single[int(lost.argmax())]]), "dud" if before else "open")


def furthest(rows: Sequence[Sequence[Odds]]) -> int | None:
    """The position (1-based) at which the first two distributions are furthest apart; None if it is not known."""
    apart = distances(rows)
    return None if not apart else max(range(len(apart)), key=lambda k: apart[k]) + 1


def distances(rows: Sequence[Sequence[Odds]]) -> list[float]:
    """The total variation between the first two wordings at each position, at its least; none without both."""
    if len(rows) < 2:
        return []
    out = []
    for a, b in zip(rows[0], rows[1], strict=True):
        namer = Namer()
        one, other = namer.spread(a), namer.spread(b)
        out.append(flattening(one.distribution, other.distribution).total_variation.low)
    return out
