"""Wordings of one request held against each other at one token by real calls: what moved, and what it is worth."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from reroll.case import Case
from reroll.errors import UsageError
from reroll.evidence import Est
from reroll.flattening import flattening, screen, split_change
from reroll.following import Followed, follow, followed_of
from reroll.models.stepped import left_out
from reroll.numbers import counts, percent
from reroll.odds import Odds
from reroll.phrased import PathToken, Phrased, PhrasePrice, Read, TokenRow, WordingVerdict, finite
from reroll.placing import (
    FIND,
    Namer,
    Place,
    Recorded,
    Voice,
    distances,
    furthest,
    longest,
    open_voice,
    place_of,
    recorded_of,
    stored_of,
    where_they_differ,
)
from reroll.session import Session
from reroll.store import StoredSample
from reroll.wording import Wording

__all__ = ["Asked", "ask_phrase"]

T = TypeVar("T")

TYPICAL = 250  # runs of a pair on the bundled model's cases until the ranges are 25 points wide; a screen takes half


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked. sample: along whose completion; at: which token of it; width: of the ranges, in 0...1."""

    sample: str | None = None
    at: int | None = None
    width: float = 0.25


async def ask_phrase(
    sessions: Sequence[Session],
    case: Case,
    wordings: Sequence[Wording],
    asked: Asked,
    seed: int | None,
    tell_price: Callable[[PhrasePrice], None],
) -> Phrased:
    """Two wordings at one token, with the change of success there; of more, a screen by the first one's success.

    Args:    sessions: one for each wording; seed: for the choice of the place; None: the sample's own;
             tell_price: called with what it will take, before the first call.
    Raises:  UsageError, ModelError: one sentence each.
    """
    lead = sessions[0]
    lead.store.put_case(case)
    first = await open_voice(lead, case, wordings[0])  # it asks what the model can do, once for all
    later = [partial(open_voice, s, case, w) for s, w in zip(sessions[1:], wordings[1:], strict=True)]
    voices = [first, *await _together(lead, later)]
    stored = stored_of(voices, asked.sample)
    price = _price(voices, stored)
    tell_price(price)
    found = await recorded_of(voices, stored)
    alpha = lead.options.alpha
    likely = place_of(found, voices[found.voice], asked.at, alpha, found.stored.seq if seed is None else seed)
    rows = await _scored(voices, found, needed=likely is None)
    place = likely or where_they_differ(found, rows)
    namer = Namer()
    spreads = [namer.spread(row) for row in await _at_place(voices, found, place, rows)]
    what = followed_of(voices, found, place, spreads, alpha)
    lead.spent.reused = sum(cell.reused for cell in what.cells)
    stopped, finished = await follow(voices, what, asked.width)
    return _answer(_Seen(voices, found, place, rows, what), price, stopped, finished=finished)


async def _together(session: Session, works: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """All of them, so many at once as the model likes."""
    gate = asyncio.Semaphore(session.options.concurrency or session.model.concurrency)

    async def one(work: Callable[[], Awaitable[T]]) -> T:
        async with gate:
            return await work()

    return list(await asyncio.gather(*(one(work) for work in works)))


# ---------------------------------------------------------------- reading


def _price(voices: Sequence[Voice], stored: tuple[StoredSample, int] | None) -> PhrasePrice:
    """What it will take. Raises: UsageError where the budget does not even reach for reading."""
    left, pair = voices[0].session.left, len(voices) == 2
    one, at = stored or (None, 0)
    length = longest(voices[at], one)
    ways = [1 if v.opened.continuer.scores_prompts else length for v in voices]
    own = 0 if one is not None and one.sample.completion and one.sample.completion.tokens else ways[at]
    least = len(voices) - 1
    if left <= least:
        raise UsageError(
            f"--budget is too small: reading {counts('wording', len(voices))} at one token takes "
            f"{counts('call', least)}, and runs from there come on top",
            slug="budget",
        )
    return PhrasePrice(
        finding=0 if one is not None else FIND * min(2, len(voices)),
        scoring=min(left, own + (min(max(ways), max(least, left // 2)) if pair else least)),
        runs=TYPICAL if pair else TYPICAL // 2,
        most=left,
    )


async def _scored(voices: Sequence[Voice], found: Recorded, *, needed: bool) -> list[list[Odds]]:
    """The chances along the whole completion: under the wording that it is of, and, of a pair, under the other too,
    unless that would eat up half of what is left of the budget; then only the place is read.

    needed: the place is where the two differ, so that without both there is none.
    """
    own = found.voice
    rows = {own: voices[own].chances(found.tokens, found.ends)}
    if len(voices) == 2:
        other = 1 - own
        left = voices[other].session.left
        if voices[other].branches.scoring(found.bare) <= (left if needed else left // 2):
            rows[other] = voices[other].chances(await voices[other].branches.score(found.bare), found.ends)
    return [rows[i] for i in sorted(rows)]


async def _at_place(
    voices: Sequence[Voice], found: Recorded, place: Place, rows: Sequence[Sequence[Odds]]
) -> list[Odds]:
    """What may stand at the place under every wording: as it was scored along the way, or asked for now."""
    k = place.position
    if len(rows) == len(voices):
        return [row[k - 1] for row in rows]

    left = voices[0].session.left
    if len(voices) - 1 > left:
        raise UsageError(
            f"--budget is too small: reading {counts('wording', len(voices))} at one token takes "
            f"{counts('call', len(voices) - 1)}, and there are {left}",
            slug="budget",
        )

    async def one(i: int) -> Odds:
        if i == found.voice:
            return rows[0][k - 1]
        scored = await voices[i].branches.score(found.bare[:k], first=k - 1)
        return voices[i].chances(scored[k - 1 :], found.ends)[0]

    return await _together(voices[0].session, [partial(one, i) for i in range(len(voices))])


# ---------------------------------------------------------------- answering


@dataclass(frozen=True, slots=True)
class _Seen:
    """All that an answer is made of. rows: of every wording that was scored along the whole completion."""

    voices: Sequence[Voice]
    found: Recorded
    place: Place
    rows: Sequence[Sequence[Odds]]
    what: Followed

    def way(self, i: int) -> Sequence[Odds] | None:
        """The recorded completion as this wording scores it; None where only the place was read."""
        if len(self.rows) == len(self.voices):
            return self.rows[i]
        return self.rows[0] if i == self.found.voice else None


def _answer(seen: _Seen, price: PhrasePrice, stopped: str, *, finished: bool) -> Phrased:
    voices, found, place, what = seen.voices, seen.found, seen.place, seen.what
    ranges = what.ranges()
    change = ranges.get("change")
    verdict: WordingVerdict | None = None
    if change is not None:
        below, above = (change.high or 0.0) < 0, (change.low or 0.0) > 0
        verdict = "better" if above else "worse" if below else "undecided"
    reads = _reads(seen, ranges)
    session = voices[0].session
    apart = distances(seen.rows) if what.pair else []
    return Phrased(
        mode="pair" if what.pair else "screen",
        verdict=verdict,
        case=voices[0].case.id,
        program={"name": session.project.program.program, "id": session.project.program.id},
        model=session.model.identity,
        tier=voices[0].opened.continuer.tier,
        exact=voices[0].opened.continuer.exact,
        sample=found.stored.id,
        sample_of=voices[found.voice].wording.name,
        sample_fails=found.fails,
        position=place.position,
        chosen=place.chosen,
        before="".join(t.text for t in found.tokens[: place.position - 1]),
        watched=what.spreads[0].watched,
        differ_most=furthest(seen.rows) if what.pair else None,
        wordings=tuple(reads),
        tokens=tuple(_token_rows(what, ranges)),
        path=tuple(
            PathToken(t.text, tuple(r[k].value(r[k].chosen) for r in seen.rows), apart[k] if apart else 0.0)
            for k, t in enumerate(found.tokens)
        ),
        change=change,
        moved=ranges.get("moved"),
        rest=ranges.get("rest"),
        aside=what.aside,
        calls_needed=what.more() if what.pair else None,
        runs=sum(len(cell.branches) for cell in what.cells),
        reused=sum(cell.reused for cell in what.cells),
        price=price,
        method=found.method,
        alpha=what.alpha,
        cost=session.spent.cost(),
        caveats=(*left_out(session.model, session.project.program), *_caveats(seen, reads)),
        finished=finished,
        stopped=stopped,
    )


def _reads(seen: _Seen, ranges: Mapping[str, Est]) -> list[Read]:
    """Every wording at the place; those of a screen in the order of what is predicted of them."""
    what = seen.what
    a, watched = what.spreads[0].distribution, what.spreads[0].watched
    order = list(range(len(seen.voices)))
    if not what.pair:
        success = {cell.token: ranges[f"rate 0 {cell.token}"] for cell in what.cells}
        others = {str(i): s.distribution for i, s in enumerate(what.spreads[1:], 1)}
        order = [0, *(int(one.wording) for one in screen(a, others, success, keep=len(others)))]
    out = []
    for i in order:
        voice, there, way = seen.voices[i], what.spreads[i].distribution, seen.way(i)
        held = flattening(a, there, watched)
        out.append(
            Read(
                id=chr(ord("A") + i) if i < 26 else str(i + 1),
                name=voice.wording.name,
                says=voice.wording.says,
                entropy=there.entropy,
                margin=finite(there.margin),
                prob=there.probs.get(watched),
                unlisted=there.unlisted,
                reach=None if way is None else _reach(way, seen.place.position),
                success=ranges.get(f"success {i}"),
                total_variation=held.total_variation,
                jensen_shannon=held.jensen_shannon,
                flatter=held.flatter if i else None,
                predicted=ranges.get(f"predicted {i}"),
                confirmed=what.pair or i == 0,
            )
        )
    return out


def _reach(way: Sequence[Odds], position: int) -> float:
    reach = 1.0
    for row in way[: position - 1]:
        reach *= min(1.0, row.value(row.chosen))
    return reach


def _token_rows(what: Followed, ranges: Mapping[str, Est]) -> list[TokenRow]:
    parts: dict[str, tuple[float, float]] = {}
    if what.pair:
        rates: list[dict[str, float]] = [
            {c.token: x for c in what.cells if c.voice == i and (x := c.measured.estimate) is not None} for i in (0, 1)
        ]
        split = split_change(what.spreads[0].distribution, what.spreads[1].distribution, rates[0], rates[1])
        parts = {token: (moved, rest) for token, moved, rest in split.by_token}
    out = []
    for name in dict.fromkeys(cell.token for cell in what.cells):
        moved, rest = parts.get(name, (None, None))
        out.append(
            TokenRow(
                token=name,
                watched=name == what.spreads[0].watched,
                probs=tuple(s.distribution.probs.get(name) for s in what.spreads),
                success=tuple(ranges[f"rate {c.voice} {name}"] for c in what.cells if c.token == name),
                moved=moved,
                rest=rest,
            )
        )
    return sorted(out, key=lambda row: -max(p or 0.0 for p in row.probs))


def _caveats(seen: _Seen, reads: Sequence[Read]) -> list[str]:
    first, id = seen.voices[0], seen.found.stored.id
    said = []
    reach = [r.reach for r in reads if r.reach is not None]
    if len(reach) == len(reads):
        ways = " and ".join(f"{percent(min(1.0, x))} of runs with {r.id}" for x, r in zip(reach, reads, strict=True))
        said.append(f"this is about answers that begin like {id} up to the place: {ways}")
    else:
        said.append(
            f"this is about answers that begin like {id} up to the place; how often they do under each wording was "
            "not read"
        )
    if seen.what.aside > 0.005:
        said.append(
            f"up to {percent(min(1.0, seen.what.aside), 'up')} of what may stand there was not followed or cannot be "
            "read exactly; the ranges allow for it both ways"
        )
    if not first.opened.continuer.exact:
        said.append("prefixes go as text, which the server cuts into tokens anew at the seam: the place is approximate")
    if first.sampling.unsure:
        said.append(f"left to the server, and read as if they did nothing: {', '.join(first.sampling.unsure)}")
    said.append(
        f"the probabilities are the server's own; `reroll futures {first.case.id}` holds plain runs against them"
    )
    if invalid := sum(rate.seen.invalid for rate in seen.what.rates):
        said.append(f"{counts('run', invalid)} could not be judged, and count both ways")
    return said
